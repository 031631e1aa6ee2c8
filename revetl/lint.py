"""What is wrong with a project's names before a row is read: pure functions over the loaded `Project`.

`rules.py` has the table of rules; each function here finds those of one part. A finding can be accepted where it
stands, by `ignore: {CODE: reason}` on the field, the sync, the declared term, or the whole taxonomy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from revetl.contracts import Field, FieldType, Ignore, OnViolation, Role, Sync, SyncType
from revetl.errors import Where
from revetl.project import Project
from revetl.rules import RULES, Rule, Severity
from revetl.taxonomy import (
    PROPERTY_WORDS,
    Meanings,
    Taxonomy,
    Term,
    alike,
    attribute_meanings,
    event_meanings,
    fold,
    property_meanings,
    role_of,
    role_of_event,
    term_of,
    words,
)

ITEM_NEEDS = (("sku", "product_id", "variant_id"), ("quantity",))
# what each kind of event needs, each by any of these meanings; and whether it needs items
NEEDS: Mapping[Role, tuple[str, tuple[tuple[str, ...], ...], bool]] = {
    Role.PURCHASE: ("RV308", (("order_id",), ("value", "revenue", "amount"), ("currency",)), True),
    Role.REFUND: ("RV309", (("order_id",), ("value", "amount", "refund_amount", "refunded_amount"), ("currency",)), False),
    Role.CART: ("RV310", (("cart_id",),), True),
    Role.CHECKOUT: ("RV310", (("cart_id", "checkout_id", "checkout_token"),), True),
}
RAW_AMOUNTS = ("subtotal", "discount", "shipping", "tax")
# attributes that Customer.io gives a meaning, and the types in which it understands them
READ: Mapping[str, tuple[FieldType, ...]] = {
    "id": (FieldType.STRING, FieldType.INTEGER), "email": (FieldType.STRING,), "phone": (FieldType.STRING,),
    "created_at": (FieldType.TIMESTAMP,), "timezone": (FieldType.STRING,), "unsubscribed": (FieldType.BOOLEAN,),
    "anonymous_id": (FieldType.STRING,), "mobile_ad_id": (FieldType.STRING,),
}  # fmt: skip
RECENT = frozenset({"last", "latest", "recent", "recently", "previous"})
HAPPENED = frozenset({
    "viewed", "view", "visited", "clicked", "opened", "searched", "search", "added", "purchased", "bought", "ordered",
    "abandoned", "browsed", "seen", "watched", "started", "completed", "product", "products", "item", "items", "sku", "page",
    "url", "query", "cart", "id", "number",
})  # fmt: skip
MEASURES = frozenset({"at", "on", "date", "time", "timestamp", "count", "days", "hours", "total", "value", "amount", "spend"})
TIMES = frozenset({"at", "date", "timestamp", "datetime"})
SMALL_WORDS = frozenset({"to", "of", "in", "on", "for", "from", "with", "a", "an", "the", "and", "or", "by"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, and where.

    Attributes:
        sync: the sync that it is about; empty for a declared term.
        ignores: what may silence it, the nearest first.
        ignored: what silences it.
    """

    code: str
    message: str
    where: Where
    hint: str = ""
    sync: str = ""
    field: str = ""
    ignores: tuple[Ignore, ...] = ()
    ignored: Ignore | None = None

    @property
    def rule(self) -> Rule:
        """Its row of the table."""
        return RULES[self.code]

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.rule.severity


def lint(project: Project) -> tuple[Finding, ...]:
    """All findings, also those that are silenced, in the order of files and lines."""
    syncs = [sync for sync in project.syncs.values() if sync.enabled]
    found = [
        _settled(finding, project.taxonomy)
        for finding in chain(
            _events(project, syncs), _names(project, syncs), _types(syncs), _attributes(syncs), _needs(project, syncs),
            _sources(project, syncs), _declared(project), _owners(project, syncs), _times(syncs), _styles(project, syncs),
        )
    ]  # fmt: skip
    found += _unused(project, syncs, found)
    return tuple(sorted(found, key=lambda f: (f.where.file, f.where.line, f.where.column, f.code, f.message)))


