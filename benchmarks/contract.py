"""What the checks of a contract cost: a first load of 12-attribute people, with rules for all of them and without any.

    python -m benchmarks.contract [--rows 200000] [--repetitions 3] [--warehouse duckdb]

The same people, warehouse and sink as in `benchmarks.people`; each figure is taken in a fresh process on a fresh copy
of the same warehouse, the contracts by turns, so that what else the machine does meets all of them alike. All rows
keep all rules, as nearly all rows do. CPU seconds are those of the client process, with the warehouse only where it
is embedded (DuckDB). Printed: each repetition, the medians, and what a contract takes more than plain types.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.people import MAKE, connect, run, start_sink, sync

ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.25
KINDS = ("plain types", "with a full contract", "and every rule stops the sync")


def rules() -> dict[str, dict[str, Any]]:
    """A full contract: for each attribute what a careful team would declare."""
    times = {"minimum": 1_262_304_000, "maximum": "now", "required": True}
    name = {"pattern": "[^0-9]+[0-9]*", "min_length": 1, "max_length": 60}
    return {
        "email": {"format": "email", "required": True}, "first_name": name, "last_name": name,
        "orders_count": {"minimum": 0, "maximum": 100_000, "required": True},
        "lifetime_value": {"minimum": 0, "maximum": 1_000_000}, "last_order_at": times, "first_order_at": times,
        "sms_consent": {"required": True}, "email_consent": {"required": True, "enum": (True, False)},
        "preferred_category": {"enum": ("shoes", "hats", "bags"), "required": True},
        "country": {"format": "iso3166", "required": True}, "score": {"minimum": 0.0, "maximum": 100.0},
    }  # fmt: skip


def contract(kind: str) -> Any:
    """The sync of the benchmark's people under one of the contracts."""
    from revetl.contracts import OnViolation

    plain = sync()
    if kind == KINDS[0]:
        return plain
    policy = OnViolation.FAIL if kind == KINDS[2] else OnViolation.REFUSE
    declared = rules()
    return replace(
        plain, fields=tuple(replace(one, on_violation=policy, **declared[one.name]) for one in plain.fields)
    )


def measured(folder: Path, kind: str, port: str) -> dict[str, float]:
    """One first load, in a fresh process on a fresh copy."""
    copy = folder / "copy.duckdb"
    shutil.copyfile(folder / "people.duckdb", copy)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.contract", "--one", kind, str(copy), port],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, place, port = options.one
        print(json.dumps(run(place, int(port), contract(kind))))
        return
    import sqlalchemy as sa

    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    sink, port = start_sink()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            warehouse = connect(str(folder / "people.duckdb"))
            warehouse.execute(sa.text(MAKE.format(rows=options.rows)))
            warehouse.close()
            for turn in range(options.repetitions):
                for kind in KINDS:
                    figures = measured(folder, kind, port)
                    if figures["rows"] != options.rows:
                        raise SystemExit(f"{kind}: {figures['rows']:,} of {options.rows:,} rows were acknowledged")
                    found[kind].append(figures["cpu"])
                    print(f"{turn + 1}  {kind:<32} {figures['cpu']:6.2f} CPU s", flush=True)
    finally:
        sink.kill()
    plain = statistics.median(found[KINDS[0]])
    print(f"\n{options.rows:,} people, 12 attributes, first load on DuckDB; medians of {options.repetitions}")
    for kind in KINDS:
        pairs = [more / base - 1 for more, base in zip(found[kind], found[KINDS[0]], strict=True)]
        share = statistics.median(found[kind]) / plain - 1
        told = f"{share:+.1%} ({min(pairs):+.1%} to {max(pairs):+.1%} in the pairs)" if kind != KINDS[0] else ""
        print(f"{kind:<32} {statistics.median(found[kind]):6.2f} CPU s  {told}")
    print(f"goal for the full contract: at most {GOAL:+.0%}")


if __name__ == "__main__":
    main()
