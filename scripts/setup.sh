#!/bin/sh
# Makes .venv and installs revetl into it, with everything pinned by constraints.txt.
#
#   scripts/setup.sh run    what a user needs
#   scripts/setup.sh dev    and what the checks need
#
# A stamp file in .venv keeps it from being done twice; it is older than pyproject.toml or constraints.txt when
# something has to be installed again. PYTHON=... picks an interpreter.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-run}
case $kind in
run) what=-e. ;;
dev) what=-e.[dev] ;;
*) echo "usage: scripts/setup.sh run|dev" >&2 && exit 2 ;;
esac

fresh() { [ -f "$1" ] && [ "$1" -nt pyproject.toml ] && [ "$1" -nt constraints.txt ]; }
stamp=.venv/.revetl-$kind
if fresh "$stamp" || { [ "$kind" = run ] && fresh .venv/.revetl-dev; }; then exit 0; fi

# a shim of a version manager exists without working, so each one is asked
usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if ! { [ -x .venv/bin/python ] && usable .venv/bin/python; }; then
    python=
    for one in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
        if usable "$one"; then python=$one && break; fi
    done
    if [ -z "$python" ]; then
        echo "revetl needs Python 3.11 or newer, and none was found." >&2
        echo "  Debian, Ubuntu: sudo apt-get install -y python3 python3-venv" >&2
        echo "  macOS:          brew install python@3.13" >&2
        exit 1
    fi
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "$python cannot make virtual environments: Debian keeps that in a package of its own. Type this, and then the same make again:" >&2
        echo "  sudo apt-get install -y python$version-venv" >&2
        exit 1
    fi
    echo "\$ $python -m venv .venv"
    rm -rf .venv
    "$python" -m venv .venv
fi

echo "\$ .venv/bin/python -m pip install -c constraints.txt '$what'"
# one go, so that one resolution sees all of it
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location -c constraints.txt "$what"
touch "$stamp"