def open_findings(findings: Iterable[Finding], least: Severity = Severity.INFO) -> tuple[Finding, ...]:
    """Those that nobody silenced, at least this bad."""
    order = list(Severity)
    return tuple(f for f in findings if f.ignored is None and order.index(f.severity) <= order.index(least))


def _settled(finding: Finding, taxonomy: Taxonomy) -> Finding:
    ignores = (*finding.ignores, *taxonomy.ignore)
    return replace(finding, ignored=next((one for one in ignores if one.code == finding.code), None))


# --- the names in use ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """A name in one sync, on its own or inside of items (`depth` above 0)."""

    name: str
    depth: int
    field: Field
    sync: Sync
    ignores: tuple[Ignore, ...]

    def finding(self, code: str, message: str, hint: str = "", also: tuple[Ignore, ...] = ()) -> Finding:
        """A finding at this place."""
        return Finding(code=code, message=message, hint=hint, where=self.field.where, sync=self.sync.name, field=self.name,
                       ignores=(*self.ignores, *also))  # fmt: skip


def _uses(syncs: Iterable[Sync]) -> list[_Use]:
    return [use for sync in syncs for use in _inside(sync, sync.fields, 0, sync.ignore)]


def _inside(sync: Sync, fields: Iterable[Field], depth: int, above: tuple[Ignore, ...]) -> Iterator[_Use]:
    for field in fields:
        ignores = (*field.ignore, *above)
        yield _Use(name=field.name, depth=depth, field=field, sync=sync, ignores=ignores)
        yield from _inside(sync, field.items, depth + 1, ignores)


def _of_events(syncs: Iterable[Sync]) -> list[Sync]:
    return [sync for sync in syncs if sync.type is SyncType.EVENT]


def _with_properties(syncs: Iterable[Sync]) -> list[Sync]:
    return [sync for sync in syncs if sync.type.happens]


def _of_people(syncs: Iterable[Sync]) -> list[Sync]:
    return [sync for sync in syncs if sync.type is SyncType.PERSON]


def _standing(names: Sequence[str], terms: Mapping[str, Term], meanings: Meanings) -> dict[str, str]:
    """The name that stands for each: the declared one, else the one that is used most, else the first."""
    often = Counter(names)
    chosen = list(terms)
    found: dict[str, str] = {}
    for name in sorted(dict.fromkeys(names), key=lambda one: -often[one]):
        known = meanings.of(name)
        same = (one for one in chosen if one == known or meanings.of(one) == known or alike(one, name))
        found[name] = name if name in terms else next(same, name)
        if found[name] not in chosen:
            chosen.append(name)
    return found


# --- events --------------------------------------------------------------------------------------------------------


def _events(project: Project, syncs: Sequence[Sync]) -> Iterator[Finding]:
    """RV300, RV301, RV314: each event under its one, declared name."""
    terms = project.taxonomy.events
    events = _of_events(syncs)
    standing = _standing([sync.event for sync in events], terms, event_meanings(project.taxonomy))
    for sync in events:
        name = standing[sync.event]
        if name == sync.event:
            if terms and name not in terms:
                yield _about(sync, "RV314", f"sync {sync.name!r} sends {name!r}, which the taxonomy does not declare",
                             f"taxonomy: {{events: {{{name}: {{description: …, owner: …}}}}}}")  # fmt: skip
            continue
        other = next((one for one in events if one.event == name), None)
        place = f"declared at {terms[name].where}" if name in terms else f"sent by sync {other.name!r}" if other else ""
        also = (*(terms[name].ignore if name in terms else ()), *(other.ignore if other else ()))
        if alike(name, sync.event):
            yield _about(sync, "RV300", f"sync {sync.name!r} sends {sync.event!r}, another spelling of {name!r} ({place})",
                         f"event: {name}, with {_move('event', sync.event)}", also)  # fmt: skip
        else:
            yield _about(
                sync, "RV301", f"sync {sync.name!r} sends {sync.event!r}, which means the same as {name!r} ({place})",
                f"event: {name}, with {_move('event', sync.event)}; or declare {sync.event!r} in `taxonomy: events:` if it is "
                "another thing", also,
            )  # fmt: skip


