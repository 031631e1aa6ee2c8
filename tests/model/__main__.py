"""Prints what the searches find: `python -m tests.model [--traces] [--all] [words of a variant's name]`."""

from __future__ import annotations

import argparse
import time

from tests.model.protocol import HOLDS, LARGE, WEAKENED, search


def main() -> None:
    """Search the variants whose name has the given words; the large ones only with `--all`."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("words", nargs="*", help="of the variants' names")
    parser.add_argument("--traces", action="store_true", help="how a promise comes to be broken, step by step")
    parser.add_argument("--all", action="store_true", help="the large ones as well: minutes, and two gigabytes")
    asked = parser.parse_args()
    for name, variant in {**WEAKENED, **HOLDS, **(LARGE if asked.all else {})}.items():
        if not all(word in name for word in asked.words):
            continue
        began = time.process_time()
        found = search(variant, trace=name in WEAKENED)
        seconds = time.process_time() - began
        print(f"| {name} | {found.broken or 'holds'} | {found.states:,} | {seconds:.1f} s", flush=True)
        for line in found.trace if asked.traces else ():
            print(f"    {line}")


if __name__ == "__main__":
    main()
