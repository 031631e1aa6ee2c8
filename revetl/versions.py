"""What changed between two versions of a contract, and whether a change breaks a promise that was made. Pure.

A contract is compared as the JSON that `Sync.contract` gives and the state keeps. A rule of a field is *widened* if every
value that the old one accepts is accepted by the new one, else *narrowed*; where that cannot be decided (one pattern
against another), it counts as narrowed.

    added      an attribute or property that was not there
    removed    one that is no longer sent
    renamed    one that is sent under another name (`renamed_from`), or an event's other name
    retyped    another type (integer → number only widens)
    widened    it accepts all that it did, and more
    narrowed   some value that was accepted may be refused
    changed    it accepts the same, and is read or sent in another way
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Self

from revetl.contracts import NOW, Sync
from revetl.formats import rule_of

Kind = Literal["added", "removed", "renamed", "retyped", "widened", "narrowed", "changed"]
Facts = Mapping[str, Any]
BREAKING = frozenset({"removed", "retyped", "narrowed"})
# how a value is read and written; everything else of a field says which values are accepted
_FORM = ("column", "normalize", "zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a contract.

    Attributes:
        name: of the attribute or property (`items.sku` inside of one), or of a key of the sync.
        text: what it was and is, without the name.
        breaks: what was accepted and sent before may be refused or missing now.
    """

    kind: Kind
    name: str
    text: str = ""
    breaks: bool = False

    def __str__(self) -> str:
        """`+ loyalty_tier (added)`, `orders_count minimum 0 → 1 (narrowed)`."""
        sign = {"added": "+ ", "removed": "- "}.get(self.kind, "")
        return f"{sign}{self.name}{' ' if self.text else ''}{self.text} ({self.kind})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A version of a contract as the state keeps it; number 0 where none was ever kept."""

    number: int = 0
    digest: str = ""
    contract: Facts | None = None

    @classmethod
    def read(cls, text: str | None) -> Recorded:
        """From the control row."""
        if not text:
            return cls()
        found = json.loads(text)
        return cls(number=int(found["version"]), digest=str(found["digest"]), contract=found["contract"])

    def text(self) -> str:
        """As the control row keeps it."""
        found = {"version": self.number, "digest": self.digest, "contract": self.contract}
        return json.dumps(found, separators=(",", ":"), ensure_ascii=False)

    def contract_text(self) -> str:
        """The contract as the history keeps it."""
        return json.dumps(self.contract, separators=(",", ":"), ensure_ascii=False)

    def next(self, sync: Sync) -> Recorded:
        """The version that a run of this sync has: this one, or a new one if its contract is another."""
        digest = sync.contract_digest()
        if digest == self.digest:
            return self
        return Recorded(number=self.number + 1, digest=digest, contract=sync.contract())


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a run would change of a sync's contract.

    Attributes:
        old, new: numbers of the versions; `old` is 0 where none was kept.
    """

    old: int
    new: int
    changes: tuple[Change, ...] = ()

    @property
    def breaks(self) -> bool:
        """Whether something that was accepted or sent before may not be any more."""
        return any(change.breaks for change in self.changes)

    @classmethod
    def of(cls, recorded: Recorded, sync: Sync) -> Self:
        """Between what the state keeps and the sync."""
        new = recorded.next(sync)
        known = recorded.contract is not None and new is not recorded
        return cls(old=recorded.number, new=new.number,
                   changes=classify(recorded.contract or {}, sync.contract()) if known else ())  # fmt: skip


SAME = Difference(old=0, new=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An old name that would no longer be sent before the day that was promised."""

    name: str
    until: date
    now: date | None


def classify(old: Facts, new: Facts) -> tuple[Change, ...]:
    """Every change between two contracts, in the order of the new one; those that are gone come last."""
    out = [
        Change(kind="renamed" if key == "event" else "changed", name=key, text=_was(old.get(key), new.get(key)), breaks=True)
        for key in ("type", "event", "identifier")
        if old.get(key) != new.get(key)
    ]
    out += _rename_changes("event", old, new)
    out += _fields(old.get("fields", ()), new.get("fields", ()), "")
    known = {"type", "event", "identifier", "renamed_from", "fields"}
    out += [Change(kind="changed", name=key, text=_was(old.get(key), new.get(key)))
            for key in sorted({*old, *new} - known) if old.get(key) != new.get(key)]  # fmt: skip
    return tuple(out)


def early_ends(old: Facts, new: Facts, today: date) -> list[Ended]:
    """Old names that the recorded contract still sends today, and the new one does not, or for less long."""
    is_sent = {new.get("event"), *(field["name"] for field in new.get("fields", ()))}
    now = {name: until for _, name, until in _renames(new)}
    out = []
    for kind, name, until in _renames(old):
        sends = new.get("event") == name if kind == "event" else name in is_sent
        kept = now.get(name)
        if until >= today and not sends and (kept is None or kept < until):
            out.append(Ended(name=name, until=until, now=kept))
    return out