def _move(what: str, old: str) -> str:
    """How to leave a name without losing who still uses it (`docs/changes.md`)."""
    return f"renamed_from: {{{what}: {old}, dual_send_until: …}}"


def _about(sync: Sync, code: str, message: str, hint: str = "", also: tuple[Ignore, ...] = ()) -> Finding:
    return Finding(code=code, message=message, hint=hint, where=sync.where, sync=sync.name, ignores=(*sync.ignore, *also))


def _sources(project: Project, syncs: Sequence[Sync]) -> Iterator[Finding]:
    """RV313: purchases and refunds have one source each."""
    for role in (Role.PURCHASE, Role.REFUND):
        mine = [sync for sync in _of_events(syncs) if role_of(project, sync) is role]
        elsewhere = [
            term for term in project.taxonomy.events.values()
            if term.sent_by and role_of_event(project.taxonomy, term.name) is role
        ]  # fmt: skip
        for term in elsewhere:
            for sync in mine:
                yield _about(sync, "RV313", f"{term.sent_by!r} sends {term.name!r}, and sync {sync.name!r} sends {sync.event!r}: "
                             f"each {role} would count twice", "keep one of them", term.ignore)  # fmt: skip
        for sync in mine[1:]:
            yield _about(sync, "RV313", f"syncs {mine[0].name!r} and {sync.name!r} both send a {role} ({mine[0].event!r} and "
                         f"{sync.event!r}): each would count twice",
                         "keep one of them, or give the other one `role: other` in the taxonomy", mine[0].ignore)  # fmt: skip


def _declared(project: Project) -> Iterator[Finding]:
    """RV315: what is declared is sent by somebody. A sync that is off counts: that it is off can be seen."""
    taxonomy, syncs = project.taxonomy, tuple(project.syncs.values())
    properties, attributes = _uses(_with_properties(syncs)), _uses(_of_people(syncs))
    identifiers = [sync.identifier.value for sync in syncs]
    for what, terms, meanings, sent in (
        ("event", taxonomy.events, event_meanings(taxonomy), [(sync.event, sync.renamed_from) for sync in syncs]),
        ("property", taxonomy.properties, property_meanings(taxonomy),
         [(use.name, use.field.renamed_from) for use in properties]),
        ("attribute", taxonomy.attributes, attribute_meanings(taxonomy),
         [*((use.name, use.field.renamed_from) for use in attributes), *((name, None) for name in identifiers)]),
    ):  # fmt: skip
        names = [name for new, old in sent for name in (new, *((old.name,) if old is not None else ()))]
        standing = set(_standing(names, terms, meanings).values())
        for term in terms.values():
            if term.name not in standing and not term.sent_by:
                yield Finding(
                    code="RV315", message=f"the {what} {term.name!r} is declared, and no sync sends it", where=term.where,
                    hint="say who sends it: sent_by: …" if what == "event" else "remove it, or add it to a sync",
                    field=term.name, ignores=term.ignore,
                )  # fmt: skip


def _owners(project: Project, syncs: Sequence[Sync]) -> Iterator[Finding]:
    """RV316: everything has somebody to ask."""
    met = set()
    for sync in syncs:
        term = term_of(project.taxonomy, sync.event) if sync.type is SyncType.EVENT else None
        met.add(term.name if term else "")
        lacks = _lacks(sync.owner or (term.owner if term else ""), sync.description or (term.description if term else ""))
        if lacks:
            yield _about(sync, "RV316", f"sync {sync.name!r} has no {lacks}", also=term.ignore if term else ())
    for term in project.taxonomy.events.values():
        lacks = _lacks(term.owner, term.description)
        if lacks and term.name not in met:
            yield Finding(code="RV316", message=f"the event {term.name!r} has no {lacks}", where=term.where, field=term.name,
                          ignores=term.ignore)  # fmt: skip


def _lacks(owner: str, description: str) -> str:
    return " and no ".join(name for name, text in (("owner", owner), ("description", description)) if not text)


# --- properties and attributes ---------------------------------------------------------------------------------------


