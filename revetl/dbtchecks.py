"""What dbt's files mean for a sync that reads what dbt built. Pure.

Columns and types that dbt promises are compared with the contract when the project is loaded; failed tests, sources that
are not fresh and models that were not built stop a run before its first request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Protocol

from revetl.contracts import Field, FieldType, Sync
from revetl.dbt import Dbt, Node
from revetl.errors import ConfigError, GuardTripped, Notice, RevetlError
from revetl.nearest import near

FAILED = ("fail", "error", "runtime error")
# what a declared `data_type` begins with → the types of a contract that the plan can cast it to without losing anything
_NUMBERS = {FieldType.INTEGER, FieldType.NUMBER, FieldType.STRING}
_TYPES: tuple[tuple[str, set[FieldType]], ...] = (
    (r"bool|bit\b", {FieldType.BOOLEAN, FieldType.STRING}),
    (r"(tiny|small|big|huge|u|byte)?int|serial|float|double|real|numeric|decimal|number|bignumeric",
     {*_NUMBERS, FieldType.TIMESTAMP}),
    (r"timestamp|datetime", {FieldType.TIMESTAMP, FieldType.DATE, FieldType.STRING}),
    (r"date\b", {FieldType.DATE, FieldType.TIMESTAMP, FieldType.STRING}),
    (r"array|list|.*\[\]", {FieldType.ARRAY}),
)  # fmt: skip
_MISSING = re.compile(r"does not exist|not found|doesn't exist|cannot be found|unknown (table|schema|database)", re.IGNORECASE)


class _Tell(Protocol):
    def __call__(self, message: str, hint: str, code: str, *, stop: bool) -> None:
        """Stop a sync, or say a word."""


def inherited(dbt: Dbt, syncs: Mapping[str, Sync], problems: list[ConfigError]) -> dict[str, Sync]:
    """The syncs with the owner, descriptions and marks that dbt's files have, where they have none of their own.

    Columns that dbt's contract does not have are problems: nothing has to be asked of the warehouse for that.
    """
    found = {}
    for name, sync in syncs.items():
        node = dbt.node(sync.model) if sync.model in dbt else None
        if node is not None:
            problems += broken(sync, node)
        found[name] = sync if node is None else replace(
            sync, owner=sync.owner or node.owner, description=sync.description or node.description,
            fields=tuple(_described(one, node) for one in sync.fields),
        )  # fmt: skip
    return found


def _described(one: Field, node: Node) -> Field:
    column = node.columns.get(one.column.lower())
    if column is None:
        return one
    return replace(one, description=one.description or column.description, pii=column.pii)


def broken(sync: Sync, node: Node) -> list[ConfigError]:
    """What a sync reads and dbt's enforced contract does not have, or has in another type."""
    if not node.contract or not node.columns:
        return []
    out = []
    for one in sync.fields:
        column = node.columns.get(one.column.lower())
        if column is None:
            out.append(ConfigError(
                f"{one.name!r} reads the column {one.column!r}, which the contract of dbt's {node.name!r} does not have"
                f"{near(one.column, [c.name for c in node.columns.values()])}",
                where=one.where, code="RV455", hint=f"it has: {', '.join(c.name for c in node.columns.values())}",
            ))  # fmt: skip
        elif not _fits(column.type, one.type):
            out.append(ConfigError(
                f"{one.name!r} is {'an' if str(one.type)[0] in 'aeiou' else 'a'} {one.type}, and the contract of dbt's "
                f"{node.name!r} says {column.name}: {column.type}",
                where=one.where, code="RV456", hint="change `type` here, or `data_type` in dbt",
            ))  # fmt: skip
    read = {"key": sync.key, "person": sync.person, "occurred_at": sync.occurred_at}
    for what, name in read.items():
        if name and name.lower() not in node.columns:
            out.append(ConfigError(
                f"{what!r} reads the column {name!r}, which the contract of dbt's {node.name!r} does not have"
                f"{near(name, [c.name for c in node.columns.values()])}",
                where=sync.where, code="RV455", hint=f"it has: {', '.join(c.name for c in node.columns.values())}",
            ))  # fmt: skip
    return out


def _fits(declared: str, wanted: FieldType) -> bool:
    """Whether a type can be what a field says; types that are not known here are left to the warehouse."""
    kind = declared.strip().lower()
    for pattern, types in _TYPES:
        if re.match(pattern, kind) and not ("[]" in kind and FieldType.ARRAY not in types):
            return wanted in types
    return True


# --- before a run ------------------------------------------------------------------------------------------------------


