#!/bin/sh
# Builds the wheel, looks at what is in it, installs it into an empty environment and runs the demo from there,
# outside the source tree: what a user gets from `pip install`.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$root"
echo "\$ pip wheel --no-deps ."
.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work/dist" .
wheel=$(echo "$work"/dist/revetl-*.whl)
.venv/bin/python - "$wheel" <<'PY'
import sys
import zipfile
from pathlib import Path

packed = {name for name in zipfile.ZipFile(sys.argv[1]).namelist() if name.startswith("revetl/")}
there = {str(path) for path in Path("revetl").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
if packed != there:
    sys.exit(f"the wheel differs from the package: {sorted(packed ^ there)}")
print(f"{Path(sys.argv[1]).name}: {len(packed)} files, the same as in the package")
PY

cd "$work"
"$root/.venv/bin/python" -m venv env
echo "\$ pip install -c constraints.txt $(basename "$wheel")"
env/bin/python -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$wheel"
env/bin/python -m pip check
# the demo's script comes from the source tree, everything that it calls from the wheel
env/bin/python "$root/scripts/demo.py" --folder "$work/shop"
# a starter is files of the wheel, too
cd "$work" && env/bin/revetl --quiet init --from shopify starter && cd starter && ../env/bin/revetl --quiet diff > diff.txt