def _names(project: Project, syncs: Sequence[Sync]) -> Iterator[Finding]:
    """RV302, RV303: each property and attribute under one name."""
    taxonomy = project.taxonomy
    for kind, terms, meanings, uses in (
        ("property", taxonomy.properties, property_meanings(taxonomy), _uses(_with_properties(syncs))),
        ("attribute", taxonomy.attributes, attribute_meanings(taxonomy), _uses(_of_people(syncs))),
    ):
        for nested in (False, True):  # the total of a line is another thing than the total of an order
            here = [use for use in uses if bool(use.depth) is nested]
            standing = _standing([use.name for use in here], terms, meanings)
            for use in here:
                name = standing[use.name]
                if name == use.name:
                    continue
                other = next((one for one in here if one.name == name), None)
                place = f"declared at {terms[name].where}" if name in terms else (
                    f"sync {other.sync.name!r}, {other.field.where}" if other else "")  # fmt: skip
                also = (*(terms[name].ignore if name in terms else ()), *(other.ignores if other else ()))
                spelling = alike(name, use.name)
                yield use.finding(
                    "RV302" if spelling else "RV303",
                    f"the {kind} {use.name!r} of sync {use.sync.name!r} "
                    + ("is another spelling of" if spelling else "means the same as") + f" {name!r} ({place})",
                    f"{name}: {{column: {use.field.column}, " + ("…}" if nested else _move("name", use.name) + "}"), also,
                )  # fmt: skip


def _types(syncs: Sequence[Sync]) -> Iterator[Finding]:
    """RV304: one name, one type, in all events or in all person syncs, also inside of items."""
    for kind, uses in (("property", _uses(_with_properties(syncs))), ("attribute", _uses(_of_people(syncs)))):
        by_name: dict[str, list[_Use]] = {}
        for use in uses:
            by_name.setdefault(use.name, []).append(use)
        for name, several in by_name.items():
            often = Counter(_family(use.field) for use in several).most_common(1)[0][0]
            first = next(use for use in several if _family(use.field) == often)
            for use in several:
                if _family(use.field) != often:
                    yield use.finding(
                        "RV304", f"the {kind} {name!r} of sync {use.sync.name!r} is {_typed(use.field)}, and "
                        f"{_typed(first.field)} in sync {first.sync.name!r} ({first.field.where})",
                        "give both one type, or this one another name", first.ignores,
                    )  # fmt: skip


def _family(field: Field) -> tuple[FieldType, FieldType | None]:
    """Integers and other numbers are compared alike by Customer.io."""
    numbers = {FieldType.INTEGER: FieldType.NUMBER}
    inner = numbers.get(field.item.type, field.item.type) if field.item else None
    return numbers.get(field.type, field.type), inner


def _typed(field: Field) -> str:
    article = "an" if field.type in {FieldType.INTEGER, FieldType.ARRAY, FieldType.OBJECT} else "a"
    return f"{article} {field.type}" + (f" of {field.item.type}s" if field.item else "")


def _attributes(syncs: Sequence[Sync]) -> Iterator[Finding]:
    """RV305, RV306, RV312: what an attribute must not be, and that one sync writes it."""
    writers: dict[str, _Use] = {}
    for use in _uses(_of_people(syncs)):
        if use.depth:
            continue
        if _event_like(use.field):
            yield use.finding("RV305", f"the attribute {use.name!r} keeps only the last of what happens: it is an event",
                              "send an event, with this as a property")  # fmt: skip
        yield from _reserved(use)
        first = writers.setdefault(use.name, use)
        if first.sync is not use.sync:
            yield use.finding("RV312", f"syncs {first.sync.name!r} and {use.sync.name!r} both write the attribute {use.name!r} "
                              f"({first.field.where})", "let one of them write it", first.ignores)  # fmt: skip


def _event_like(field: Field) -> bool:
    parts = words(field.name)
    if not parts or field.type in {FieldType.TIMESTAMP, FieldType.DATE, FieldType.BOOLEAN} or parts[-1] in MEASURES:
        return False
    if parts[0] in RECENT:
        return bool(HAPPENED & set(parts[1:]))
    return field.type is FieldType.ARRAY and parts[0] in HAPPENED


