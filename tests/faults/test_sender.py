"""The one effect over real sockets: whatever a server does, a reply says only what is certain, and in time."""

from __future__ import annotations

import datetime
import gzip
import random
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from revetl.customerio import MAX_REPLY_BYTES, TrackSender, _Wire, batch_of, judge
from revetl.destination import Action, Operation, Outcome, Reply, Verdict
from revetl.errors import ConfigError, CredentialsRefused, DestinationDown
from tests.faults.authority import LOCAL, Authority
from tests.faults.server import Answer, FaultServer, http, say

SECRET, CANARY = "k3y-canary", "jane.canary@example.com"
ROWS = batch_of(Operation(i, b'{"email":"%s","n":%d}' % (CANARY.encode(), i)) for i in range(3))
NAMED = b'{"errors":[{"batch_index":2,"reason":"invalid","field":"attributes.x","message":"no"}]}'


def sender(server: FaultServer, **options: Any) -> TrackSender:
    return TrackSender(site_id="site", api_key=SECRET, base_url=server.url, version="9.9", **options)


def ask(server: FaultServer, *, deadline_s: float = 5.0, body: bytes = ROWS.body, **options: Any) -> Reply:
    """One send over a sender of its own; no part of the payload or of the secret is in what comes back."""
    made = sender(server, **options)
    try:
        reply = made.send(body, deadline_s=deadline_s)
    finally:
        made.close()
    assert CANARY not in repr(reply)
    assert SECRET not in repr(reply)
    return reply


def verdict(reply: Reply) -> Verdict:
    return judge(reply, ROWS)


# --- what goes out ------------------------------------------------------------------------------------------------


def test_a_request_is_exactly_what_was_packed_with_the_officials_clients_credentials() -> None:
    with FaultServer() as server:
        made = sender(server)
        replies = [made.send(ROWS.body, deadline_s=5) for _ in range(5)]
        made.close()

    assert [(r.status, r.body, r.complete, r.sent) for r in replies] == [(200, b"{}", True, True)] * 5
    seen = server.seen[0]
    assert (seen.line, seen.body) == ("POST /api/v2/batch HTTP/1.1", ROWS.body)
    assert seen.headers["authorization"] == "Basic " + b64encode(f"site:{SECRET}".encode()).decode()
    assert (seen.headers["user-agent"], seen.headers["content-type"]) == ("revetl/9.9", "application/json")
    assert seen.headers["accept-encoding"] == "identity"
    assert {s.connection for s in server.seen} == {1}, "the connection is kept"


def test_nothing_of_the_environment_decides_where_requests_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        with FaultServer() as server:
            assert ask(server).status == 200
    assert b64encode(f"site:{SECRET}".encode()).decode() in server.seen[0].headers["authorization"]


def test_credentials_beyond_latin_1_are_sent_as_utf_8() -> None:
    with FaultServer() as server:
        made = TrackSender(site_id="site", api_key="kłucz", base_url=server.url)
        assert made.send(b"{}", deadline_s=5).status == 200
        made.close()

    assert server.seen[0].headers["authorization"] == "Basic " + b64encode("site:kłucz".encode()).decode()