def _renames(contract: Facts) -> Iterator[tuple[str, str, date]]:
    for kind, facts in (("event", contract), *(("field", f) for f in contract.get("fields", ()))):
        renamed = facts.get("renamed_from")
        if renamed:
            yield kind, str(renamed["name"]), date.fromisoformat(renamed["until"])


# --- fields ------------------------------------------------------------------------------------------------------


def _fields(old: Sequence[Facts], new: Sequence[Facts], above: str) -> Iterator[Change]:
    was = {field["name"]: field for field in old}
    now = {field["name"]: field for field in new}
    gone = dict(was)
    for name, field in now.items():
        before = gone.pop(name, None)
        if before is None:
            renamed = (field.get("renamed_from") or {}).get("name", "")
            before = was.get(renamed) if renamed not in now else None
            if before is None:
                must = field.get("required", False) or field.get("on_null") == "refuse"
                yield Change(kind="added", name=above + name, text="required" if must else "", breaks=must)
                continue
            gone.pop(renamed, None)
            until = field["renamed_from"]["until"]
            yield Change(kind="renamed", name=above + name, text=f"was {renamed}; both are sent until {until}")
        else:
            yield from _rename_changes(above + name, before, field)
        yield from _field(above + name, before, field)
    for name in gone:
        yield Change(kind="removed", name=above + name, breaks=True)


def _rename_changes(name: str, old: Facts, new: Facts) -> Iterator[Change]:
    """What became of `renamed_from` itself."""
    was, now = old.get("renamed_from") or {}, new.get("renamed_from") or {}
    if was == now:
        return
    if not now:
        yield Change(kind="removed", name=was["name"], text=f"the old name of {name}, sent until {was['until']}")
    elif was.get("name") == now["name"]:
        yield Change(kind="changed", name=name, text=f"is sent as {now['name']} too until {was['until']} → {now['until']}")
    else:
        yield Change(kind="changed", name=name, text=f"is sent as {now['name']} too until {now['until']}")


def _field(name: str, old: Facts, new: Facts) -> Iterator[Change]:
    """The changes of one field; every one of them says whether it widens or narrows."""
    if old["type"] != new["type"]:
        if (old["type"], new["type"]) != ("integer", "number"):
            yield Change(kind="retyped", name=name, text=_was(old["type"], new["type"]), breaks=True)
            return
        yield Change(kind="widened", name=name, text="integer → number")
    was, now = _strict(old), _strict(new)
    for rule in _RULES:
        if old.get(rule) != new.get(rule):
            kind = _verdict(was, now, rule)
            yield Change(kind=kind, name=name, text=f"{rule} {_shown(old, new, rule)}", breaks=kind == "narrowed")
    yield from _nulls(name, was, now)
    yield from _policies(name, old, new)
    yield from _inside(name, old, new)
    known = {"name", "type", "required", "on_null", "items", "item", "renamed_from", *_POLICY, *_RULES}
    if old.get("column") != new.get("column"):  # a name that moves with its column, or away from it, moves no column
        old, new = ({**facts, "column": facts.get("column", facts["name"])} for facts in (old, new))
    for key in (*_FORM, *sorted({*old, *new} - known - {*_FORM})):
        if old.get(key) != new.get(key):
            yield Change(kind="changed", name=name, text=f"{key} {_was(old.get(key), new.get(key))}")


def _nulls(name: str, old: Facts, new: Facts) -> Iterator[Change]:
    """What a null or an empty text means: required refuses both, `on_null: refuse` the null only."""
    def said(field: Facts) -> str:
        return "required" if field.get("required") else f"on_null {field.get('on_null', 'skip')}"

    def strict(field: Facts) -> int:
        return 2 if field.get("required") else 1 if field.get("on_null") == "refuse" else 0

    was, now = strict(old), strict(new)
    if old["type"] != "string" or not _accepts(old, ""):  # nothing but a text can be empty
        was, now = min(was, 1), min(now, 1)
    if said(old) != said(new):
        kind: Kind = "narrowed" if now > was else "widened" if now < was else "changed"
        yield Change(kind=kind, name=name, text=f"{said(old)} → {said(new)}", breaks=now > was)


def _policies(name: str, old: Facts, new: Facts) -> Iterator[Change]:
    """Who only warns accepts; of rules that are the same, another policy is a change of its own."""
    if all(old.get(key) == new.get(key) for key in _POLICY):
        return
    now = [rule for rule in ("required", "on_null", *_RULES) if old.get(rule) == new.get(rule) and rule in new]
    looser = [rule for rule in now if rule in _strict(old) and rule not in _strict(new)]
    tighter = [rule for rule in now if rule in _strict(new) and rule not in _strict(old)]
    kind: Kind = "narrowed" if tighter else "widened" if looser else "changed"
    text = f"on_violation {_was(_policy(old), _policy(new))}"
    yield Change(kind=kind, name=name, text=text, breaks=bool(tighter))


def _policy(field: Facts) -> str:
    words = [str(field.get("on_violation", "refuse")), *(f"{rule}: {word}" for rule, word in field.get("by_rule", ()))]
    return ", ".join(words)


