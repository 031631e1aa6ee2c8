"""Keep what revetl reads of a dbt run, as golden files: python -m tests.dbt.record TARGET_FOLDER v12.

Of the manifest the parts that differ from machine to machine, dbt's own macros and its documentation are left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "dbt"
KEPT = ("metadata", "nodes", "sources", "disabled", "groups", "unit_tests", "macros", "parent_map")
DROPPED = {"root_path", "build_path", "created_at", "invocation_id", "project_id", "user_id", "docs", "doc_blocks", "patch_path"}


def trimmed(value: Any) -> Any:
    """A JSON value without what differs from machine to machine."""
    if isinstance(value, dict):
        return {key: trimmed(one) for key, one in value.items() if key not in DROPPED}
    return [trimmed(one) for one in value] if isinstance(value, list) else value


def main(folder: Path, version: str) -> None:
    """Write the golden files of one version."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest = {key: manifest[key] for key in KEPT if key in manifest}
    manifest["macros"] = {key: one for key, one in manifest["macros"].items() if not key.startswith("macro.dbt")}
    results = json.loads((folder / "run_results.json").read_text())
    results = {"metadata": results["metadata"], "args": {"which": results["args"]["which"]}, "results": [
        {key: one[key] for key in ("unique_id", "status", "message", "failures")} for one in results["results"]
    ]}  # fmt: skip
    sources = json.loads((folder / "sources.json").read_text())
    place = GOLDEN / version
    place.mkdir(parents=True, exist_ok=True)
    for name, found in (("manifest", manifest), ("run_results", results), ("sources", sources)):
        (place / f"{name}.json").write_text(json.dumps(trimmed(found), indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
