"""A project beside a dbt project: its files as text, from dbt's manifest. Pure.

Nothing is guessed silently. A sync that a model declares in `meta: {revetl: …}` is written as it stands there; one that
only follows from typical names is written with `enabled: false`, and each line says what it follows from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from revetl.dbt import Column, Dbt, Node
from revetl.syncfile import READ_ONLY, RESERVED_PROPERTIES

PEOPLE = re.compile(
    r"(dim_|mart_|crm_)?(customers?|users?|people|persons?|contacts?|members?|subscribers?)(_dim)?", re.IGNORECASE
)
EVENTS = re.compile(r"(\w+_)?(events?|orders?|purchases?|payments?|subscriptions?|order_\w+ed)", re.IGNORECASE)
STAGING = re.compile(r"(stg|staging|base|int|intermediate|tmp)_", re.IGNORECASE)
PERSON_KEYS = ("customer_id", "user_id", "person_id", "contact_id", "member_id", "subscriber_id")
TIMES = ("occurred_at", "ordered_at", "created_at", "event_at", "event_time", "timestamp", "order_date", "created")
TYPES = (
    (r"bool", "boolean"), (r"(tiny|small|big|huge|u|byte)?int|serial", "integer"),
    (r"float|double|real|numeric|decimal|number|bignumeric", "number"), (r"timestamp|datetime", "timestamp"), (r"date\b", "date"),
    (r"array|list", "array"), (r"struct|json|variant|object|map|record", "object"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Files by name, and what a person should know of them."""

    files: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """One sync while it is written: its lines, and the name of its file."""

    name: str
    lines: list[str] = field(default_factory=list)

    def add(self, key: str, value: str, why: str = "") -> None:
        """One line, with what it follows from."""
        line = f"    {key}: {value}"
        self.lines.append(f"{line:<56}  # {why}" if why else line)


def propose(
    dbt: Dbt, new_uid: Callable[[], str], *, catalog: Mapping[str, Any] | None = None
) -> Proposal:
    """Syncs for the models of a dbt project.

    Args:
        new_uid: makes a uid.
        catalog: dbt's catalog.json, which has the columns of every relation.
    """
    files: dict[str, str] = {}
    notes: list[str] = []
    nodes = sorted((dbt.node(one.id) for one in dbt.entries() if one.problem is None and one.latest), key=lambda n: n.id)
    nodes = [n for n in nodes if n.kind in {"model", "snapshot"} and n.materialized != "ephemeral" and not STAGING.match(n.name)]
    people: tuple[str, str] | None = None
    for node in nodes:
        if isinstance(node.meta.get("revetl"), Mapping):
            files[f"syncs/{node.name}.yml"] = _declared(dbt, node, node.meta["revetl"], new_uid())
        elif PEOPLE.fullmatch(node.name):
            columns = _columns(node, catalog)
            key, why = _person_key(node, columns)
            if not key:
                notes.append(f"{node.name}: it looks like people, and no column that names them is known{_teach(columns)}")
                continue
            people = people or (node.name, key)
            files[f"syncs/{node.name}.yml"] = _person(dbt, node, columns, key, why, new_uid())
    for node in nodes:
        if f"syncs/{node.name}.yml" in files or PEOPLE.fullmatch(node.name) or not EVENTS.fullmatch(node.name):
            continue
        columns = _columns(node, catalog)
        lacks, facts = _event_facts(node, columns, people)
        if lacks or people is None:
            notes.append(f"{node.name}: it looks like events, and {lacks or 'no people were found'}{_teach(columns)}")
        else:
            files[f"syncs/{node.name}.yml"] = _event(dbt, node, columns, facts, people, new_uid())
    return Proposal(files=files, notes=tuple(notes))


def _teach(columns: Mapping[str, Column]) -> str:
    return "" if columns else ": dbt docs generate writes its columns into catalog.json"


def _columns(node: Node, catalog: Mapping[str, Any] | None) -> dict[str, Column]:
    """By name in small letters: those of the warehouse, as far as they are known, with what dbt's files say of them."""
    found: dict[str, Column] = {}
    known = ((catalog or {}).get("nodes") or {}).get(node.id) or {}
    for name, one in (known.get("columns") or {}).items():
        said = node.columns.get(str(name).lower(), Column(name=str(name)))
        found[str(name).lower()] = Column(
            name=str(name), type=said.type or str(one.get("type") or ""), description=said.description, pii=said.pii
        )
    return found or dict(node.columns)


def _person_key(node: Node, columns: Mapping[str, Column]) -> tuple[str, str]:
    if len(node.key) == 1:
        return node.key[0], "dbt's key: unique and not null"
    for name in (*PERSON_KEYS, "id"):
        if name in columns:
            return columns[name].name, "by its name; no test says that it is unique"
    return "", ""


def _type(column: Column) -> tuple[str, str]:
    for pattern, name in TYPES:
        if re.match(pattern, column.type.strip().lower()):
            return name, ""
    return "string", "" if column.type else "dbt does not say its type"


def _field(column: Column, taken: frozenset[str]) -> str:
    kind, why = _type(column)
    marks = [*(["pii"] if column.pii else []), *([why] if why else [])]
    name, value = column.name, "{type: string, format: email}" if column.name.lower() == "email" and kind == "string" else kind
    if name in taken or name.startswith(("_", "cio_")):
        name, value = f"my_{name.strip('_')}", f"{{column: {name}, type: {kind}}}"
        marks.append("its own name means something else in Customer.io")
    line = f"      {name}: {value}"
    return f"{line:<56}  # {', '.join(marks)}" if marks else line