def standing(dbt: Dbt, sync: Sync, reads: Sequence[str], today: date) -> tuple[list[RevetlError], list[Notice]]:
    """What stops a sync, and what is worth a word, by dbt's last results.

    Args:
        reads: the nodes that the sync reads, directly or by models of the project.
    """
    stops: list[RevetlError] = []
    notices: list[Notice] = []

    def tell(message: str, hint: str, code: str, *, stop: bool) -> None:
        if stop:
            stops.append(GuardTripped(f"sync {sync.name!r}: {message}; nothing was sent", hint=hint, where=sync.where, code=code))
        else:
            notices.append(Notice(code=code, message=f"sync {sync.name!r}: {message}", hint=hint))

    for name in reads:
        node = dbt.node(name)
        _old(node, today, tell)
    built = dbt.stored(reads)
    for name in built if dbt.on_tests != "ignore" else ():
        _outcomes(dbt, dbt.node(name), tell)
    for name in dict.fromkeys((*reads, *built)) if dbt.on_tests != "ignore" else ():
        _failures(dbt, dbt.node(name), tell)
    _ages(dbt, dbt.above(reads), tell)
    return stops, notices


def _old(node: Node, today: date, tell: _Tell) -> None:
    if node.deprecated is None:
        return
    newer = f"ref('{node.name}', v={node.latest})" if node.latest and node.latest != node.version else ""
    verb = "is deprecated since" if node.deprecated <= today else "will be deprecated on"
    hint = f"read {newer} instead" if newer else "ask its owner what follows it"
    tell(f"dbt's {node.selector!r} {verb} {node.deprecated}", hint, "RV454", stop=False)


def _outcomes(dbt: Dbt, node: Node, tell: _Tell) -> None:
    """A model that dbt could not build in its last run has the rows of an earlier one."""
    found = dbt.outcomes.get(node.id)
    if found is not None and found.status in {"error", "skipped", "partial success"}:
        said = {"error": "could not build", "skipped": "skipped"}.get(found.status, "built only a part of")
        tell(f"dbt {said} {node.name!r} in its last run, so its rows are older", dbt.names.build(f"+{node.selector}"), "RV452",
             stop=dbt.on_tests == "stop")  # fmt: skip


def _failures(dbt: Dbt, node: Node, tell: _Tell) -> None:
    tests, build = dbt.tests(node.id), dbt.names.build(node.selector)
    known = [(one, dbt.outcomes[one].status) for one in tests if one in dbt.outcomes]
    failed = [_short(one) for one, status in known if status in FAILED]
    warned = [_short(one) for one, status in known if status == "warn"]
    if failed:
        tell(f"tests of dbt's {node.name!r} failed: {', '.join(failed)}", f"correct it, then: {build}", "RV451",
             stop=dbt.on_tests == "stop")  # fmt: skip
    if warned:
        tell(f"tests of dbt's {node.name!r} warned: {', '.join(warned)}", build, "RV451", stop=False)
    if tests and not known:
        count = f"{len(tests)} tests" if len(tests) > 1 else "test"
        last = f"dbt's last command ({dbt.command}) did not try" if dbt.command else "dbt has left no result of"
        tell(f"{last} the {count} of {node.name!r}", build, "RV462", stop=False)


def _short(test: str) -> str:
    """`test.shop.not_null_customers_id.1a2b3c` → `not_null_customers_id`."""
    parts = test.split(".")
    return parts[2] if parts[0] == "test" and len(parts) > 2 else ".".join(parts[2:])  # noqa: PLR2004 package and name


def _ages(dbt: Dbt, names: Iterable[str], tell: _Tell) -> None:
    if dbt.on_freshness == "ignore":
        return
    for name in names:
        found = dbt.fresh.get(name)
        if found is None or found.status not in {*FAILED, "warn"}:
            continue
        node = dbt.node(name)
        loaded = f": its newest row is of {found.loaded_at[:16]}" if found.loaded_at else ""
        at = f" (dbt looked at {found.checked_at[:16]})" if found.checked_at else ""
        known = f"dbt's {node.selector} is not fresh{loaded}"
        tell((f"dbt could not tell how fresh {node.selector} is" if found.status == "runtime error" else known) + at,
             f"load it, then: dbt source freshness --select {node.selector}{dbt.names.home}", "RV453",
             stop=found.status != "warn" and dbt.on_freshness == "stop")  # fmt: skip


def is_missing(message: str) -> bool:
    """Whether a warehouse says that a relation, or the schema or database of one, is not there."""
    return bool(_MISSING.search(message)) and not re.search(r"\bcolumn\b", message, re.IGNORECASE)


def not_built(dbt: Dbt, reads: Sequence[str], message: str) -> ConfigError | None:
    """If a warehouse misses a relation of dbt's: which, and the command that builds it."""
    if not is_missing(message):
        return None
    nodes = [dbt.node(name) for name in dbt.stored(reads)]
    for part in ("identifier", "schema", "database"):
        for node in nodes:
            name = str(getattr(node, part))
            if name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message, re.IGNORECASE):
                return _absent(dbt, node)
    return None


def _absent(dbt: Dbt, node: Node) -> ConfigError:
    if node.kind == "source":
        return ConfigError(f"dbt's {node.selector} ({node.relation}) is not in the warehouse", code="RV450",
                           hint="dbt does not build sources: load it, or choose another --target")  # fmt: skip
    return ConfigError(f"dbt's {node.kind} {node.name!r} ({node.relation}) is not in the warehouse", code="RV450",
                       hint=dbt.names.build(node.selector))  # fmt: skip