def test_each_of_many_threads_gets_its_own_answer_and_idle_connections_stay_few() -> None:
    script = [say(200, b'{"n":%d}' % i) for i in range(64)]
    with FaultServer(script) as server:
        made = sender(server, concurrency=4)
        with ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(lambda i: made.send(b"%d" % i, deadline_s=5), range(64)))
        made.close()

    assert sorted(int(s.body) for s in server.seen) == list(range(64)), "each once"
    assert sorted(r.body for r in replies) == sorted(b'{"n":%d}' % i for i in range(64)), "no answer twice"
    assert server.accepted <= 64


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com", "https://track.customer.io", "http://169.254.169.254", "http://10.0.0.1", "http://0.0.0.0",
        "http://2130706433", "http://0x7f000001", "http://127.1", "http://127.0.0.1.example.com", "http://localhost.example",
        "http://127.0.0.1@example.com", "http://example.com@127.0.0.1", "http://a:b@127.0.0.1", r"http://127.0.0.1\@example.com",
        r"http://example.com\@127.0.0.1", "http://example.com#@127.0.0.1", "http://example.com?@127.0.0.1", "http://127.0.0.1?x=1",
        "http://127.0.0.1#x", "ftp://127.0.0.1", "file:///etc/passwd", "//127.0.0.1", "127.0.0.1:80", "http://", "http://[::2]",
        "http://[fe80::1]", "http://[::ffff:8.8.8.8]", "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://[::1", "gopher://127.0.0.1",
        "http://①②⑦.0.0.1", "http://1.1.1.1 &@127.0.0.1", "javascript:127.0.0.1", "http://0", "http://017700000001",
        "unix:///tmp/x", "http://metadata.google.internal", "http://localhost.", "http://127.0.0.1:0",
    ],
)  # fmt: skip
def test_only_this_machine_can_stand_in_for_customer_io(url: str) -> None:
    with pytest.raises(ConfigError):
        TrackSender(site_id="s", api_key="k", base_url=url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8", "https://127.0.0.1:8/", "http://localhost:8", "http://[::1]:8", "http://127.0.0.2:8"])
def test_loopback_is_taken(url: str) -> None:
    TrackSender(site_id="s", api_key="k", base_url=url).close()


def test_a_region_or_certificate_that_does_not_exist_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`us` or `eu`"):
        TrackSender(site_id="s", api_key="k", region="ap")
    with pytest.raises(ConfigError, match="ca_file"):
        TrackSender(site_id="s", api_key="k", ca_file=str(tmp_path / "none.pem"))


# --- answers ------------------------------------------------------------------------------------------------------

HALF = NAMED[: len(NAMED) // 2]
UNKNOWN = (Outcome.UNKNOWN, ())
REFUSED = (Outcome.ACCEPTED, (2,))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (say(200), (Outcome.ACCEPTED, ())),
        (say(207, NAMED), REFUSED),
        (Answer(parts=(b"HTTP/1.1 207 x\r\nTransfer-Encoding: chunked\r\n\r\n57\r\n" + NAMED + b"\r\n0\r\n\r\n",)), REFUSED),
        (Answer(parts=(b"HTTP/1.0 207 x\r\n\r\n" + NAMED,), then="close"), REFUSED),
        (Answer(parts=(b"HTTP/1.1 100 Continue\r\n\r\n", http(207, NAMED))), REFUSED),
        (Answer(parts=(http(207, HALF, length=len(NAMED)),), then="close"), UNKNOWN),
        (Answer(parts=(http(207, HALF, length=len(NAMED)),), then="reset"), UNKNOWN),
        (Answer(parts=(b"HTTP/1.0 207 x\r\n\r\n" + HALF,), then="close"), UNKNOWN),
        (Answer(parts=(b"HTTP/1.1 207 x\r\nTransfer-Encoding: chunked\r\n\r\n57\r\n" + NAMED + b"\r\n",), then="close"), UNKNOWN),
        (Answer(parts=(b"HTTP/1.1 207 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + NAMED,), then="close"), UNKNOWN),
        (say(207, NAMED, length=len(HALF)), UNKNOWN),
        (say(200, b""), UNKNOWN),
        (say(200, b"<html><body>welcome to the hotel</body></html>"), UNKNOWN),
        (say(200, b"[]"), UNKNOWN),
        (say(200, gzip.compress(b"{}"), "Content-Encoding: gzip"), UNKNOWN),
        (say(200, b'{"errors":"none"}'), UNKNOWN),
        (say(204, b""), UNKNOWN),
        (Answer(parts=(b"",), then="close"), UNKNOWN),
        (Answer(parts=(b"",), then="reset"), UNKNOWN),
        (Answer(parts=(b"SSH-2.0-OpenSSH_9.6\r\n",), then="close"), UNKNOWN),
        (Answer(parts=(b"HTTP/1.1 2x0 OK\r\n\r\n{}",), then="close"), UNKNOWN),
        (Answer(parts=(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n{}",), then="close"), UNKNOWN),
        (Answer(parts=(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n{}",), then="close"), UNKNOWN),
        (Answer(parts=(b"HTTP/1.1 103 Early Hints\r\n\r\n",), then="close"), UNKNOWN),
        (say(500), UNKNOWN),
        (say(502, b"<html>Bad Gateway</html>"), UNKNOWN),
        (say(401), (Outcome.NOT_SENT, ())),
        (say(429), (Outcome.NOT_SENT, ())),
    ],
)  # fmt: skip
def test_only_a_whole_and_understood_answer_accepts(answer: Answer, expected: tuple[Outcome, tuple[int, ...]]) -> None:
    with FaultServer([answer]) as server:
        found = verdict(ask(server))

    assert (found.outcome, tuple(r.seq for r in found.refusals)) == expected
    assert len(server.seen) == 1, "one request, whatever comes back"


def test_an_endless_answer_is_read_to_its_limit_only() -> None:
    endless = Answer(parts=(b"HTTP/1.1 200 OK\r\n\r\n", b'"' + b"x" * 65_536), repeat=True)
    with FaultServer([endless]) as server:
        began = time.monotonic()
        reply = ask(server, deadline_s=20)

    assert time.monotonic() - began < 5
    assert len(reply.body) <= MAX_REPLY_BYTES
    assert verdict(reply).outcome is Outcome.UNKNOWN


def test_a_bomb_of_zeros_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * 200_000_000, 9)[:900_000]
    with FaultServer([say(200, bomb, "Content-Encoding: gzip")]) as server:
        reply = ask(server)

    assert len(reply.body) == len(bomb)
    assert verdict(reply).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with FaultServer() as elsewhere, FaultServer([say(status, b"", f"Location: {elsewhere.url}/api/v2/batch")]) as server:
        found = verdict(ask(server))

    assert found.action is Action.STOP_CONFIG
    assert (len(server.seen), elsewhere.accepted) == (1, 0)


def test_an_answer_that_comes_twice_is_not_taken_for_that_of_the_next_request() -> None:
    with FaultServer([Answer(parts=(http(200) + http(200),)), say(500)]) as server:
        made = sender(server)
        replies = [made.send(ROWS.body, deadline_s=5) for _ in range(2)]
        made.close()

    assert [r.status for r in replies] == [200, 500]


@pytest.mark.parametrize("taken", [0, 1, 17, 1_000, 60_000])
def test_a_connection_reset_within_the_request_leaves_it_unknown(taken: int) -> None:
    with FaultServer([Answer(read_body=taken, then="reset")]) as server:
        reply = ask(server, body=b"x" * 400_000)

    assert (reply.status, reply.sent) == (0, True)
    assert verdict(reply).outcome is Outcome.UNKNOWN


def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    with FaultServer([Answer(parts=(http(200),), then="close"), say(200)]) as server:
        made = sender(server)
        first, second = made.send(b"1", deadline_s=5), made.send(b"2", deadline_s=5)
        # the goodbye may cross the second request: then its outcome is unknown, and the next attempt is on a new one
        third = made.send(b"3", deadline_s=5)
        made.close()

    assert first.status == third.status == 200
    assert second.status == 200 or second.sent


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7), ("0", 0), ("36000", 36_000), ("1.5", 1.5), ("-5", None), ("soon", None), ("", None), ("10h", None),
        ("1e9", None), ("٣", None), ("99999999999", None), ("7, 8", None), ("Wed, 99 Foo 2026 00:00:00 GMT", None),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date_and_nonsense_is_no_wish(text: str, seconds: float | None) -> None:
    answer = http(429).replace(b"\r\n\r\n", b"\r\nretry-after: " + text.encode("utf-8") + b"\r\n\r\n", 1)
    with FaultServer([Answer(parts=(answer,))]) as server:
        assert ask(server).retry_after_s == seconds


def test_retry_after_as_a_date_is_the_time_until_then() -> None:
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
    with FaultServer([say(429, b"", f"Retry-After: {format_datetime(until, usegmt=True)}")]) as server:
        found = ask(server).retry_after_s

    assert found is not None
    assert 80 < found <= 90


def damaged(rng: random.Random) -> bytes:
    """A partial answer that names row 2, damaged without digits, so that no other row can be meant."""
    raw = http(207, NAMED) if rng.random() < 0.5 else b"HTTP/1.0 207 x\r\n\r\n" + NAMED
    for _ in range(rng.randint(1, 4)):
        at, to = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
        junk = "".join(rng.choice('{}[]",:<>\\ \r\n\0ÿxn') for _ in range(rng.randint(0, 6))).encode()
        kind = rng.randrange(4)
        raw = [raw[:at], raw[:at] + junk + raw[at:], raw[:at] + raw[to:], raw[:at] + junk + raw[to:]][kind]
    return raw


def test_five_hundred_damaged_answers_never_acknowledge_the_named_row() -> None:
    rng = random.Random(11)
    script = [Answer(parts=(damaged(rng),), then="close") for _ in range(500)]
    understood = 0
    with FaultServer(script) as server:
        made = sender(server)
        for answer in script:
            reply = made.send(ROWS.body, deadline_s=5)
            found = verdict(reply)
            if found.action is Action.DONE:
                understood += 1
                assert [r.seq for r in found.refusals] == [2], answer.parts
            assert found.outcome is not Outcome.NOT_SENT or reply.status in {401, 403, 429, 400}, answer.parts
        made.close()

    assert len(server.seen) >= 495, "a goodbye may cross a request now and then"
    assert 0 < understood < 250


# --- time ---------------------------------------------------------------------------------------------------------


def greet_slowly(connection: socket.socket, over: threading.Event) -> None:
    """A TLS record of which a byte comes now and then."""
    while not over.is_set():
        connection.sendall(b"\x16")
        over.wait(0.1)


def never_read(connection: socket.socket, over: threading.Event) -> None:
    over.wait(30)


DRIPS = {
    "silence": Answer(delay_s=30),
    "status": Answer(parts=tuple(bytes([c]) for c in http(200)), every_s=0.1),
    "headers": Answer(parts=(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), every_s=0.1, repeat=True),
    "continue": Answer(parts=(b"HTTP/1.1 100 Continue\r\n\r\n",), every_s=0.05, repeat=True),
    "body": Answer(parts=(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "), every_s=0.1, repeat=True),
    "chunks": Answer(parts=(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"), every_s=0.1, repeat=True),
    "body until close": Answer(parts=(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" "), every_s=0.1, repeat=True),
}


@pytest.mark.parametrize("kind", DRIPS)
def test_the_deadline_is_for_the_whole_exchange_not_between_bytes(kind: str) -> None:
    with FaultServer([DRIPS[kind]]) as server:
        began = time.monotonic()
        reply = ask(server, deadline_s=0.7)
        seconds = time.monotonic() - began

    assert 0.6 < seconds < 1.7, kind
    assert (reply.complete, reply.sent, reply.error) == (False, True, "Deadline")
    assert verdict(reply).outcome is Outcome.UNKNOWN


def test_a_server_that_does_not_read_is_left_in_time() -> None:
    with FaultServer(greet=never_read) as server:
        began = time.monotonic()
        reply = ask(server, deadline_s=0.7, body=b"x" * 30_000_000)

    assert time.monotonic() - began < 2.5
    assert (reply.status, reply.sent) == (0, True)


@pytest.mark.parametrize("greet", [greet_slowly, never_read])
def test_a_handshake_that_never_ends_is_left_in_time_and_sends_nothing(
    greet: Callable[[socket.socket, threading.Event], None],
) -> None:
    with FaultServer(greet=greet) as server:
        made = TrackSender(site_id="site", api_key=SECRET, base_url=f"https://127.0.0.1:{server.port}")
        began = time.monotonic()
        reply = made.send(ROWS.body, deadline_s=0.7)
        seconds = time.monotonic() - began
        made.close()

    assert seconds < 1.7
    assert (reply.status, reply.sent) == (0, False)


def test_after_a_deadline_the_next_request_is_on_a_new_connection() -> None:
    with FaultServer([Answer(parts=(http(200),), delay_s=0.5), say(503)]) as server:
        made = sender(server)
        late, next_ = made.send(b"1", deadline_s=0.2), made.send(b"2", deadline_s=5)
        made.close()

    assert (late.error, next_.status) == ("Deadline", 503)
    assert [s.connection for s in server.seen] == [1, 2]


def test_closing_ends_requests_that_are_under_way_and_is_final() -> None:
    with FaultServer([Answer(delay_s=30)]) as server:
        made = sender(server)
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(made.send, ROWS.body, deadline_s=20)
            while not server.seen:
                threading.Event().wait(0.01)
            began = time.monotonic()
            made.close()
            reply = future.result(5)

        assert time.monotonic() - began < 1
        assert verdict(reply).outcome is Outcome.UNKNOWN
        after = made.send(ROWS.body, deadline_s=5)
        assert (after.sent, len(server.seen)) == (False, 1)
        made.close()


# --- connecting ---------------------------------------------------------------------------------------------------


def test_a_refused_connection_has_certainly_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = TrackSender(site_id="site", api_key=SECRET, base_url=f"http://127.0.0.1:{port}")
    reply = made.send(ROWS.body, deadline_s=5)
    made.close()

    assert (reply.status, reply.sent, reply.error) == (0, False, "ConnectionRefusedError")
    assert (verdict(reply).action, verdict(reply).outcome) == (Action.RETRY, Outcome.NOT_SENT)


@pytest.mark.parametrize(("region", "host"), [("us", "track.customer.io"), ("eu", "track-eu.customer.io")])
def test_a_name_that_does_not_resolve_has_sent_nothing_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, region: str, host: str
) -> None:
    asked: list[tuple[str, int]] = []

    def resolve(name: str, port: int, *rest: Any, **more: Any) -> Any:
        asked.append((name, port))
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    made = TrackSender(site_id="site", api_key=SECRET, region=region)
    replies = [made.send(ROWS.body, deadline_s=5) for _ in range(2)]
    made.close()

    assert asked == [(host, 443)] * 2
    assert [(r.sent, r.error) for r in replies] == [(False, "gaierror")] * 2


# --- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_certificate_of_a_named_authority_is_taken(authority: Authority) -> None:
    with FaultServer(tls=authority.server(LOCAL)) as server:
        assert verdict(ask(server, ca_file=str(authority.file))).outcome is Outcome.ACCEPTED


def speak_plainly(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65_536)
    connection.sendall(http(400, b"this is a plain HTTP port"))
    over.wait(5)


@pytest.mark.parametrize("wrong", ["unknown authority", "expired", "another host", "no TLS at all"])
def test_a_server_that_cannot_be_verified_gets_nothing_and_is_not_asked_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(authority.file))  # must have no say
    context = {
        "unknown authority": authority.server(LOCAL),
        "expired": authority.server(LOCAL, days=(-3, -2)),
        "another host": authority.server(x509.DNSName("example.com")),
    }.get(wrong)
    ca_file = "" if wrong == "unknown authority" else str(authority.file)
    with FaultServer(tls=context, greet=None if context else speak_plainly) as server:
        made = TrackSender(site_id="site", api_key=SECRET, base_url=f"https://127.0.0.1:{server.port}", ca_file=ca_file)
        reply = made.send(ROWS.body, deadline_s=5)
        with pytest.raises(ConfigError, match="certificate"):
            made.workspace()
        made.close()

    assert (reply.sent, verdict(reply).action, verdict(reply).outcome) == (False, Action.STOP_CONFIG, Outcome.NOT_SENT)
    assert not [s for s in server.seen if CANARY.encode() in s.body]


def test_a_handshake_that_is_broken_off_is_trouble_of_the_network(authority: Authority) -> None:
    def hang_up(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(1)
        connection.close()

    with FaultServer(greet=hang_up) as server:
        made = TrackSender(site_id="s", api_key="k", base_url=f"https://127.0.0.1:{server.port}")
        found = verdict(made.send(ROWS.body, deadline_s=5))
        made.close()

    assert (found.action, found.outcome) == (Action.RETRY, Outcome.NOT_SENT)


# --- which workspace ----------------------------------------------------------------------------------------------

REGION = b'{"url":"https://track.customer.io","region":"us","environment_id":77}'


def workspace(server: FaultServer) -> Any:
    made = sender(server)
    try:
        return made.workspace()
    finally:
        made.close()


def test_the_workspace_is_what_the_region_call_says() -> None:
    with FaultServer([say(200, REGION)]) as server:
        found = workspace(server)

    assert (found.environment_id, found.region, found.url) == (77, "us", "https://track.customer.io")
    with FaultServer([say(200, REGION)]) as again:
        made = sender(again)
        assert made.workspace_id() == "77"
        made.close()
    assert server.seen[0].line == "GET /api/v1/accounts/region HTTP/1.1"


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (say(401), CredentialsRefused, "refused the credentials"),
        (say(403), CredentialsRefused, "refused the credentials"),
        (say(503), DestinationDown, "HTTP 503"),
        (say(500, REGION), DestinationDown, "HTTP 500"),
        (say(200, b"<html>"), DestinationDown, "could not be asked"),
        (say(200, b'{"environment_id":null,"region":"us","url":""}'), DestinationDown, "could not be asked"),
        (Answer(parts=(http(200, REGION, length=999),), then="close"), DestinationDown, "could not be asked"),
        (Answer(then="reset"), DestinationDown, "ConnectionResetError"),
        (say(301, b"", "Location: https://track-eu.customer.io/api/v1/accounts/region"), ConfigError, "track-eu.customer.io"),
    ],
)  # fmt: skip
def test_a_workspace_that_cannot_be_told_is_an_error_of_its_kind(answer: Answer, error: type[Exception], says: str) -> None:
    with FaultServer([answer]) as server, pytest.raises(error, match=says) as raised:
        workspace(server)

    assert SECRET not in str(raised.value)
    assert len(server.seen) == 1


def test_a_workspace_of_the_other_region_is_refused_with_the_line_to_write(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The official host's name, resolved to this machine, with a certificate for that name."""
    body = REGION.replace(b'"us"', b'"eu"')
    with FaultServer([say(200, body)], tls=authority.server(x509.DNSName("track.customer.io"))) as server:
        here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [here])
        made = TrackSender(site_id="s", api_key="k", region="us", ca_file=str(authority.file))
        with pytest.raises(ConfigError) as raised:
            made.workspace()
        made.close()

    assert "region: eu" in raised.value.hint
    assert server.seen[0].headers["host"] == "track.customer.io"


# --- a deadline that passes at an odd moment ----------------------------------------------------------------------


def test_what_connects_only_after_the_deadline_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver cannot be interrupted; when it answers too late, the request must not start any more."""
    real = socket.getaddrinfo

    def slowly(*rest: Any, **more: Any) -> Any:
        threading.Event().wait(0.5)
        return real(*rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    with FaultServer() as server:
        reply = ask(server, deadline_s=0.2)

    assert (reply.status, reply.sent, reply.error) == (0, False, "Deadline")
    assert not server.seen
    assert verdict(reply).outcome is Outcome.NOT_SENT


def test_a_watch_that_comes_too_late_does_not_hit_the_next_exchange() -> None:
    wire = _Wire()
    first = wire.begin()
    wire.end()
    wire.cut(first)
    second = wire.begin()
    wire.cut(first)
    assert wire.was_cut is False

    wire.sending()
    wire.cut(second)
    assert (wire.sent, wire.was_cut) == (True, True)


def test_on_a_kept_connection_too_nothing_starts_after_the_deadline() -> None:
    wire = _Wire()
    wire.cut(wire.begin())

    with pytest.raises(TimeoutError):
        wire.sending()
    assert wire.sent is False