def _reserved(use: _Use) -> Iterator[Finding]:
    own = next((name for name in READ if fold(name) == fold(use.name)), "")
    if own and own != use.name:
        yield use.finding("RV306", f"{use.name!r} is kept as any attribute; Customer.io itself reads {own!r}",
                          f"{own}: {{column: {use.field.column}, type: {READ[own][0]}}}")  # fmt: skip
    elif own and use.field.type not in READ[own]:
        yield use.finding("RV306", f"Customer.io reads {own!r} itself, as {' or '.join(READ[own])}; here it is "
                          f"{_typed(use.field)}", f"type: {READ[own][0]}")  # fmt: skip


def _times(syncs: Sequence[Sync]) -> Iterator[Finding]:
    """RV317: times are times."""
    for use in _uses([*_with_properties(syncs), *_of_people(syncs)]):
        parts = words(use.name)
        textual = {FieldType.STRING, FieldType.DATE} if parts[-1:] == ("at",) else {FieldType.STRING}
        if len(parts) > 1 and parts[-1] in TIMES and use.field.type in textual and use.name not in READ:
            yield use.finding("RV317", f"{use.name!r} of sync {use.sync.name!r} is {_typed(use.field)}: time conditions never "
                              "match it", f"{use.name}: {{type: timestamp, zone: UTC}}")  # fmt: skip


# --- what events need ------------------------------------------------------------------------------------------------


def _needs(project: Project, syncs: Sequence[Sync]) -> Iterator[Finding]:
    """RV307 to RV311: what purchases, refunds and carts must say."""
    for sync in _of_events(syncs):
        role = role_of(project, sync)
        term = term_of(project.taxonomy, sync.event)
        also = term.ignore if term else ()
        if role is None or role not in NEEDS:
            continue
        code, groups, with_items = NEEDS[role]
        named = {"value": sync.named(sync.amount), "currency": sync.named(sync.currency)}
        found = [(group[0], named.get(group[0]) or has(project.taxonomy, sync.fields, *group)) for group in groups]
        if with_items:
            items = has(project.taxonomy, sync.fields, "items")
            found.append(("items", items))
            if items is not None:
                found += [(f"{items.name}[].{group[0]}", has(project.taxonomy, items.items, *group)) for group in ITEM_NEEDS]
        missing = ", ".join(name for name, field in found if field is None)
        if missing:
            yield _about(sync, code, f"the {role} {sync.event!r} of sync {sync.name!r} has no {missing}",
                         f"add to its properties: {missing}", also)  # fmt: skip
        for field in (field for _, field in found if field is not None):
            if field.required and field.policy("required") is not OnViolation.WARN:
                continue
            reason = "its rule only warns" if field.required else "it is not required"
            yield Finding(code="RV311", message=f"{field.name!r} of sync {sync.name!r} may be missing: {reason}",
                          hint=f"{field.name}: {{…, required: true{', on_violation: refuse' if field.required else ''}}}",
                          where=field.where, sync=sync.name, field=field.name,
                          ignores=(*field.ignore, *sync.ignore, *also))  # fmt: skip
        if role is Role.PURCHASE:
            yield from _raw(project.taxonomy, sync, also)


def _raw(taxonomy: Taxonomy, sync: Sync, also: tuple[Ignore, ...]) -> Iterator[Finding]:
    computed = has(taxonomy, sync.fields, "value", "revenue", "amount")
    missing = [name for name in RAW_AMOUNTS if has(taxonomy, sync.fields, name) is None]
    if computed is not None and missing:
        yield Finding(
            code="RV307", message=f"{computed.name!r} of sync {sync.name!r} is computed, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not sent", hint=f"add to its properties: {', '.join(missing)}",
            where=computed.where, sync=sync.name, field=computed.name, ignores=(*computed.ignore, *sync.ignore, *also),
        )  # fmt: skip


def has(taxonomy: Taxonomy, fields: Iterable[Field], *meant: str) -> Field | None:
    """The property with one of these meanings, whatever it is called."""
    meanings, common = property_meanings(taxonomy), Meanings({}, PROPERTY_WORDS)
    wanted = {fold(name) for name in meant} | {fold(meanings.of(name)) for name in meant}
    for field in fields:
        if {fold(field.name), fold(meanings.of(field.name)), fold(common.of(field.name))} & wanted:
            return field
    return None


