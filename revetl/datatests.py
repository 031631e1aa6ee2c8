"""Tests of models and sources, and the freshness of sources, in dbt's spelling: YAML to frozen values.

A file of `models/` may be shared with dbt: keys that are dbt's alone are left to it. What would be a gate and is none
(a test that revetl does not run) is a warning; what is nearly right is a mistake.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from revetl.errors import ConfigError, Where
from revetl.nearest import near
from revetl.yamlfile import Node

MODES = ("gate", "warn", "off")
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType({  # and the arguments of each
    "not_null": (), "unique": (), "accepted_values": ("values", "quote"), "relationships": ("to", "field"),
})  # fmt: skip
CONFIG_KEYS = ("severity", "where", "warn_if", "error_if", "limit", "fail_calc", "enabled")
DBTS_OWN = frozenset({"tags", "meta", "group", "database", "schema", "alias", "store_failures", "store_failures_as",
                      "description", "docs"})  # fmt: skip
FRESHNESS_KEYS = frozenset({"warn_after", "error_after", "filter"})
PERIODS: Mapping[str, int] = MappingProxyType({"minute": 60, "hour": 3_600, "day": 86_400})
SHORT = 64  # dbt's files of longer names carry a digest
_LIMIT = re.compile(r"(=|==|!=|<>|<=|>=|<|>)\s*(\d{1,15})|between\s+(\d{1,15})\s+and\s+(\d{1,15})", re.IGNORECASE)
_RELATION = re.compile(r"(ref|source)\(\s*(?:'([^']+)'|\"([^\"]+)\")\s*(?:,\s*(?:'([^']+)'|\"([^\"]+)\")\s*)?\)")
Text = Callable[[Node, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTest:
    """One test of one model or source.

    Attributes:
        name: as dbt makes it, or as it was given.
        kind: of `KINDS`.
        node: what is tested: `model.people`, `source.shop.orders`.
        column: an expression of SQL.
        severity: error | warn.
        condition: SQL of the rows that are looked at.
        warn_if, error_if: of the number of failing rows.
        limit: of the rows that are counted; 0 is none.
        fail_calc: SQL of the number.
        values: of accepted_values, as SQL.
        to, to_column: of relationships: the node and column that have every value.
    """

    name: str
    kind: str
    node: str
    column: str
    severity: str = "error"
    condition: str = ""
    warn_if: str = "!= 0"
    error_if: str = "!= 0"
    limit: int = 0
    fail_calc: str = "count(*)"
    values: tuple[str, ...] = ()
    to: str = ""
    to_column: str = ""
    where: Where = field(default=Where(file=""), compare=False)

    @property
    def file_name(self) -> str:
        """Of its compiled SQL, as dbt's: a long name is cut, with a digest."""
        if len(self.name) < SHORT:
            return self.name
        return f"{self.name[:30]}_{hashlib.md5(self.name.encode(), usedforsecurity=False).hexdigest()}"

    @property
    def nodes(self) -> tuple[str, ...]:
        """What its SQL reads."""
        return (self.node, self.to) if self.to else (self.node,)

    def status(self, failures: int) -> str:
        """`pass`, `warn` or `fail`, by dbt's rules."""
        if self.severity == "error" and met(self.error_if, failures):
            return "fail"
        return "warn" if met(self.warn_if, failures) else "pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """A limit of freshness."""

    count: int
    period: str

    @property
    def seconds(self) -> int:
        """As seconds."""
        return self.count * PERIODS[self.period]

    def __str__(self) -> str:
        """`12 hours`."""
        return f"{self.count} {self.period}{'' if self.count == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old the newest row of a source may be.

    Attributes:
        loaded_at: SQL of the time at which a row came.
        condition: SQL of the rows that are looked at.
    """

    loaded_at: str
    warn_after: Age | None = None
    error_after: Age | None = None
    condition: str = ""
    where: Where = field(default=Where(file=""), compare=False)

    def status(self, age_s: float | None) -> str:
        """`pass`, `warn` or `error`; a source without rows is as old as can be."""
        for word, limit in (("error", self.error_after), ("warn", self.warn_after)):
            if limit is not None and (age_s is None or age_s > limit.seconds):
                return word
        return "pass"


def met(condition: str, number: int) -> bool:
    """Whether a number meets a condition such as `> 10` or `between 1 and 5`."""
    found = _LIMIT.fullmatch(condition.strip())
    if found is None:
        raise ValueError(condition)
    if found[1] is None:
        return int(found[3]) <= number <= int(found[4])
    than = int(found[2])
    return {
        "=": number == than, "==": number == than, "!=": number != than, "<>": number != than,
        "<": number < than, ">": number > than, "<=": number <= than, ">=": number >= than,
    }[found[1]]  # fmt: skip


