"""Whether a project is ready for journeys: the lines of `rules.CHECKS`, answered from its files. Pure.

The lines follow a checklist that D2C teams widely use before they build automations on their data, in our own words.
An answer is *met*, *not met* or *cannot tell*, with its reason, the places that show it, and what to do next. A line
can be accepted as it is for the whole project: `taxonomy: {ignore: {RV337: reason}}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from revetl.contracts import Ignore, Latency, Role, Sync, SyncType
from revetl.errors import Where
from revetl.lint import Finding, open_findings
from revetl.project import Project
from revetl.rules import CHECKS, CheckLine
from revetl.taxonomy import role_of, role_of_event

SHOP_ROLES = (Role.VIEW, Role.CART, Role.CHECKOUT, Role.PURCHASE, Role.REFUND)
LINT = "revetl lint"


class Verdict(StrEnum):
    """How a line of the checklist is answered."""

    MET = "met"
    NOT_MET = "not met"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One line, answered.

    Attributes:
        places: that show it, the most telling first.
        command: what to type, or to do, next; empty where nothing has to be done.
        gate: whether a project could do something about it, so that `revetl check` fails.
        ignored: why the project accepts it as it is.
    """

    code: str
    verdict: Verdict
    reason: str
    places: tuple[Where, ...] = ()
    command: str = ""
    gate: bool = True
    ignored: Ignore | None = None

    @property
    def line(self) -> CheckLine:
        """Its row of the table."""
        return CHECKS[self.code]

    @property
    def fails(self) -> bool:
        """Whether `revetl check` fails because of it."""
        return self.verdict is Verdict.NOT_MET and self.gate and self.ignored is None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What the lines look at."""

    project: Project
    findings: tuple[Finding, ...]
    people: tuple[Sync, ...]
    events: tuple[Sync, ...]
    arrived: Mapping[str, int] | None

    def of(self, *codes: str, syncs: Iterable[Sync] | None = None) -> list[Finding]:
        """The open findings of some rules, about some syncs."""
        names = None if syncs is None else {sync.name for sync in syncs}
        return [f for f in self.findings if f.code in codes and (names is None or f.sync in names)]

    def sent(self, *roles: Role) -> list[Sync]:
        """The syncs that send events of these roles."""
        return [sync for sync in self.events if role_of(self.project, sync) in roles]

    def elsewhere(self, role: Role) -> list[Where]:
        """Where it is declared that somebody else sends events of this role."""
        taxonomy = self.project.taxonomy
        return [t.where for t in taxonomy.events.values() if t.sent_by and role_of_event(taxonomy, t.name) is role]

    def places(self, roles: Iterable[Role]) -> list[Where]:
        """Where it is said who sends events of these roles."""
        return [where for role in roles for where in (*(sync.where for sync in self.sent(role)), *self.elsewhere(role))]


def checklist(
    project: Project, findings: Sequence[Finding], arrived: Mapping[str, int] | None = None
) -> tuple[Answer, ...]:
    """Every line, answered.

    Args:
        project: from `load`.
        findings: of `lint` over it.
        arrived: the age in seconds of 95 % of a sync's events, by its name, in the last run that measured any; None
            if that could not be read.
    """
    syncs = [sync for sync in project.syncs.values() if sync.enabled]
    facts = _Facts(
        project=project, findings=open_findings(findings), people=tuple(s for s in syncs if s.type is SyncType.PERSON),
        events=tuple(s for s in syncs if s.type is SyncType.EVENT), arrived=arrived,
    )  # fmt: skip
    lines: tuple[Callable[[_Facts], Answer], ...] = (
        _identifier, _anonymous, _merge, _events, _properties, _sources, _types, _segments, _latency, _monitoring,
    )  # fmt: skip
    accepted = {ignore.code: ignore for ignore in project.taxonomy.ignore}
    return tuple(replace(answer, ignored=accepted.get(answer.code)) for answer in (line(facts) for line in lines))


def _met(code: str, reason: str, *places: Where) -> Answer:
    return Answer(code=code, verdict=Verdict.MET, reason=reason, places=places)


def _not(code: str, reason: str, command: str, *places: Where, gate: bool = True) -> Answer:
    return Answer(code=code, verdict=Verdict.NOT_MET, reason=reason, command=command, places=places, gate=gate)


def _unknown(code: str, reason: str, command: str, *places: Where) -> Answer:
    return Answer(code=code, verdict=Verdict.UNKNOWN, reason=reason, command=command, places=places)


def _identifier(facts: _Facts) -> Answer:
    if not facts.people:
        return _not("RV330", "no sync sends people", "write one: type: person, identify_by: {id: customer_id}")
    first = facts.people[0]
    other = [sync for sync in (*facts.people, *facts.events) if sync.identifier is not first.identifier]
    if other:
        names = [f"sync {sync.name!r} names people by {sync.identifier}" for sync in (first, other[0])]
        return _not("RV330", " and ".join(names), f"identify_by: {{{first.identifier}: …}} in each", other[0].where, first.where)
    chosen = "as declared in `identity:`" if first.identity.declared else "though no `identity:` declares it"
    return _met("RV330", f"every sync names people by {first.identifier}, {chosen}", first.where)


def _anonymous(facts: _Facts) -> Answer:
    fields = [field for sync in facts.people if (field := sync.named("anonymous_id")) is not None]
    moment = next((sync.identity.moment for sync in facts.people if sync.identity.moment), "")
    add = "add to a person sync: anonymous_id: {column: …, type: string}; and declare the moment: docs/identity.md"
    if fields and moment:
        return _met("RV331", f"visitors become known at {moment}, with the anonymous id that they had", fields[0].where)
    if fields:
        return _not("RV331", "people are sent with the anonymous id that they had, and the moment is not declared", add,
                    fields[0].where)  # fmt: skip
    waiting = [sync for sync in facts.events if sync.anonymous]
    if waiting:
        return _not("RV331", f"sync {waiting[0].name!r} sends events of visitors, and no person is sent with the id of one",
                    add, waiting[0].where)  # fmt: skip
    places = [sync.where for sync in facts.people[:1]]
    return _not("RV331", "no person is sent with the anonymous id of the visitor that became this person",
                f"{add}; or accept it: taxonomy: {{ignore: {{RV331: why}}}}", *places)  # fmt: skip


def _merge(facts: _Facts) -> Answer:
    if _anonymous(facts).verdict is not Verdict.MET:
        return _not("RV332", "no anonymous id is sent, so nothing can join", "first the line above", gate=False)
    return _unknown("RV332", "only a test with a real person shows it",
                    "put something into a cart in a private window, sign up, look at that person in Customer.io, and record it: "
                    "taxonomy: {ignore: {RV332: tested on …, by …}}")  # fmt: skip


def _events(facts: _Facts) -> Answer:
    sent = facts.sent(*SHOP_ROLES)
    lacking = [role for role in SHOP_ROLES if not facts.sent(role) and not facts.elsewhere(role)]
    if lacking:
        return _not("RV333", f"nobody sends a {', a '.join(lacking)}",
                    "write a sync for each, or declare who sends it: taxonomy: {events: {…: {role: …, sent_by: …}}}",
                    *(sync.where for sync in sent))  # fmt: skip
    if bad := facts.of("RV300", "RV301", "RV314", syncs=sent):
        return _not("RV333", bad[0].message, LINT, *(f.where for f in bad))
    return _met("RV333", "all five are sent", *facts.places(SHOP_ROLES))


def _properties(facts: _Facts) -> Answer:
    sent = facts.sent(Role.CART, Role.CHECKOUT, Role.PURCHASE, Role.REFUND)
    if not sent:
        return _not("RV334", "no sync sends a cart, a checkout, a purchase or a refund", "see RV333", gate=False)
    if bad := facts.of("RV308", "RV309", "RV310", "RV311", syncs=sent):
        return _not("RV334", bad[0].message, LINT, *(f.where for f in bad))
    return _met("RV334", f"{_listed(sent)} require what they need", *(sync.where for sync in sent))


def _sources(facts: _Facts) -> Answer:
    if bad := facts.of("RV313"):
        return _not("RV335", bad[0].message, LINT, *(f.where for f in bad))
    roles = (Role.PURCHASE, Role.REFUND)
    lacking = [role for role in roles if not facts.sent(role) and not facts.elsewhere(role)]
    if lacking:
        return _not("RV335", f"nobody sends a {' or a '.join(lacking)}", "see RV333", gate=False)
    return _met("RV335", "as far as this project declares, one source sends purchases and one refunds", *facts.places(roles))


def _types(facts: _Facts) -> Answer:
    if not facts.people:
        return _not("RV336", "no sync sends people", "see RV330", gate=False)
    if bad := facts.of("RV304", "RV306", "RV317", syncs=facts.people):
        return _not("RV336", bad[0].message, LINT, *(f.where for f in bad))
    fields = sum(len(sync.fields) for sync in facts.people)
    return _met("RV336", f"{fields} attributes have a type, and none looks wrong by its name", facts.people[0].where)


def _segments(facts: _Facts) -> Answer:
    del facts
    return _not("RV337", "not supported yet: revetl makes no segments with conditions, and knows of none",
                "make them in Customer.io by hand", gate=False)  # fmt: skip


def _latency(facts: _Facts) -> Answer:
    if not facts.events:
        return _not("RV338", "no sync sends events", "see RV333", gate=False)
    lacking = [sync for sync in facts.events if sync.latency == Latency()]
    if lacking:
        return _not("RV338", f"{_listed(lacking)} {'has' if len(lacking) == 1 else 'have'} no declared latency",
                    "latency: {warn: 15 minutes, error: 1 hour}", *(sync.where for sync in lacking))  # fmt: skip
    places = [sync.where for sync in facts.events]
    if facts.arrived is None:
        return _unknown("RV338", "declared for each event; what runs measured could not be read", "revetl debug", *places)
    late = [sync for sync in facts.events if facts.arrived.get(sync.name, 0) > (sync.latency.error_s or sync.latency.warn_s)]
    if late:
        return _not("RV338", f"{_listed(late)} arrived later than declared in the last run that sent any", "revetl status",
                    *(sync.where for sync in late))  # fmt: skip
    unmeasured = [sync for sync in facts.events if sync.name not in facts.arrived]
    if unmeasured:
        return _unknown("RV338", f"declared for each event; no run has measured {_listed(unmeasured)} yet", "revetl run",
                        *(sync.where for sync in unmeasured))  # fmt: skip
    return _met("RV338", "declared for each event, and 95 % of the last run's events arrived within it", *places)


def _monitoring(facts: _Facts) -> Answer:
    if bad := [f for f in facts.of("RV316") if "owner" in f.message]:
        return _not("RV339", bad[0].message, "owner: the team that is asked", *(f.where for f in bad))
    watched = (*facts.people, *facts.events)
    quiet = [sync for sync in watched if sync.drift is None]
    if quiet:
        lacking = f"{_listed(quiet)} {'has' if len(quiet) == 1 else 'have'} no alarm for drift"
        return _not("RV339", f"every sync has an owner; {lacking}", "drift: {}", *(sync.where for sync in quiet))
    return _met("RV339", "every sync has an owner, and is compared with its last runs", *(sync.where for sync in watched))


def _listed(syncs: Sequence[Sync]) -> str:
    names = [repr(sync.name) for sync in syncs]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
