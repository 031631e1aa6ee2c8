"""The instrument itself: what the workspace makes of requests, and what the journal says of them."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from revetl.customerio import TrackSender
from revetl.destination import Reply
from tests.faults.server import HONEST, Answer, FaultServer, http
from tests.faults.workspace import Workspace


def batch(*operations: dict[str, Any]) -> bytes:
    return json.dumps({"batch": operations}, separators=(",", ":")).encode()


def identify(who: str, stamp: int | None = None, **attributes: Any) -> dict[str, Any]:
    more = {} if stamp is None else {"timestamp": stamp}
    return {"type": "person", "identifiers": {"id": who}, "action": "identify", **more, "attributes": attributes}


def event(who: str, event_id: str) -> dict[str, Any]:
    return {"type": "person", "identifiers": {"id": who}, "action": "event", "name": "x", "id": event_id, "attributes": {}}


def send(server: FaultServer, body: bytes) -> Reply:
    sender = TrackSender(site_id="s", api_key="k", base_url=server.url)
    try:
        return sender.send(body, deadline_s=5)
    finally:
        sender.close()


def test_events_count_once_and_all_is_journalled() -> None:
    workspace = Workspace()
    workspace.take(batch(identify("a", plan="x"), event("a", "e1")), 0)
    workspace.take(batch(event("a", "e1"), event("a", "e2"), {**identify("a"), "action": "delete"}), 1)

    assert workspace.events() == {"e1": 1, "e2": 1}
    assert [e.what for e in workspace.effects] == ["set", "event", "event", "delete"]
    assert (workspace.rows(), workspace.rows(1)) == ({"a": 2, "e1": 2, "e2": 1}, {"e1": 1, "e2": 1, "a": 1})
    assert workspace.people == {}


@pytest.mark.parametrize(("honours", "kept"), [(True, "new"), (False, "old")])
def test_an_older_timestamp_loses_where_timestamps_count(honours: bool, kept: str) -> None:
    workspace = Workspace(honours_timestamps=honours)
    workspace.take(batch(identify("a", 20, plan="new")))
    workspace.take(batch(identify("a", 10, plan="old", other=1)))

    assert workspace.people["a"] == {"plan": kept, "other": 1}
    assert workspace.history("a", "plan") == (["new"] if honours else ["new", "old"])


def test_limits_refusals_and_suppression() -> None:
    workspace = Workspace(refuses=lambda op: op["identifiers"]["id"] == "bad", suppressed={"gone"}, max_body=100_000)
    status, said = workspace.take(batch(identify("bad"), identify("gone"), identify("a"), identify("b", x="y" * 32_000)))

    assert (status, [e["batch_index"] for e in json.loads(said)["errors"]]) == (207, [0, 3])
    assert workspace.people.keys() == {"a"}
    assert workspace.take(b" " * 100_000)[0] == 413
    workspace.key_is_good = False
    assert workspace.take(batch(identify("c")))[0] == 401


def test_late_requests_are_applied_when_the_test_says_so_and_twice_is_twice() -> None:
    workspace = Workspace()
    script = [Answer(effect="late", then="reset"), Answer(effect="twice", honest=True)]
    with FaultServer(script, workspace=workspace) as server:
        assert send(server, batch(identify("a", plan="late"))).status == 0
        assert send(server, batch(identify("a", plan="now"))).status == 200
        assert workspace.history("a", "plan") == ["now", "now"]
        assert (server.apply_late(), server.apply_late()) == (1, 0)

    assert workspace.history("a", "plan") == ["now", "now", "late"]
    assert [e.request for e in workspace.effects] == [1, 1, 0]


def test_half_a_request_has_no_effect_and_every_byte_is_kept() -> None:
    body = batch(identify("a"))
    head = b"POST /api/v2/batch HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    workspace = Workspace()
    with FaultServer([HONEST], workspace=workspace) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(head + body[:20])
            client.shutdown(socket.SHUT_WR)
            client.settimeout(5)
            client.recv(100)
        [seen] = server.seen
        assert (seen.whole, seen.body, bytes(server.received[1])) == (False, body[:20], head + body[:20])

    assert workspace.taken == []


def test_an_honest_answer_can_be_cut_and_dripped() -> None:
    whole = http(200)
    with FaultServer([Answer(effect="apply", honest=True, cut_at=len(whole) - 1, then="close")], workspace=Workspace()) as server:
        reply = send(server, batch(identify("a")))
        assert (reply.status, reply.complete) == (200, False)
    with FaultServer([Answer(effect="apply", honest=True, every_s=0.001)], workspace=Workspace()) as server:
        assert send(server, batch(identify("a"))).complete


def test_it_goes_away_comes_back_and_closes_what_is_idle() -> None:
    with FaultServer([HONEST], workspace=Workspace()) as server:
        sender = TrackSender(site_id="s", api_key="k", base_url=server.url)
        assert sender.send(batch(identify("a")), deadline_s=5).status == 200
        while not server.close_idle():
            threading.Event().wait(0.001)  # its thread is about to wait for the next request
        assert sender.send(batch(identify("a")), deadline_s=5).status == 200
        server.down()
        assert sender.send(batch(identify("a")), deadline_s=5).status == 0
        server.up()
        assert sender.send(batch(identify("a")), deadline_s=5).status == 200
        sender.close()
        assert server.accepted == 3
        assert len(server.within(float("-inf"), float("inf"))) == 3
