"""The server: who may call, what is refused and how, App API reads, faults, and the command."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from revetl.sandbox import Fault, Limits, Sandbox
from tests.sandbox.client import Client, event, identify, merge, person

Serve = Callable[..., Client]


# --- who may call ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_only_loopback_is_bound(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Sandbox(host=host)


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("localhost:1", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("", 403)],
)
def test_a_host_name_that_is_not_loopback_is_refused(client: Client, host: str, status: int) -> None:
    assert client.call("GET", "/", Host=host).status == status


def test_the_track_api_needs_its_own_key(client: Client) -> None:
    right = client.basic
    app = f"Bearer {client.box.app_api_key}"

    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": app}, {"Authorization": "Basic %%%"}):
        assert client.call("POST", "/api/v2/batch", {"batch": [identify()]}, **headers).status == 401
        assert client.call("GET", "/api/v1/accounts/region", **headers).status == 401
    assert client.call("GET", "/api/v1/accounts/region", Authorization=right).status == 200
    assert client.totals["people"] == 0


@pytest.mark.parametrize("path", ["/v1/activities", "/v1/customers?email=x", "/sandbox/summary", "/sandbox/journal"])
def test_the_app_api_needs_its_own_key(client: Client, path: str) -> None:
    for headers in ({}, {"Authorization": client.basic}, {"Authorization": "Bearer x"}):
        assert client.call("GET", path, **headers).status == 401
    assert client.app(path).status == 200


def test_the_page_needs_no_key_and_allows_nothing_from_elsewhere(client: Client) -> None:
    answer = client.call("GET", "/", Origin="http://evil.example")

    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_the_region_says_which_workspace_it_is(client: Client) -> None:
    body = client.track("GET", "/api/v1/accounts/region").json

    assert (body["region"], body["environment_id"]) == ("us", client.box.environment_id)
    assert isinstance(body["environment_id"], int)


def test_one_connection_serves_many_requests(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.box.port, timeout=5)
    connection.connect()
    ours = connection.sock.getsockname()
    for n in range(3):
        connection.request("POST", "/api/v2/entity", json.dumps(identify(n=n)), {"Authorization": client.basic})
        assert connection.getresponse().read().strip() == b"{}"
        assert connection.sock.getsockname() == ours
    connection.close()


# --- what is refused ---------------------------------------------------------------------------------------------

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
REFUSED: list[tuple[Any, str, str]] = [
    ("text", "invalid", ""),
    ({}, "required", "type"),
    ({"type": "thing"}, "invalid", "type"),
    ({"type": "person"}, "required", "action"),
    (person("explode"), "invalid", "action"),
    ({"type": "person", "action": "identify"}, "required", "identifiers"),
    (identify({"id": "1", "email": "a@example.com"}), "invalid", "identifiers"),
    (identify({"phone": "+14155552671"}), "invalid", "identifiers.phone"),
    (identify(""), "required", "identifiers.id"),
    (identify({"id": None}), "required", "identifiers.id"),
    (identify({"id": True}), "invalid", "identifiers.id"),
    (identify({"id": ["1"]}), "invalid", "identifiers.id"),
    (identify("é" * 75 + "x"), "invalid", "identifiers.id"),
    (identify({"email": "nobody"}), "invalid", "identifiers.email"),
    (person("identify", attributes=[]), "invalid", "attributes"),
    (identify(plan="é" * 500 + "x"), "invalid", "attributes.plan"),
    (identify(plan=["x" * 998]), "invalid", "attributes.plan"),
    (person("identify", attributes={"é" * 75 + "x": 1}), "invalid", "attributes." + "é" * 40),
    (person("identify", attributes={f"a{n}": n for n in range(301)}), "invalid", "attributes"),
    (identify(_update="yes"), "invalid", "attributes._update"),
    (person("identify", timestamp="100"), "invalid", "timestamp"),
    (person("identify", timestamp=1.5), "invalid", "timestamp"),
    (person("identify", timestamp=True), "invalid", "timestamp"),
    (person("event"), "required", "name"),
    (event(name="   "), "required", "name"),
    (event(name="é" * 50 + "x"), "invalid", "name"),
    (event(id="not-a-ulid"), "invalid", "id"),
    (event(id="8" + ULID[1:]), "invalid", "id"),
    (event(timestamp="2026-01-01"), "invalid", "timestamp"),
    (event(attributes="x"), "invalid", "attributes"),
    (person("add_device"), "required", "device"),
    (person("add_device", device={"token": "t", "platform": "web"}), "invalid", "device.platform"),
    (person("add_relationships"), "required", "cio_relationships"),
    (merge({}, {"id": "1"}), "required", "primary"),
    (merge({"id": "1"}, {"id": "2", "email": "b@example.com"}), "invalid", "secondary"),
    ({"type": "object", "action": "delete", "identifiers": {"object_id": "x"}}, "invalid", "identifiers"),
    ({"type": "delivery", "action": "event", "identifiers": {"id": "d"}, "name": "x"}, "invalid", "name"),
    (event(attributes={"text": "x" * 32_000}), "invalid", ""),
]


@pytest.mark.parametrize(("operation", "reason", "field"), REFUSED)
def test_a_bad_operation_is_named_and_the_others_are_applied(
    client: Client, operation: Any, reason: str, field: str
) -> None:
    answer = client.batch(identify("first"), operation, identify("last"))

    assert answer.status == 207
    found = answer.json["errors"]
    assert (found[0]["batch_index"], found[0]["reason"], found[0]["field"]) == (1, reason, field)
    assert all(error["message"] for error in found)
    assert client.totals["people"] == 2
    assert client.track("POST", "/api/v2/entity", operation).status == 400


@pytest.mark.parametrize(
    "operation",
    [
        identify("é" * 75), identify(plan="é" * 500), person("identify", attributes={"é" * 75: 1}), event(name="é" * 50),
        person("identify", attributes={f"a{n}": n for n in range(300)}), event(attributes={"text": "x" * 1001}),
        identify({"id": 5}),
    ],
)  # fmt: skip
def test_the_limits_themselves_are_allowed(client: Client, operation: Any) -> None:
    client.did(operation)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"batch":{}}', b'{"batch":[]}', b'{"batch":[NaN]}', b"\xff"]
)
def test_a_malformed_request_is_refused_whole(client: Client, body: bytes) -> None:
    answer = client.track("POST", "/api/v2/batch", body)

    assert answer.status == 400
    assert answer.json["errors"]


@pytest.mark.parametrize("status", [400, 413])
def test_a_body_of_500_kb_is_refused_whole_and_one_byte_less_is_not(serve: Serve, status: int) -> None:
    client = serve(limits=Limits(oversize_status=status))
    head, tail = b'{"batch":[{"type":"person","action":"delete","identifiers":{"id":"1"}}],"pad":"', b'"}'
    pad = b"x" * (500_000 - len(head) - len(tail))

    assert client.track("POST", "/api/v2/batch", head + pad + tail).status == status
    assert client.track("POST", "/api/v2/batch", head + pad[1:] + tail).status == 200


def test_v1_errors_have_the_shape_of_v1(client: Client) -> None:
    answer = client.track("POST", "/api/v1/customers/1/events", {"data": {}})

    assert answer.status == 400
    assert answer.json["meta"]["errors"] == ["name: is required"]


def test_paths_that_do_not_exist(client: Client) -> None:
    assert client.track("POST", "/api/v3/batch", {}).status == 404
    assert client.app("/v1/nothing").status == 404
    assert client.call("GET", "/people/nobody").status == 404


@pytest.mark.parametrize(
    "headers", [{"Content_Length": "many"}, {"Content_Length": "-1"}, {"Transfer_Encoding": "chunked"}]
)
def test_a_body_without_a_length_is_refused(client: Client, headers: dict[str, str]) -> None:
    assert client.call("POST", "/api/v2/batch", b"", Authorization=client.basic, **headers).status == 411


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null"])
def test_a_body_that_is_no_object_is_refused_everywhere(client: Client, body: bytes) -> None:
    for path in ("/api/v1/customers/1/events", "/api/v1/merge_customers", "/api/v2/entity", "/api/v2/batch"):
        assert client.track("POST", path, body).status == 400
    assert client.app("/v1/customers/attributes", body).status == 400
    assert client.app("/sandbox/faults", body).status == 400


@pytest.mark.parametrize("page", ["limit=x", "limit=-1", "limit=0", "start=x", f"start={'9' * 30}"])
def test_a_page_that_makes_no_sense_is_answered(client: Client, page: str) -> None:
    assert client.app(f"/v1/activities?{page}").status == 200
    assert client.call("GET", f"/?{page}").status == 200


# --- Track v1 ----------------------------------------------------------------------------------------------------


def test_v1_paths_are_decoded_and_their_kind_is_guessed(client: Client) -> None:
    assert client.track("PUT", "/api/v1/customers/a%2Fb%20c", {"plan": "x"}).json == {}
    client.track("PUT", "/api/v1/customers/ann%2B1%40example.com", {"plan": "y"})
    cio_id = (client.profile("ann%2B1@example.com", "email") or {})["identifiers"]["cio_id"]
    client.track("PUT", f"/api/v1/customers/cio_{cio_id}", {"id": "7"})

    assert client.attributes("a%2Fb%20c") == {"id": "a/b c", "plan": "x"}
    assert client.attributes("7") == {"id": "7", "email": "ann+1@example.com", "plan": "y"}


def test_v1_events_devices_merge_and_suppress(client: Client) -> None:
    assert client.track("POST", "/api/v1/customers/1/events", {"name": "a", "data": {"x": 1}}).status == 200
    assert client.track("POST", "/api/v1/customers/1/events", {"name": "/p", "type": "page"}).status == 200
    assert client.track("POST", "/api/v1/events", {"name": "b", "anonymous_id": "cookie"}).status == 200
    assert client.track("PUT", "/api/v1/customers/1/devices", {"device": {"id": "t", "platform": "ios"}}).status == 200
    assert client.track("PUT", "/api/v1/customers/2", {}).status == 200
    merged = client.track("POST", "/api/v1/merge_customers", {"primary": {"id": "2"}, "secondary": {"id": "1"}})
    assert merged.status == 200

    assert (client.totals["people"], client.totals["events"]) == (1, {"a": 1, "b": 1})
    assert client.totals["pages"] == {"/p": 1}
    assert client.track("DELETE", "/api/v1/customers/2/devices/t").status == 200
    assert (client.profile("2") or {})["devices"] == []
    assert client.track("POST", "/api/v1/customers/2/suppress", {}).status == 200
    assert client.track("PUT", "/api/v1/customers/2", {}).status == 200
    assert client.totals["people"] == 0
    assert client.track("POST", "/api/v1/customers/2/unsuppress", {}).status == 200


# --- App API -----------------------------------------------------------------------------------------------------


def test_people_are_found_by_email_and_read_in_bulk(client: Client) -> None:
    client.did(identify("1", email="Ann@example.com"), identify("2"))

    [found] = client.app("/v1/customers?email=ann@EXAMPLE.com").json["results"]
    assert (found["id"], found["email"]) == ("1", "Ann@example.com")
    assert client.app("/v1/customers?email=none@example.com").json == {"results": []}
    many = client.app("/v1/customers/attributes", {"ids": ["1", "ghost", "2"]}).json["customers"]
    assert [one["id"] for one in many] == ["1", "2"]
    assert client.app("/v1/customers/attributes", {"ids": [str(n) for n in range(101)]}).status == 400
    assert client.app("/v1/customers/ghost/attributes").status == 404


def test_activities_come_in_pages(client: Client) -> None:
    client.did(*(event(name=f"e{n}", timestamp=n) for n in range(25)))
    found, start = [], ""
    while True:
        page = client.app(f"/v1/activities?type=event&limit=10&start={start}").json
        found += [a["name"] for a in page["activities"]]
        start = page["next"]
        if not start:
            break

    assert found == [f"e{n}" for n in reversed(range(25))]
    assert len(client.app("/v1/customers/1/activities").json["activities"]) == 10
    assert len(client.app("/v1/activities?limit=1000").json["activities"]) == 26


def test_the_journal_counts_requests_and_operations(client: Client) -> None:
    client.did(identify("1"), identify("2"))
    client.track("GET", "/api/v1/accounts/region")

    assert (client.totals["requests"], client.totals["operations"]) == (1, 2)
    [batch] = [r for r in client.app("/sandbox/journal").json["requests"] if r["path"] == "/api/v2/batch"]
    assert (batch["method"], batch["status"], batch["operations"]) == ("POST", 200, 2)
    assert client.app("/sandbox/reset", {}).status == 200
    assert (client.totals["people"], client.totals["requests"]) == (0, 0)


def test_a_thousand_operations_are_one_quick_request(client: Client) -> None:
    client.did(*(identify(str(n), email=f"p{n}@example.com", plan="free", n=n) for n in range(1000)))

    assert client.totals["people"] == 1000


# --- faults and throttling ---------------------------------------------------------------------------------------


def strike(client: Client, **spec: Any) -> None:
    assert client.app("/sandbox/faults", {"faults": [spec]}).status == 200


def test_a_status_strikes_after_some_requests_and_so_many_times(client: Client) -> None:
    strike(client, kind="status", status=503, after=1, times=2, retry_after=7)

    answers = [client.batch(identify(str(n))) for n in range(4)]
    assert [a.status for a in answers] == [200, 503, 503, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert client.totals["people"] == 2


@pytest.mark.parametrize(
    ("kind", "applied"), [("reset", 0), ("apply_then_fail", 1), ("cut", 1), ("html", 0), ("bad_207", 1), ("drip", 1)]
)
def test_each_fault_is_applied_or_not_as_it_says(client: Client, kind: str, applied: int) -> None:
    strike(client, kind=kind, seconds=0.001)
    try:
        answer = client.batch(identify())
    except (http.client.HTTPException, OSError):
        assert kind in {"reset", "apply_then_fail", "cut"}
    else:
        assert kind in {"html", "bad_207", "drip"}
        if kind == "bad_207":
            assert answer.json["errors"][0]["batch_index"] == 1

    assert client.totals["people"] == applied
    assert client.batch(identify()).status == 200


def test_a_late_request_takes_effect_after_the_next(client: Client) -> None:
    strike(client, kind="apply_late")
    with pytest.raises((http.client.HTTPException, OSError)):
        client.batch(identify(plan="late"))
    assert client.totals["people"] == 0

    client.did(identify("2"))
    assert client.attributes("1") == {"id": "1", "plan": "late"}


def test_a_request_that_is_delivered_twice_counts_its_event_once(client: Client) -> None:
    event = {"type": "person", "action": "event", "identifiers": {"id": "1"}, "name": "seen"}
    strike(client, kind="duplicate", times=2)

    client.did({**event, "id": "01HB4HBDKTFWYZCK01DMRSWRFD"})
    assert client.totals["events"] == {"seen": 1}
    client.did(event)
    assert client.totals["events"] == {"seen": 3}, "without an id nothing tells that it is the same"
    client.did(identify("2"))
    assert client.totals["people"] == 2


def test_a_key_is_refused_and_the_others_are_applied(client: Client) -> None:
    strike(client, kind="reject", key="2")

    answer = client.batch(identify("1"), identify("2"))
    assert (answer.status, [e["batch_index"] for e in answer.json["errors"]]) == (207, [1])
    assert client.attributes("2") is None
    client.did(identify("2"))
    strike(client, kind="reject", key="2")
    assert client.track("POST", "/api/v2/entity", identify("2")).status == 400
    strike(client, kind="reject", key="2")
    assert client.track("PUT", "/api/v1/customers/2", {}).status == 400


def test_a_hanging_answer_does_not_hold_up_the_end(client: Client) -> None:
    strike(client, kind="hang")
    with socket.create_connection(("127.0.0.1", client.box.port), timeout=5) as waiting:
        lines = ("POST /api/v2/entity HTTP/1.1", "Host: localhost", f"Authorization: {client.basic}", "Content-Length: 0")
        waiting.sendall("\r\n".join([*lines, "", ""]).encode())
        client.box.close()
        with suppress(ConnectionResetError):
            assert waiting.recv(1) == b""


def test_faults_hit_nothing_but_the_track_api_and_an_unknown_one_is_refused(client: Client) -> None:
    strike(client, kind="status", times=1000)
    assert client.app("/v1/activities").status == 200
    assert client.batch(identify()).status == 503
    strike(client, kind="none")
    assert client.batch(identify()).status == 200
    assert client.app("/sandbox/faults", {"faults": [{"kind": "flood"}]}).status == 400
    assert client.app("/sandbox/faults", {"faults": [{"kind": "reset", "colour": 1}]}).status == 400


def test_above_the_rate_the_answer_is_429_and_nothing_is_applied(serve: Serve) -> None:
    client = serve(limits=Limits(requests_per_second=2))

    found = [client.batch(identify(str(n))).status for n in range(20)]
    assert {200, 429} == set(found)
    assert client.totals["people"] == found.count(200)


def test_faults_can_be_given_at_the_start(serve: Serve) -> None:
    client = serve(faults=[Fault(kind="status", status=500)])

    assert [client.batch(identify()).status for _ in range(2)] == [500, 200]


# --- the command -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_tells_where_it_is_and_leaves_cleanly(tmp_path: Path, stop: signal.Signals) -> None:
    info = tmp_path / "info.json"
    with subprocess.Popen(
        [sys.executable, "-m", "revetl.sandbox", "--db", str(tmp_path / "box.db"), "--port", "0", "--info", str(info)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    ) as running:  # fmt: skip
        assert running.stdout is not None
        first = running.stdout.readline()
        told = json.loads(info.read_text())
        assert told["url"] in first
        assert info.stat().st_mode & 0o777 == 0o600
        assert set(told) == {
            "url", "page", "site_id", "api_key", "app_api_key", "environment_id", "pid", "tls", "ca_file",
        }  # fmt: skip
        with socket.create_connection(("127.0.0.1", int(told["url"].rsplit(":", 1)[1])), timeout=5):
            os.kill(told["pid"], stop)
        assert running.wait(10) == 0
    assert not info.exists()


def test_the_command_says_why_it_cannot_start(tmp_path: Path, client: Client) -> None:
    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "revetl.sandbox", *arguments], check=False, capture_output=True, text=True, timeout=20,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip

    (tmp_path / "notes.txt").write_text("no database")
    for done in (
        start("--port", str(client.box.port)),
        start("--port", "0", "--host", "0.0.0.0"),
        start("--port", "0", "--db", str(tmp_path / "notes.txt")),
        start("--port", "0", "--fault", "flood"),
    ):
        assert done.returncode == 2
        assert "cannot start" in done.stderr
        assert "Traceback" not in done.stderr
