"""Makes worlds and prints what happens in them: `python -m tests.simulation --seed 7` repeats a failure byte for byte."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.simulation.sim import BrokenInvariantError, live, world


def main() -> int:
    """Run `--worlds` seeds from `--seed` on; 1 if an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worlds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=25, help="of each world, before it settles")
    parser.add_argument("--quiet", action="store_true", help="only the last line of each world")
    asked = parser.parse_args()
    for seed in range(asked.seed, asked.seed + asked.worlds):
        with tempfile.TemporaryDirectory() as folder, world(Path(folder), seed, None if asked.quiet else print) as sim:
            try:
                live(sim, asked.steps)
            except BrokenInvariantError as broken:
                print(f"seed {seed}, step {sim.steps}: {broken}")
                return 1
            print(f"seed {seed}: {sim.steps} steps, {sim.runs} runs, journal {sim.journal.hexdigest()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
