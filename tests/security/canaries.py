"""Values that must not appear anywhere, and how they are looked for: as they are, and in every usual encoding."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

ENCODINGS = ("plain", "base64", "percent", "json")


def encoded(value: str) -> Iterator[tuple[str, str]]:
    """(encoding, text) of every form in which a value could be written; lower case where case does not matter."""
    raw = value.encode()
    yield "plain", value.lower()
    for before in range(3):
        # what stands around it decides the first and last letters; those between are the same wherever it begins
        skip = -(-before * 8 // 6)
        for coder in (b64encode, urlsafe_b64encode):
            text = coder(b"\0" * before + raw).decode().rstrip("=")
            yield "base64", text[skip : len(text) - 1]
    for text in (quote(value), quote_plus(value), quote(value, safe=""), "".join(f"%{b:02x}" for b in raw)):
        yield "percent", text.lower()
    escaped = "".join(f"\\u{ord(c):04x}" for c in value)
    for text in (json.dumps(value)[1:-1], json.dumps(json.dumps(value))[1:-1].strip('\\"'), escaped):
        yield "json", text.lower()


@dataclass(frozen=True, slots=True)
class Hit:
    """A canary that was found: what it is, in which kind of artifact, in which encoding."""

    canary: str
    kind: str
    encoding: str
    around: str


def search(artifacts: Mapping[str, Iterable[str]], canaries: Mapping[str, str]) -> list[Hit]:
    """Every canary in every artifact.

    Args:
        artifacts: texts by kind.
        canaries: values by name.
    """
    needles = [(name, *form) for name, value in canaries.items() for form in dict.fromkeys(encoded(value))]
    found = []
    for kind, texts in artifacts.items():
        for text in texts:
            lowered = text.lower()
            for name, encoding, needle in needles:
                at = (text if encoding == "base64" else lowered).find(needle)
                if at >= 0:
                    found.append(Hit(name, kind, encoding, text[max(0, at - 60) : at + 60]))
    return found
