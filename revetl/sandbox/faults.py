"""Faults on request, for rehearsals: what the server does instead of answering properly.

A fault lets `after` Track requests pass, then strikes `times` times. Kinds:

    status           answer `status` (with `retry_after` seconds, if given); nothing is applied
    reset            close the connection without an answer; nothing is applied
    apply_then_fail  apply the request, then close the connection without an answer
    apply_late       close the connection; apply the request just before the `late_by`-th request after it
    duplicate        apply the request twice, as a proxy does that delivers it twice, and answer the second one
    hang, slow       apply and answer after `seconds`; hang never answers
    drip             answer one byte at a time, `seconds` apart
    cut              apply, and answer with half of the body
    html             answer 200 with a page instead of JSON; nothing is applied
    reject           refuse every operation on identifier `key`, or a `share` of all (by a fixed hash), with a 207
    bad_207          apply, and answer 207 with an index out of range
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

KINDS = frozenset({
    "status", "reset", "apply_then_fail", "apply_late", "duplicate", "hang", "slow", "drip", "cut", "html", "reject", "bad_207",
})  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault and how often it still strikes."""

    kind: str
    after: int = 0
    times: int = 1
    status: int = 503
    retry_after: float | None = None
    seconds: float = 1.0
    late_by: int = 1
    share: float = 0.0
    key: str = ""

    def refuses(self, identifier: str) -> bool:
        """Whether a `reject` fault refuses operations on this identifier."""
        if self.key:
            return identifier == self.key
        return int(hashlib.sha256(identifier.encode()).hexdigest()[:8], 16) < self.share * 2**32


def parsed(specs: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """Faults from JSON objects; kind `none` stands for no fault.

    Raises:
        ValueError: an unknown kind or key.
    """
    known = {f.name for f in fields(Fault)}
    found = []
    for spec in specs:
        if spec.get("kind") == "none":
            continue
        if spec.get("kind") not in KINDS:
            raise ValueError(f"unknown kind of fault; there are: {', '.join(sorted(KINDS))}")
        if unknown := set(spec) - known:
            raise ValueError(f"unknown key of a fault: {', '.join(sorted(unknown))}")
        # JSON's fractions arrive as Decimal, with which nothing can be waited for
        plain: dict[str, Any] = {k: float(v) if isinstance(v, Decimal) else v for k, v in spec.items()}
        found.append(Fault(**plain))
    return found


def from_text(text: str) -> dict[str, Any]:
    """`status:status=503,times=3` as a spec."""
    kind, _, rest = text.partition(":")
    spec: dict[str, Any] = {"kind": kind}
    for pair in filter(None, rest.split(",")):
        name, _, value = pair.partition("=")
        spec[name] = value if name == "key" else float(value) if "." in value else int(value)
    return spec