# --- style -----------------------------------------------------------------------------------------------------------


def style_of(name: str) -> str:
    """How a name of several words is written; empty where one word cannot tell, or it has parts."""
    if "." in name or len(words(name)) < 2 or name.lower() in READ:  # noqa: PLR2004 one word
        return ""
    if " " in name:
        parts = [part for part in name.split() if part.lower() not in SMALL_WORDS]
        return "Title Case" if all(part[:1].isupper() for part in parts) else "words with blanks"
    if "_" in name:
        return "snake_case" if name == name.lower() else "Mixed_Snake"
    if "-" in name:
        return "kebab-case"
    return "camelCase" if name[:1].islower() else "PascalCase"


def _styles(project: Project, syncs: Sequence[Sync]) -> Iterator[Finding]:
    """RV318: the names of one kind are written in one way."""
    events = [(sync.event, _about(sync, "RV318", "")) for sync in _of_events(syncs)]
    properties = [(use.name, use.finding("RV318", "")) for use in _uses(_with_properties(syncs))]
    attributes = [(use.name, use.finding("RV318", "")) for use in _uses(_of_people(syncs))]
    taxonomy = project.taxonomy
    for what, terms, pairs in (
        ("events", taxonomy.events, events), ("properties", taxonomy.properties, properties),
        ("attributes", taxonomy.attributes, attributes),
    ):  # fmt: skip
        kinds = Counter(style for name in dict.fromkeys([*terms, *(name for name, _ in pairs)]) if (style := style_of(name)))
        if len(kinds) < 2:  # noqa: PLR2004 one style
            continue
        usual = kinds.most_common(1)[0][0]
        for name, finding in pairs:
            if (style := style_of(name)) and style != usual:
                yield replace(finding, message=f"{name!r} of sync {finding.sync!r} is {style}; most {what} here are {usual}")


# --- silences --------------------------------------------------------------------------------------------------------


def _unused(project: Project, syncs: Sequence[Sync], found: Sequence[Finding]) -> Iterator[Finding]:
    """RV319: every `ignore` silences something. It can be silenced, too, but not by one that does nothing else."""
    used = {(f.ignored.code, f.ignored.where) for f in found if f.ignored is not None}
    taxonomy = project.taxonomy
    holders: list[tuple[str, tuple[Ignore, ...], tuple[Ignore, ...]]] = [("", taxonomy.ignore, taxonomy.ignore)]
    terms = chain(taxonomy.events.values(), taxonomy.properties.values(), taxonomy.attributes.values())
    holders += [("", term.ignore, (*term.ignore, *taxonomy.ignore)) for term in terms]
    holders += [(sync.name, sync.ignore, (*sync.ignore, *taxonomy.ignore)) for sync in syncs]
    holders += [(use.sync.name, use.field.ignore, (*use.ignores, *taxonomy.ignore)) for use in _uses(syncs)]
    seen: set[tuple[str, Where]] = set()
    idle: list[tuple[str, Ignore, tuple[Ignore, ...]]] = []
    for sync, own, around in holders:
        for ignore in own:
            if ignore.code in RULES and (ignore.code, ignore.where) not in used | seen:
                seen.add((ignore.code, ignore.where))
                idle.append((sync, ignore, around))
    for sync, ignore, around in idle:
        if ignore.code != "RV319":
            by = next((one for one in around if one.code == "RV319"), None)
            used |= {(by.code, by.where)} if by is not None else set()
            yield _idle(sync, ignore, by)
    for sync, ignore, _ in idle:
        if ignore.code == "RV319" and (ignore.code, ignore.where) not in used:
            yield _idle(sync, ignore, None)


def _idle(sync: str, ignore: Ignore, by: Ignore | None) -> Finding:
    return Finding(code="RV319", message=f"`ignore: {{{ignore.code}: …}}` silences nothing", where=ignore.where,
                   hint="remove it", sync=sync, ignored=by)  # fmt: skip