def dbt_name(kind: str, of: str, arguments: Mapping[str, Any]) -> str:
    """The name that dbt gives a test: its kind, what it is of, and its arguments by their names."""
    flat: list[Any] = []
    for _, value in sorted(arguments.items()):
        flat += value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    clean = "__".join(re.sub(r"[^0-9a-zA-Z_]+", "_", str(part)) for part in flat)
    return f"{kind}_{of}_{clean}"


class DataTestReader:
    """Reads `models:` and `sources:` of schema files.

    Args:
        models: names of the project's models.
        sources: `source.table` of its sources.
        text: a value of a mapping by its key, with its Jinja rendered.
        problems: takes every mistake.
        warnings: takes what would be no gate though it looks like one.
    """

    def __init__(
        self, models: Collection[str], sources: Collection[str], *, text: Text, problems: list[ConfigError],
        warnings: list[str],
    ) -> None:  # fmt: skip
        self.models = models
        self.sources = sources
        self.text = text
        self.problems = problems
        self.warnings = warnings

    def bad(self, message: str, node: Node, code: str = "RV471", hint: str = "") -> None:
        """Note a mistake."""
        self.problems.append(ConfigError(message, where=node.where, code=code, hint=hint))

    # --- tests ---------------------------------------------------------------------------------------------------

    def read(self, documents: Iterable[Node]) -> tuple[DataTest, ...]:
        """Every enabled test of the files, in their order."""
        found: dict[str, DataTest] = {}
        for document in documents:
            for node, owner in self._owners(document):
                for made in self._of_owner(node, owner):
                    if made.name in found:
                        self.problems.append(ConfigError(
                            f"test {made.name!r} exists already at {found[made.name].where}", where=made.where, code="RV014",
                            hint="give one of them a `name`",
                        ))  # fmt: skip
                    else:
                        found[made.name] = made
        return tuple(found.values())

    def _owners(self, document: Node) -> Iterator[tuple[str, Node]]:
        """Models and tables of sources, by node."""
        for entry in listed(document, "models"):
            yield f"model.{plain(entry, 'name')}", entry
        for source in listed(document, "sources"):
            for table in listed(source, "tables"):
                yield f"source.{plain(source, 'name')}.{plain(table, 'name')}", table

    def _of_owner(self, node: str, owner: Node) -> Iterator[DataTest]:
        entries = [("", False, entry) for entry in self._tests(owner)]
        for column in listed(owner, "columns"):
            quoted = bool(column.get("quote") and column.get("quote").value)  # type: ignore[union-attr]  # just asked
            entries += [(plain(column, "name"), quoted, entry) for entry in self._tests(column)]
        kind, _, name = node.partition(".")
        if entries and kind == "model" and name not in self.models:
            self.bad(f"there is no model {name!r}{near(name, self.models)}, so its tests would test nothing", owner, "RV472")
            return
        for column_name, quoted, entry in entries:
            made = self._test(node, column_name, entry, quoted=quoted)
            if made is not None:
                yield made

    def _tests(self, holder: Node) -> list[Node]:
        """`data_tests:`, or its older name `tests:`."""
        new, old = holder.get("data_tests"), holder.get("tests")
        if new is not None and old is not None:
            self.bad("`tests` is the old name of `data_tests`, which is given too", old)
            return []
        given = new or old
        if given is None or given.value is None:
            return []
        if not isinstance(given.value, list):
            self.bad("tests are a list", given, hint="data_tests: [unique, not_null]")
            return []
        return list(given.value)

    def _test(self, node: str, column: str, entry: Node, *, quoted: bool) -> DataTest | None:
        taken = self._entry(entry)
        if taken is None:
            return None
        kind, body = taken
        if kind not in KINDS:
            nearest = near(kind, KINDS)
            if nearest and "." not in kind:
                self.bad(f"there is no test {kind!r}{nearest}", entry, "RV470")
            else:
                self.warnings.append(f"{entry.where}: the test {kind!r} is dbt's to run: revetl runs {', '.join(KINDS)}")
            return None
        arguments, config = self._parts(kind, body)
        column_node = arguments.pop("column_name", None)
        if column_node is not None:
            column = self.text(_holder("column_name", column_node), "column_name")
        if not column:
            self.bad(f"the test {kind!r} needs a column", entry, hint="write it under `columns:`, or give `column_name:`")
            return None
        expression = '"' + column.replace('"', '""') + '"' if quoted else column
        before = len(self.problems)
        made = self._configured(DataTest(name="", kind=kind, node=node, column=expression, where=entry.where), config)
        made = self._with_arguments(made, arguments, entry)
        if len(self.problems) > before or made is None:
            return None
        given = plain(body, "name") if body is not None else ""
        flat = {"column_name": column, **{name: value.plain() for name, value in arguments.items()}}
        of = node.partition(".")[2].replace(".", "_")
        made_kind = f"source_{kind}" if node.startswith("source.") else kind
        return replace(made, name=re.sub(r"[^\w.-]+", "_", given) if given else dbt_name(made_kind, of, flat))

    def _entry(self, entry: Node) -> tuple[str, Node | None] | None:
        """The kind of a test and its body, in each of dbt's three spellings; None where it is none or is disabled."""
        if isinstance(entry.value, str):
            return entry.value, None
        if not isinstance(entry.value, dict) or not entry.value:
            self.bad("a test is a name, or a mapping with its name", entry,
                     hint="- unique, or: - not_null: {config: {severity: warn}}")  # fmt: skip
            return None
        if entry.get("test_name") is not None:
            return plain(entry, "test_name"), entry
        if len(entry.value) != 1:
            self.bad("a test is a mapping with its name only", entry, hint="what belongs to it stands one level deeper")
            return None
        (name, (_, body)) = next(iter(entry.value.items()))
        return name, body if isinstance(body.value, dict) else None

    def _parts(self, kind: str, body: Node | None) -> tuple[dict[str, Node], dict[str, tuple[Node, Node]]]:
        """Arguments (flat, or under `arguments:`) and settings (flat, or under `config:`), each with where it stands."""
        arguments: dict[str, Node] = {}
        config: dict[str, tuple[Node, Node]] = {}
        for key, value in body.items() if body is not None else ():
            name = key.value
            if name == "arguments" and isinstance(value.value, dict):
                for inner, given in value.items():
                    self._argument(kind, inner, given, arguments)
            elif name == "config" and isinstance(value.value, dict):
                for inner, given in value.items():
                    self._setting(inner, given, value, config)
            elif name in CONFIG_KEYS or name in DBTS_OWN:
                assert body is not None  # noqa: S101 it has keys
                self._setting(key, value, body, config)
            elif name not in {"name", "test_name"}:
                self._argument(kind, key, value, arguments)
        return arguments, config

    def _argument(self, kind: str, key: Node, value: Node, found: dict[str, Node]) -> None:
        known = (*KINDS[kind], "column_name")
        if key.value not in known:
            meant = near(key.value, [*known, *CONFIG_KEYS])
            self.bad(f"the test {kind!r} has no {key.value!r}{meant}", key, "RV010",
                     "" if meant else f"known: {', '.join([*known, *CONFIG_KEYS])}")  # fmt: skip
        elif key.value in found:
            self.bad(f"{key.value!r} is given twice", key)
        else:
            found[key.value] = value

    def _setting(self, key: Node, value: Node, holder: Node, found: dict[str, tuple[Node, Node]]) -> None:
        name = key.value
        if name in DBTS_OWN:
            if name.startswith("store_failures") and value.value:
                self.warnings.append(f"{key.where}: revetl stores no failing rows: the SQL is in target/compiled")
        elif name not in CONFIG_KEYS:
            meant = near(name, CONFIG_KEYS)
            self.bad(f"a test has no setting {name!r}{meant}", key, "RV010", "" if meant else f"known: {', '.join(CONFIG_KEYS)}")
        elif name in found:
            self.bad(f"{name!r} is given twice", key)
        else:
            found[name] = (value, holder)

    def _configured(self, made: DataTest | None, config: Mapping[str, tuple[Node, Node]]) -> DataTest | None:
        """With its settings; None where it is disabled."""
        values: dict[str, Any] = {}
        for name, (node, holder) in config.items():
            if name == "enabled":
                if not isinstance(node.value, bool):
                    self.bad("`enabled` is true or false", node)
                made = made if node.value else None
            elif name == "severity":
                values[name] = str(node.value).lower()
                if values[name] not in {"warn", "error"}:
                    self.bad("`severity` is `error` or `warn`", node)
            elif name in {"warn_if", "error_if"}:
                values[name] = self.text(holder, name)
                if _LIMIT.fullmatch(values[name].strip()) is None:
                    self.bad(f"{name!r} compares the number of failing rows", node, hint=f'{name}: "> 10"')
            elif name == "limit":
                values[name] = node.value if node.value is not None else 0
                if not isinstance(values[name], int) or isinstance(values[name], bool) or values[name] < 0:
                    self.bad("`limit` is a whole number", node)
            else:
                values["condition" if name == "where" else name] = self.text(holder, name)
        return replace(made, **values) if made is not None else None

    def _with_arguments(self, made: DataTest | None, arguments: Mapping[str, Node], entry: Node) -> DataTest | None:
        if made is None:
            return None
        for needed in [name for name in KINDS[made.kind] if name != "quote"]:
            if needed not in arguments:
                self.bad(f"the test {made.kind!r} needs {needed!r}", entry, "RV013")
                return None
        if made.kind == "accepted_values":
            return self._accepted(made, arguments["values"], arguments.get("quote"))
        if made.kind == "relationships":
            to = self._relation(arguments["to"])
            return replace(made, to=to, to_column=self.text(_holder("field", arguments["field"]), "field"))
        return made

    def _accepted(self, made: DataTest, values: Node, quote: Node | None) -> DataTest:
        given = values.value if isinstance(values.value, list) else []
        if not given or any(isinstance(one.value, list | dict) for one in given):
            self.bad("`values` is a list of values", values, hint="values: [free, pro]")
            return made
        quoted = quote is None or quote.value is not False
        texts = [one.raw if isinstance(one.value, bool | int | float) else str(one.value) for one in given]
        return replace(made, values=tuple("'" + text.replace("'", "''") + "'" if quoted else text for text in texts))

    def _relation(self, node: Node) -> str:
        """The node of `ref('x')` or `source('a', 'b')`."""
        match = _RELATION.fullmatch(str(node.value).strip().removeprefix("{{").removesuffix("}}").strip())
        if match is None:
            self.bad("`to` is ref('model') or source('source', 'table')", node, "RV032")
            return ""
        first, second = match[2] or match[3], match[4] or match[5] or ""
        name = f"{first}.{second}" if match[1] == "source" else second or first
        known = self.sources if match[1] == "source" else self.models
        if name not in known:
            self.bad(f"there is no {'source' if match[1] == 'source' else 'model'} {name!r}{near(name, known)}", node, "RV033")
        return f"{'source' if match[1] == 'source' else 'model'}.{name}"

    # --- freshness -----------------------------------------------------------------------------------------------

    def freshness(self, source: Node, table: Node) -> Freshness | None:
        """Of one table: its own rules above those of its source; `freshness: null` has none."""
        holders = [holder for node in (source, table) for holder in (node, node.get("config")) if holder is not None]
        rules: dict[str, Node] = {}
        loaded_at, where = "", table.where
        for holder in holders:
            loaded_at = self.text(holder, "loaded_at_field") or loaded_at
            given = holder.get("freshness")
            if given is None:
                continue
            where = given.where
            if given.value is None:
                rules = {}
            elif isinstance(given.value, dict):
                rules |= {key.value: given for key, _ in given.items() if self._known_rule(key)}
            else:
                self.bad("`freshness` is a mapping", given, "RV478", "freshness: {error_after: {count: 1, period: day}}")
        ages = {name: self._age(rules[name], name) for name in ("warn_after", "error_after") if name in rules}
        if not any(ages.values()):
            return None
        if not loaded_at:
            self.warnings.append(f"{where}: no freshness is looked at without `loaded_at_field`: when a row came")
            return None
        condition = self.text(rules["filter"], "filter") if "filter" in rules else ""
        return Freshness(loaded_at=loaded_at, condition=condition, where=where, **ages)

    def _known_rule(self, key: Node) -> bool:
        if key.value not in FRESHNESS_KEYS:
            self.bad(f"freshness has no {key.value!r}{near(key.value, FRESHNESS_KEYS)}", key, "RV010")
        return key.value in FRESHNESS_KEYS

    def _age(self, holder: Node, name: str) -> Age | None:
        node = holder.get(name)
        if node is None or node.value is None or node.value == {}:
            return None
        count, period = (node.get(key) for key in ("count", "period"))
        number = count.value if count is not None else None
        if not isinstance(number, int) or isinstance(number, bool) or number < 0 or plain(node, "period") not in PERIODS:
            self.bad(f"{name!r} is a `count` and a `period` (minute, hour or day)", period or count or node, "RV478",
                     f"{name}: {{count: 12, period: hour}}")  # fmt: skip
            return None
        return Age(count=number, period=plain(node, "period"))


def _holder(name: str, node: Node) -> Node:
    """A mapping with one value, to be read by its key."""
    return Node({name: (node, node)}, node.where)


def listed(node: Node, name: str) -> Sequence[Node]:
    """The entries of a list in a mapping that are mappings; none where there is no list."""
    found = node.get(name)
    given = found.value if found is not None and isinstance(found.value, list) else []
    return [one for one in given if isinstance(one.value, dict)]


def plain(node: Node, name: str) -> str:
    """A value of a mapping as text; empty where there is none."""
    found = node.get(name)
    return str(found.value) if found is not None and found.value is not None else ""
