#!/bin/sh
# An environment of its own with dbt-core and dbt-duckdb:  scripts/dbt_env.sh DIR DUCKDB_VERSION
# Its DuckDB has the version of revetl's, as each of them must read the file that the other wrote. dbt 1.12 needs more than
# packages to be installed.
set -eu
dir=$1
[ -f "$dir/ready" ] && exit 0
rm -rf "$dir"
python3 -m venv "$dir"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check "dbt-core<1.12" "dbt-duckdb<1.12" "duckdb==$2"
"$dir/bin/dbt" --version >"$dir/ready"