def _head(dbt: Dbt, node: Node, uid: str, kind: str) -> _Draft:
    draft = _Draft(node.name)
    draft.lines += ["version: 1", "syncs:", f"  - name: {node.name}"]
    draft.add("uid", uid)
    draft.add("enabled", "false", "a proposal: read it, then set it to true")
    draft.add("model", dbt.reference(node.id))
    draft.add("type", kind, f"by the name {node.name!r}")
    return draft


def _person(  # noqa: PLR0913 what is known
    dbt: Dbt, node: Node, columns: Mapping[str, Column], key: str, why: str, uid: str
) -> str:
    draft = _head(dbt, node, uid, "person")
    draft.add("identify_by", f"{{id: {key}}}", why)
    return _ended(draft, "attributes", [one for name, one in columns.items() if name != key.lower()])


def _event_facts(
    node: Node, columns: Mapping[str, Column], people: tuple[str, str] | None
) -> tuple[str, dict[str, tuple[str, str]]]:
    """What an event needs, each with what it follows from; or what is not known."""
    if people is None:
        return "no people were found", {}
    facts: dict[str, tuple[str, str]] = {}
    if len(node.key) == 1:
        facts["key"] = (node.key[0], "dbt's key: unique and not null")
    person = next((columns[name].name for name in (people[1].lower(), *PERSON_KEYS) if name in columns), "")
    if person:
        facts["person"] = (person, "by its name")
    time = next((columns[name].name for name in TIMES if name in columns), "")
    time = time or next((c.name for c in columns.values() if _type(c)[0] in {"timestamp", "date"}), "")
    if time:
        facts["occurred_at"] = (time, "by its name" if time.lower() in TIMES else "the first one with a time")
    words = {"key": "no column that dbt tests as unique and not null", "person": "no column that names a person",
             "occurred_at": "no column with a time"}  # fmt: skip
    return ", ".join(word for name, word in words.items() if name not in facts), facts


def _event(  # noqa: PLR0913 what is known
    dbt: Dbt, node: Node, columns: Mapping[str, Column], facts: Mapping[str, tuple[str, str]], people: tuple[str, str], uid: str
) -> str:
    draft = _head(dbt, node, uid, "event")
    plain = re.sub(r"^(fct|fact|mart)_", "", node.name, flags=re.IGNORECASE)
    draft.add("event", json.dumps(plain.replace("_", " ").title()), "what it is called in Customer.io: choose it well")
    draft.add("person", f"{{id: {facts['person'][0]}, sync: {people[0]}}}", facts["person"][1])
    draft.add("key", *facts["key"])
    draft.add("occurred_at", *facts["occurred_at"])
    used = {facts["person"][0].lower(), facts["occurred_at"][0].lower()}
    return _ended(draft, "properties", [one for name, one in columns.items() if name not in used])


def _ended(draft: _Draft, key: str, columns: list[Column]) -> str:
    taken = RESERVED_PROPERTIES if key == "properties" else READ_ONLY | {"id"}
    lines = [_field(one, taken) for one in columns]
    draft.lines += [f"    {key}:", *lines] if lines else [f"    # {key}: dbt knows no columns of it; name those to send"]
    return "\n".join(draft.lines) + "\n"


def _declared(dbt: Dbt, node: Node, declared: Mapping[str, Any], uid: str) -> str:
    """`meta: {revetl: {type: person, …}}`, as a sync."""
    own = {"name": node.name, "uid": uid, "model": dbt.reference(node.id), **declared}
    lines = [f"# from `meta: {{revetl: …}}` of dbt's {node.selector}: from now on it is read here", "version: 1", "syncs:"]
    # JSON is YAML
    for number, (key, value) in enumerate(own.items()):
        bare = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.-]*|ref\('[^']+'\)", value)
        plain = value if bare else json.dumps(value)
        lines.append(f"  {'-' if not number else ' '} {key}: {plain}")
    return "\n".join(lines) + "\n"


def settings(name: str, profile: str, project: str, target_path: str) -> str:
    """The project's pyproject.toml."""
    lines = ["[tool.revetl]", f"name = {json.dumps(name)}", f"profile = {json.dumps(profile)}", "", "[tool.revetl.dbt]",
             f"project = {json.dumps(project)}"]  # fmt: skip
    if target_path != "target":
        lines.append(f"target_path = {json.dumps(target_path)}")
    return "\n".join(lines) + "\n"


def destinations(profile: str, targets: list[str], place: str) -> str:
    """The project's profiles.yml: destinations only, as dbt's own file has the connections."""
    lines = [f"# connections (`outputs:`) and the default target are dbt's: {place}", f"{profile}:", "  destinations:"]
    lines += [f"    {name}: {{type: sandbox}}" for name in targets]
    lines[3] += "              # a Customer.io workspace on this machine: no account is needed"
    lines += [
        "    # of a target that sends to Customer.io:",
        "    # prod:",
        "    #   type: customerio",
        "    #   region: eu",
        "    #   site_id: \"{{ env_var('CIO_SITE_ID') }}\"",
        "    #   api_key: \"{{ env_var('CIO_TRACK_API_KEY') }}\"",
    ]
    return "\n".join(lines) + "\n"
