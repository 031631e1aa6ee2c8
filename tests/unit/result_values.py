"""Results of runs and diffs for tests: a few fixed ones, and any valid one."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from revetl.contracts import Field, FieldType, IdentifierKind, OnViolation, Sync, SyncType
from revetl.engine import DiffResult, RunResult, Sample, SyncDiff, SyncResult
from revetl.errors import ContractBroken, GuardTripped, Where
from revetl.plan import Counts
from revetl.reasons import Reason
from revetl.report import Heading

HEADING = Heading(project="shop", target="prod", destination="customerio (eu)", version="0.1.0")


def field(name: str, kind: str = "string") -> Field:
    """A field whose column has its name."""
    return Field(name=name, column=name, type=FieldType(kind))


def people(name: str = "people", *fields: str) -> Sync:
    """A person sync."""
    names = fields or ("email", "lifetime_value")
    return Sync(
        name=name, uid="people01", type=SyncType.PERSON, model=name, relation=f"ref('{name}')",
        identifier=IdentifierKind.ID, key="customer_id", fields=tuple(field(n) for n in names),
        where=Where(file="syncs/people.yml", line=3, column=5),
    )  # fmt: skip


def orders(name: str = "order_completed") -> Sync:
    """An event sync."""
    return Sync(
        name=name, uid="orders01", type=SyncType.EVENT, model=name, relation=f"ref('{name}')",
        identifier=IdentifierKind.ID, key="order_id", fields=(field("order_id"), field("value", "number")),
        event="Order Completed", person="customer_id", person_sync="people", occurred_at="ordered_at",
        where=Where(file="syncs/events.yml", line=2, column=5),
    )  # fmt: skip


PEOPLE = Counts(
    model_rows=133_344, unchanged=43_300, created=1_204, updated=88_310, redriven=530, deleted=1_512, refused=7,
    gone=3, fresh=12, state_rows=133_655, first=90_037, last=91_549, changed={"email": 1, "lifetime_value": 88_310},
)  # fmt: skip
ORDERS = Counts(
    model_rows=903, unchanged=800, created=100, skipped=3, late=20, waiting=5, held=2, first=73, last=73,
    untriggering=3, drifted=1, state_rows=800,
)  # fmt: skip
QUIET = Counts(model_rows=12, unchanged=12, state_rows=12)
GUARD = GuardTripped(
    "sync 'people': 1,512 of 133,655 people would be deleted (max_deletes 1%); nothing was sent",
    hint="if this is right: revetl run --select people --confirm-deletes 1512",
    where=people().where,
    code="RV211",
)
BROKEN = ContractBroken(
    "sync 'refunds' cannot read its model 'refunds': the key needs column 'refund_id', which the model does not give",
    hint="the model gives: id (BIGINT)",
    where=Where(file="syncs/events.yml", line=30, column=5),
    code="RV200",
)


def fixed_diff() -> DiffResult:
    """Four syncs: one that a guard stops, one with events to explain, one without changes, one that cannot be read."""
    sample = Sample(op="update", key="C-1", rows=1, changes={"email": ("ann@old.example", "ann@new.example")})
    gone = Sample(op="delete", key="C-2", rows=1, changes={})
    new = Sample(
        op="create", key="C-3", rows=2, changes={"email": (None, "x" * 60), "lifetime_value": (None, 12.5)}
    )
    return DiffResult(
        seconds=0.31,
        syncs=(
            SyncDiff(sync=people(), counts=PEOPLE, problems=(GUARD,), requests=184, seconds=91.5, samples=(sample, gone, new)),
            SyncDiff(sync=orders(), counts=ORDERS, requests=1, seconds=0.1, first_run=True),
            SyncDiff(sync=people("guests"), counts=QUIET),
            SyncDiff(sync=orders("refunds"), counts=Counts(), problems=(BROKEN,)),
        ),
    )  # fmt: skip


def fixed_run() -> RunResult:
    """Four syncs, one of each status."""
    reasons = (
        Reason(
            reason="too_long",
            field="email",
            message="longer than 1,000 bytes",
            rows=5,
            rule="max_length",
            example="C-…7 (5 characters)",
            outline="aaa9@aaaaaaaaaaaaaaa… (1,001 characters)",
        ),
        Reason(reason="invalid", field="", message="the destination refused it", rows=1, example=""),
        Reason(reason="format", field="phone", message="the text is not a phone number", rows=3, rule="format",
               policy=OnViolation.WARN, outline="99 999"),
    )  # fmt: skip
    return RunResult(
        run_id="0b9c2f6e-0000-4000-8000-000000000001", started_at=1_763_900_000.0, seconds=93.4, requests=191, retries=2,
        bytes_sent=41_234_567, statements=31,
        syncs=(
            SyncResult(sync=people(), status="partial", counts=PEOPLE, acknowledged=91_503, refused_now=6, unsent=40,
                       warned=3, fence=7, reasons=reasons, seconds=91.2),
            SyncResult(sync=orders(), status="success", counts=Counts(model_rows=903, unchanged=803, created=100,
                       first=100, last=100), acknowledged=100, fence=7, seconds=1.1),
            SyncResult(sync=orders("refunds"), status="error", error=BROKEN, seconds=0.1),
            SyncResult(sync=orders("carts"), status="skipped"),
        ),
    )  # fmt: skip


def counts(draw: st.DrawFn, *, events: bool) -> tuple[Counts, int]:
    """Counts as a plan can have them, and how many rows are to be sent."""
    n = st.integers(0, 10**7) | st.integers(0, 3)
    names = ("unchanged", "new", "changed", "redriven", "deleted", "refused", "refused_update", "bad", "waiting", "late",
             "future", "held", "skipped", "unbought", "orphans", "quarantined", "released")  # fmt: skip
    part: dict[str, int] = {name: draw(n) for name in names}
    if events:
        for name in ("changed", "deleted", "refused_update", "quarantined", "released"):
            part[name] = 0
    else:
        for name in ("waiting", "late", "future", "held", "skipped", "unbought", "orphans"):
            part[name] = 0
    waiting = part["waiting"] + part["unbought"]
    waiting_like = waiting + part["late"] + part["future"] + part["held"] + part["orphans"]
    created = part["new"] + part["refused"] + waiting_like
    updated = part["changed"] + part["refused_update"]
    to_send = part["new"] + part["changed"] + part["redriven"] + part["deleted"] + part["released"]
    value = Counts(
        model_rows=part["unchanged"] + created + updated + part["redriven"] + part["skipped"] + part["bad"]
        + part["quarantined"],
        unchanged=part["unchanged"], created=created, updated=updated, redriven=part["redriven"],
        deleted=part["deleted"], skipped=part["skipped"], waiting=waiting, unbought=part["unbought"], orphans=part["orphans"],
        late=part["late"],
        future=part["future"], held=part["held"], refused=part["refused"] + part["refused_update"],
        bad_keys=part["bad"], last=to_send, first=to_send - part["deleted"], state_rows=draw(n),
        changed={"email": part["changed"]}, released=part["released"],
        quarantined={"shared": part["quarantined"]} if part["quarantined"] else {},
    )  # fmt: skip
    return value, to_send


@st.composite
def sync_results(draw: st.DrawFn) -> SyncResult:
    """Any outcome of one sync that can be."""
    events = draw(st.booleans())
    value, to_send = counts(draw, events=events)
    acknowledged = draw(st.integers(0, to_send))
    refused = draw(st.integers(0, to_send - acknowledged))
    return SyncResult(
        sync=orders() if events else people(), counts=value, acknowledged=acknowledged, refused_now=refused,
        unsent=to_send - acknowledged - refused, status=draw(st.sampled_from(["success", "partial", "error"])),
        baseline=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def sync_diffs(draw: st.DrawFn) -> SyncDiff:
    """Any diff of one sync."""
    events = draw(st.booleans())
    value, to_send = counts(draw, events=events)
    return SyncDiff(
        sync=orders() if events else people(), counts=value, baseline=draw(st.booleans()), first_run=draw(st.booleans()),
        problems=draw(st.sampled_from([(), (GUARD,)])), requests=-(-to_send // 500), seconds=to_send / 1000,
    )  # fmt: skip


def numbers_of(line: str, name: str) -> list[int]:
    """The numbers of a table's line."""
    cells: list[Any] = line.removeprefix(name).replace("|", " ").replace(",", "").split()
    return [int(cell) for cell in cells if cell.lstrip("-").isdigit()]
