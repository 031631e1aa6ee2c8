#!/bin/sh
# Writes constraints.txt: one exact version of everything that any extra brings, for Python 3.11 and later on every
# platform. No registry is named in it, so it works behind any mirror. Needs uv (`pip install uv`).
set -eu
cd "$(dirname "$0")/.."
part=$(mktemp)
trap 'rm -f "$part"' EXIT
uv=$(command -v uv || echo .venv/bin/uv)
"$uv" pip compile --universal --python-version 3.11 --all-extras --no-annotate --no-header --quiet \
    pyproject.toml >"$part"
{ echo "# Written by scripts/pins.sh; used as \`pip install -c constraints.txt\`." && cat "$part"; } >constraints.txt
echo "constraints.txt: $(grep -c == constraints.txt) packages"
