"""Answers that are wrong, made from a seed: for each, which rows of a request may be taken for accepted."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.faults.server import Answer, http

ROWS = 10
BAD = 7  # the row that is invalid in truth
TRUE = b'{"errors":[{"batch_index":7,"reason":"invalid","field":"attributes.x","message":"no"}]}'
OTHERS = frozenset(range(ROWS)) - {BAD}
NOBODY = frozenset[int]()


class Wrong(NamedTuple):
    """One answer.

    Attributes:
        kind: for a message.
        answer: closes its connection.
        may: the rows that it lets one take for accepted.
    """

    kind: str
    answer: Answer
    may: frozenset[int]


def _closing(raw: bytes) -> Answer:
    return Answer(parts=(raw,), then="close")


def _endless(status: int, body: bytes) -> bytes:
    """Without a length: the body ends with the connection."""
    return b"HTTP/1.0 %d x\r\n\r\n%b" % (status, body)


def _texts(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Bodies that say nothing one may rely on."""
    yield from (("empty", b""), ("white space", b" \r\n\t"), ("a byte order mark", b"\xef\xbb\xbf"), ("a zero", b"\0"))
    for page in ("<html>Welcome to the hotel</html>", "<!doctype html><h1>502</h1>", "OK", "true story", "upstream error"):
        yield "a page", page.encode()
    values: tuple[Any, ...] = ([], [{}], None, 0, 1, True, False, "", "ok", "{}", 1.5, [[]], [TRUE.decode()])
    for value in values:
        yield "no object", json.dumps(value).encode()
    values = ({}, "none", 0, 3, True, False, "", [1], [None], ["x"], [[]], [{}], [True], {"batch_index": 7})
    for value in values:
        yield "a wrong type of errors", json.dumps({"errors": value}).encode()
    values = (None, {}, "x", {"errors": []})
    for key in ("error", "meta"):
        for value in values:
            yield f"{key!r} beside", json.dumps({"errors": [{"batch_index": 7}], key: value}).encode()
    yield "a repeated key", b'{"errors":[{"batch_index":7}],"errors":[]}'
    yield "a repeated key", b'{"errors":[],"errors":[]}'
    yield "a repeated key inside", b'{"errors":[{"batch_index":7,"batch_index":3}]}'
    for text in (
        "-1", "10", "11", "99999999999999999999", "1e1", "7.0", '"7"', "null", "true", "[7]", "{}", "NaN", "1e400",
        "-Infinity", "07", "+7", "0x7", "7,", "9" * 5_000,
    ):  # fmt: skip
        yield "an index that is none", b'{"errors":[{"batch_index":%b}]}' % text.encode()
        yield "one good index and one bad", b'{"errors":[{"batch_index":7},{"batch_index":%b}]}' % text.encode()
    yield "no index", b'{"errors":[{"reason":"invalid"}]}'
    yield "NaN", b'{"errors":[{"batch_index":7}],"x":NaN}'
    yield "ten megabytes of nothing", b'{"x":"' + b" " * 10_000_000 + b'"}'
    yield "ten megabytes before the list", b" " * 10_000_000 + TRUE
    yield "the list before ten megabytes", TRUE + b" " * 10_000_000
    yield "too deep", b"[" * 200_000
    yield "too deep in the list", b'{"errors":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield "gzip", gzip.compress(TRUE)
    yield "half of a character", TRUE.replace(b"no", b"\xc3")
    yield "two answers", TRUE + TRUE
    yield "an answer and a tail", TRUE + b"<!-- served by a proxy -->"
    for _ in range(30):
        at, junk = rng.randrange(len(TRUE)), rng.choice([b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\0", b"\xff"])
        broken = TRUE[:at] + junk + TRUE[at + 1 :]
        if not _is_json(broken):
            yield "a broken byte", broken


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def corpus(count: int, seed: int) -> list[Wrong]:
    """So many wrong answers to a request of `ROWS` rows, of which `BAD` is invalid; the same for the same seed."""
    rng = random.Random(seed)
    found = []
    for kind, body in _texts(rng):
        status, form = rng.choice([200, 207]), rng.choice([http, _endless])
        found.append(Wrong(f"{status} with {kind}", _closing(form(status, body)), NOBODY))
    found += [
        Wrong(f"cut at byte {n}, with a length", _closing(http(207, TRUE)[:n]), NOBODY) for n in range(len(http(207, TRUE)))
    ]
    whole = _endless(207, TRUE)
    found += [Wrong(f"cut at byte {n}, without a length", _closing(whole[:n]), NOBODY) for n in range(len(whole))]
    chunked = b"HTTP/1.1 207 x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(TRUE), TRUE)
    found += [
        Wrong(f"chunks cut at byte {n}", _closing(chunked[:n]), NOBODY) for n in range(40, len(chunked) - 7, 3)
    ]
    found += [
        Wrong(f"length {n}", _closing(http(207, TRUE, length=n)), NOBODY) for n in (0, 1, 40, len(TRUE) - 1, len(TRUE) + 1, 10**9)
    ]
    found += [
        Wrong(kind, _closing(raw), NOBODY)
        for kind, raw in (
            ("another length", http(207, TRUE, "Content-Length: 2")),
            ("a negative length", http(207, TRUE[:-1], length=-5)),
            ("a wrong chunk", chunked.replace(b"57\r\n", b"zz\r\n")),
            ("a small chunk", chunked.replace(b"57\r\n", b"20\r\n")),
            ("no status", TRUE), ("a status word", b"HTTP/1.1 OK\r\n\r\n{}"),
            ("a status of two digits", b"HTTP/1.1 20 x\r\n\r\n" + TRUE),
            ("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n"), ("only hints", b"HTTP/1.1 103 x\r\n\r\n"),
            ("a switch", b"HTTP/1.1 101 x\r\n\r\n" + TRUE),
            ("a header without an end", b"HTTP/1.1 207 x\r\nX: " + b"y" * 100_000),
            ("many headers", http(207, TRUE, *["X: y"] * 500)),
            ("nothing", b""), ("a line end", b"\r\n"), ("204", b"HTTP/1.1 204 x\r\n\r\n"), ("205", http(205, b"")),
            ("202 without a list", http(202, b"{}")), ("206", http(206, TRUE[:20])), ("207 without a list", http(207, b"{}")),
        )
    ]  # fmt: skip
    # wrong in form, but what they say is certain
    found += [
        Wrong(kind, _closing(http(207, body)), OTHERS)
        for kind, body in (
            ("an index twice", b'{"errors":[{"batch_index":7},{"batch_index":7}]}'),
            ("texts that are none", b'{"errors":[{"batch_index":7,"reason":5,"field":[],"message":{}}]}'),
            ("half a surrogate", b'{"errors":[{"batch_index":7,"message":"\\ud800","field":"\\udfff"}]}'),
            ("a long message", b'{"errors":[{"batch_index":7,"message":"%b"}]}' % (b"x" * 900_000)),
            ("control characters", b'{"errors":[{"batch_index":7,"message":"\\u001b[31m\\u0000","reason":"\\u001b"}]}'),
            ("more keys", b'{"took":1,"errors":[{"batch_index":7,"more":[[[{}]]]}],"next":null}'),
        )
    ]
    assert len(found) <= count, f"there are {len(found)} without any noise"
    found += [Wrong("noise", _closing(http(200, rng.randbytes(rng.randint(1, 300)))), NOBODY) for _ in range(count - len(found))]
    rng.shuffle(found)
    return found