def _strict(field: Facts) -> Facts:
    """The field without the rules that only warn."""
    single = {rule: word for rule, word in field.get("by_rule", ())}  # noqa: C416 lists of two after JSON
    warns = {rule for rule in ("required", "on_null", *_RULES)
             if single.get(rule, field.get("on_violation", "refuse")) == "warn"}  # fmt: skip
    warns -= set() if field.get("on_null") == "refuse" else {"on_null"}
    return {key: value for key, value in field.items() if key not in warns}


def _inside(name: str, old: Facts, new: Facts) -> Iterator[Change]:
    """The declared properties of an object or of the objects of an array, or the contract of its items."""
    was, now, one, other = old.get("items"), new.get("items"), old.get("item"), new.get("item")
    if was and now:
        yield from _fields(was, now, f"{name}.")
    elif one and other:
        yield from _field(f"{name}[]", one, other)
    elif bool(was) != bool(now) or bool(one) != bool(other):
        wider = not now and not other
        text = f"items {_of(was, one)} → {_of(now, other)}"
        yield Change(kind="widened" if wider else "narrowed", name=name, text=text, breaks=not wider)


def _of(items: Sequence[Facts] | None, item: Facts | None) -> str:
    return "with fields" if items else str(item["type"]) if item else "any"


# --- rules -------------------------------------------------------------------------------------------------------

_POLICY = ("on_violation", "by_rule")
_LENGTHS = {"email": (0, 254), "e164": (8, 16), "iso4217": (3, 3), "iso3166": (2, 2)}  # bytes that a format allows


def _within(old: Facts, new: Facts, key: str) -> bool:
    """Whether the bound of the new field lets pass all that the old one does."""
    was, now = old.get(key), new.get(key)
    if now is None or was == now:
        return True
    if was is None or NOW in (was, now) or isinstance(was, str) != isinstance(now, str):
        return False
    if old["type"] == "integer":
        was, now = (math.ceil(was), math.ceil(now)) if key == "minimum" else (math.floor(was), math.floor(now))
    return bool(now <= was if key == "minimum" else now >= was)


def _lengths(field: Facts) -> tuple[float, float]:
    least, most = _LENGTHS.get(field.get("format", ""), (0, math.inf))
    return max(field.get("min_length") or 0, least), min(field.get("max_length") or math.inf, most)


# for each rule, whether every value that the first field accepts by it is accepted by the second one
_RULES: dict[str, Callable[[Facts, Facts], bool]] = {
    "minimum": lambda old, new: _within(old, new, "minimum"),
    "maximum": lambda old, new: _within(old, new, "maximum"),
    "min_length": lambda old, new: _lengths(new)[0] <= _lengths(old)[0],
    "max_length": lambda old, new: _lengths(new)[1] >= _lengths(old)[1],
    "min_items": lambda old, new: new.get("min_items", 0) <= old.get("min_items", 0),
    "max_items": lambda old, new: (new.get("max_items") or math.inf) >= (old.get("max_items") or math.inf),
    "format": lambda old, new: new.get("format") in {None, old.get("format")},
    "pattern": lambda old, new: new.get("pattern") in {None, old.get("pattern")},
    "enum": lambda old, new: not new.get("enum") or (bool(old.get("enum")) and {*old["enum"]} <= {*new["enum"]}),
}


def _verdict(old: Facts, new: Facts, rule: str) -> Kind:
    """Whether a rule that is another one now accepts more, less, or the same."""
    if old.get("enum") and NOW not in {one.get(key) for one in (old, new) for key in ("minimum", "maximum")}:
        was = {value for value in old["enum"] if _accepts(old, value)}  # few values: each of them is tried
        if not all(_accepts(new, value) for value in was):
            return "narrowed"
        return "changed" if new.get("enum") and {v for v in new["enum"] if _accepts(new, v)} == was else "widened"
    if not _RULES[rule](old, new):
        return "narrowed"
    return "changed" if _RULES[rule](new, old) else "widened"


def _accepts(field: Facts, value: Any) -> bool:  # noqa: ANN401 a value of an enum
    """Whether the rules let a value pass that is no null; `required`, which refuses an empty text, apart."""
    if field.get("enum") and value not in field["enum"]:
        return False
    if field["type"] != "string":
        least, most = field.get("minimum"), field.get("maximum")
        return (least is None or value >= least) and (most is None or value <= most)
    least, most = _lengths(field)
    if not least <= len(value.encode()) <= most or (field.get("pattern") and not re.fullmatch(field["pattern"], value)):
        return False
    return not field.get("format") or bool(rule_of(field["format"])[0](value))


# --- words ---------------------------------------------------------------------------------------------------------


def _was(old: object, new: object) -> str:
    return f"{_word(old)} → {_word(new)}"


def _word(value: object) -> str:
    return "none" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def _shown(old: Facts, new: Facts, rule: str) -> str:
    if rule != "enum":
        return _was(old.get(rule), new.get(rule))
    was, now = old.get("enum") or (), new.get("enum") or ()
    if not was or not now:
        return _was(len(was) or None, len(now) or None) + " values"
    words = [f"+{text}" for text in now if text not in was] + [f"-{text}" for text in was if text not in now]
    return " ".join(words) or "in another order"
