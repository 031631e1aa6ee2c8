"""What no server can make revetl do: wait longer than the deadline, or speak to somebody else (bars 16, 17)."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509

from revetl.customerio import TrackSender, judge
from revetl.destination import Action, Batch, Outcome, Reply
from revetl.errors import ConfigError
from tests.bars import Bar
from tests.faults.authority import Authority
from tests.faults.runs import QUICK, FakeClock, Sent, people
from tests.faults.server import HONEST, Answer, FaultServer, http, say
from tests.faults.workspace import Workspace

DEADLINE_S = 1.0
SMALL, LARGE = b'{"batch":[]}', b"x" * 30_000_000
BATCH = Batch(operations=tuple(people(3)), body=SMALL)
OPEN_END = b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"


def drip(raw: bytes) -> Answer:
    """A byte each quarter of a second."""
    return Answer(parts=tuple(bytes([byte]) for byte in raw), every_s=0.25)


def drips(*parts: bytes) -> Answer:
    """The last part for ever, each quarter of a second."""
    return Answer(parts=parts, every_s=0.25, repeat=True)


SLOW = {
    "silence": Answer(delay_s=60),
    "a dripping status line": drip(http(200)),
    "dripping headers": drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "interim answers": drips(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a dripping body": drips(OPEN_END, b" "),
    "dripping chunks": drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a dripping body without a length": drips(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" "),
    "a good answer that comes too late": Answer(parts=(http(200),), delay_s=DEADLINE_S + 0.3),
}


def never_read(_: socket.socket, over: threading.Event) -> None:
    """Nothing is taken."""
    over.wait(30)


def timed(url: str, body: bytes, ca_file: str = "") -> tuple[float, Reply]:
    """Seconds and reply of one request with a deadline of one second."""
    sender = TrackSender(site_id="s", api_key="k", base_url=url, ca_file=ca_file)
    try:
        began = time.monotonic()
        reply = sender.send(body, deadline_s=DEADLINE_S)
        return time.monotonic() - began, reply
    finally:
        sender.close()


def test_the_total_deadline_holds_whatever_a_server_does(bar: Bar) -> None:
    """F36: dripping, silent, not reading, not accepting, not greeting; all at once, so that threads compete, too."""
    with ExitStack() as stack, ThreadPoolExecutor(16) as pool:
        wanted = {kind: (stack.enter_context(FaultServer([answer])).url, SMALL) for kind, answer in SLOW.items()}
        deaf = stack.enter_context(FaultServer(greet=never_read))
        wanted["a server that does not read the body"] = (deaf.url, LARGE)
        wanted["a handshake that never comes"] = (deaf.url.replace("http:", "https:"), SMALL)
        # the queue of a listener that never accepts is full, so a connection is neither taken nor refused
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex(full.getsockname())
        wanted["a server that does not accept"] = (f"http://127.0.0.1:{full.getsockname()[1]}", SMALL)
        asked = {kind: pool.submit(timed, url, body) for kind, (url, body) in wanted.items()}
        found = {kind: future.result(30) for kind, future in asked.items()}

    for kind, (seconds, reply) in found.items():
        assert DEADLINE_S - 0.1 < seconds < DEADLINE_S + 1, f"{kind}: {seconds:.2f} s"
        assert not reply.complete, kind
        verdict = judge(reply, BATCH)
        reached = kind not in {"a handshake that never comes", "a server that does not accept"}
        assert (verdict.action, verdict.outcome) == (Action.RETRY, Outcome.UNKNOWN if reached else Outcome.NOT_SENT), kind
    over = max(seconds for seconds, _ in found.values()) - DEADLINE_S
    of = f"{len(found)} kinds of slow servers at once"
    bar(16, "seconds over the total deadline, at most", found=f"{over:.2f}", goal="≤ 1", of=of)


REDIRECTS = (301, 302, 303, 307, 308)


def test_no_redirect_is_followed_and_nobody_else_is_spoken_to(bar: Bar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """F30: for a batch and for the region call, with every proxy of the environment pointing elsewhere, too."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password else\n")
    followed = asked = 0
    with FaultServer() as elsewhere:
        for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy"):
            monkeypatch.setenv(name, elsewhere.url)
            monkeypatch.setenv(name.upper(), elsewhere.url)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        places = (f"{elsewhere.url}/api/v2/batch", f"//127.0.0.1:{elsewhere.port}/", f"http://localhost:{elsewhere.port}")
        for status in REDIRECTS:
            for place in places:
                away = say(status, b"", f"Location: {place}")
                with FaultServer([away], workspace=Workspace(), region=away) as server:
                    sent = Sent(server, people(40), settings=QUICK, clock=FakeClock())
                    sender = TrackSender(site_id="s", api_key="k", base_url=server.url)
                    with pytest.raises(ConfigError, match="never followed"):
                        sender.workspace()
                    sender.close()
                    asked += len(server.seen) + 1
                assert isinstance(sent.delivery.stopped, ConfigError)
                assert (sent.accepted, sent.refused) == (set(), set())
                assert len(server.seen) <= QUICK.concurrency
        with FaultServer([HONEST], workspace=Workspace()) as well:
            assert Sent(well, people(40), clock=FakeClock()).accepted == set(range(40)), "no proxy is asked"
        followed = elsewhere.accepted

    assert followed == 0
    of = f"{asked} redirects ({', '.join(map(str, REDIRECTS))}) of batches and region calls"
    bar(17, "redirects followed", found=len(elsewhere.seen), goal="0", of=of)
    bar(17, "connections outside the allow-list", found=followed, goal="0", of=of + ", 8 proxies in the environment, a .netrc")


def test_only_the_regions_host_is_looked_up_and_connected_to(
    bar: Bar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without `base_url` the host comes from the region; every name that is resolved is on the list, proxies or not."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    authority = Authority(tmp_path)
    resolved: list[str] = []
    for region, host in (("us", "track.customer.io"), ("eu", "track-eu.customer.io")):
        away = say(307, b"", "Location: https://track.example/api/v2/batch")
        with FaultServer([HONEST, away], workspace=Workspace(region=region), tls=authority.server(x509.DNSName(host))) as server:
            here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))

            def resolve(name: str, *_: object, here: tuple[object, ...] = here, **__: object) -> list[tuple[object, ...]]:
                resolved.append(name)
                return [here]

            monkeypatch.setattr(socket, "getaddrinfo", resolve)
            sender = TrackSender(site_id="s", api_key="k", region=region, ca_file=str(authority.file))
            assert sender.workspace().region == region
            assert [sender.send(SMALL, deadline_s=5).status for _ in range(2)] == [200, 307]
            sender.close()
            monkeypatch.undo()
            for name in ("HTTPS_PROXY", "https_proxy"):
                monkeypatch.setenv(name, "http://proxy.example:3128")

    outside = set(resolved) - {"track.customer.io", "track-eu.customer.io"}
    assert not outside
    assert len(resolved) >= 2
    bar(17, "names looked up outside the allow-list", found=len(outside), goal="0", of="both regions, the resolver watched")
