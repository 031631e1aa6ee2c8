"""What it costs to bring a model's rows to a state that is elsewhere: CPU seconds, and memory that does not grow with the rows.

    python -m benchmarks.elsewhere [--rows 100000,1000000]

People of 13 columns go from a DuckDB file to PostgreSQL and the other way, as they do before each diff and run. Each figure
is taken in a fresh process. Memory is the client's peak; it holds DuckDB, and where the state is there, the staged table as well,
for which DuckDB is given 128 MB. Beside it: a client that reads the same rows into a list.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.people import MAKE, connect, cpu, peak_mb, sync
from benchmarks.scale import place_of

ROOT = Path(__file__).resolve().parent.parent
LIMIT = "128MB"  # of DuckDB's memory


def state_of(place: str) -> Any:
    """Where the state is kept, as profiles.yml says it."""
    from revetl.profiles import Elsewhere

    if place.startswith("postgres:"):
        host = place.removeprefix("postgres:")
        return Elsewhere(kind="postgres", fields={"host": host, "user": "postgres", "dbname": "postgres"})
    return Elsewhere(kind="duckdb", fields={"path": place, "threads": 1, "settings": {"memory_limit": LIMIT}})


def staged(source: str, state: str) -> dict[str, Any]:
    """All rows from one engine to the other."""
    import sqlalchemy as sa

    from revetl.elsewhere import open_elsewhere
    from revetl.engine import CompiledSync

    compiled = CompiledSync(sync=sync(), sql="SELECT * FROM people")
    warehouse = open_elsewhere(connect(source), state_of(state), root=ROOT, read_only=False)
    warehouse.fetch(sa.text("SELECT 1"))
    warehouse.source.fetch(sa.text("SELECT 1"))
    began, wall, before = cpu(), time.perf_counter(), peak_mb()
    made = warehouse.adopt(compiled)
    warehouse.columns(made.sql)
    out = {"cpu": cpu() - began, "wall": time.perf_counter() - wall, "before": before, "mb": peak_mb()}
    [(out["rows"],)] = warehouse.fetch(sa.text(f"SELECT count(*) FROM ({made.sql}) AS s"))
    warehouse.close()
    return out


def listed(source: str) -> dict[str, Any]:
    """All rows in a list."""
    import sqlalchemy as sa

    warehouse = connect(source)
    warehouse.fetch(sa.text("SELECT 1"))
    began, wall, before = cpu(), time.perf_counter(), peak_mb()
    rows = warehouse.fetch(sa.text("SELECT * FROM people"))
    out = {"cpu": cpu() - began, "wall": time.perf_counter() - wall, "before": before, "mb": peak_mb(), "rows": len(rows)}
    warehouse.close()
    return out


def measured(*arguments: str) -> dict[str, Any]:
    """One measurement in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.elsewhere", "--one", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="100000,1000000")
    parser.add_argument("--one", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(staged(*options.one) if len(options.one) > 1 else listed(*options.one)))
        return
    print(f"{'what':<28} {'rows':>10} {'CPU s':>8} {'s':>8} {'MB before':>10} {'peak MB':>8}")
    for rows in (int(one) for one in options.rows.split(",")):
        with tempfile.TemporaryDirectory() as name, place_of("postgres", Path(name)) as server:
            file = str(Path(name) / "people.duckdb")
            made = connect(file)
            made.execute(_text(MAKE.format(rows=rows)))
            made.close()
            server.do(MAKE.format(rows=rows))
            for what, arguments in {
                "duckdb > postgres": (file, server.place), "postgres > duckdb": (server.place, str(Path(name) / "state.duckdb")),
                "duckdb into a list": (file,), "postgres into a list": (server.place,),
            }.items():  # fmt: skip
                found = measured(*arguments)
                assert found["rows"] == rows
                print(f"{what:<28} {rows:>10,} {found['cpu']:>8.2f} {found['wall']:>8.2f} {found['before']:>10.0f} "
                      f"{found['mb']:>8.0f}")  # fmt: skip


def _text(statement: str) -> Any:
    import sqlalchemy as sa

    return sa.text(statement)


if __name__ == "__main__":
    main()
