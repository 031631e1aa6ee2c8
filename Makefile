# Every target makes its own environment first; nothing but make and Python 3.11+ has to be there.
# On a fresh machine:  make demo    a look at revetl, without an account
#                      make test    the tests

SHELL := /bin/sh
PY := .venv/bin/python
# how many processes the tests use; the servers that they start are shared by the tests of one process
JOBS ?= auto
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-run demo sandbox test test-more test-snowflake test-redshift test-bigquery test-databricks soak lint types docs-check bench reliability wheel-check check pins picture clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup-run:
	@scripts/setup.sh run

setup: ## the environment with all tools, in .venv
	@scripts/setup.sh dev

demo: setup-run ## a made-up shop to a Customer.io workspace on this machine (KEEP=1: and leave it running)
	@$(PY) scripts/demo.py $(if $(KEEP),--keep,) $(ARGS)

sandbox: setup-run ## the page of the workspace that the demo left
	@$(PY) scripts/demo.py --only-sandbox

# what ARGS names by its place runs, whichever of `test` and `test-more` has it
test: setup ## the tests
	$(PY) -m pytest -n $(JOBS) --dist worksteal -m "$(if $(findstring tests/,$(ARGS)),not soak,not soak and not more)" $(ARGS)

test-more: setup ## the longest of them, and the scenarios that `make test` tries on DuckDB only, on PostgreSQL and Snowflake
	$(PY) -m pytest -n $(JOBS) --dist worksteal -m "more and not soak" $(ARGS)

test-snowflake: setup ## the scenarios on a live Snowflake account (ENV=snowflake.env, see tests/snowflake.env.example), without ENV on fakesnow
	SNOWFLAKE_TEST_ENV="$(ENV)" $(PY) -m pytest tests/suites -k snowflake $(ARGS)

test-redshift: setup ## the scenarios on a live Redshift: ENV=redshift.env, made from tests/redshift.env.example
	$(PY) -m pip install --quiet -c constraints.txt -e '.[redshift]'
	REVETL_TEST_REDSHIFT="$(ENV)" $(PY) -m pytest tests/suites/test_redshift_scenarios.py $(ARGS)

test-bigquery: setup ## the scenarios on a live BigQuery: ENV=bigquery.env, made from tests/bigquery.env.example
	REVETL_TEST_BIGQUERY="$(ENV)" $(PY) -m pytest tests/suites/test_bigquery_scenarios.py $(ARGS)

test-databricks: setup ## the scenarios on a live Databricks: ENV=databricks.env, made from tests/databricks.env.example
	$(PY) -m pip install --quiet -c constraints.txt -e '.[databricks]'
	REVETL_TEST_DATABRICKS="$(ENV)" $(PY) -m pytest tests/suites/test_databricks_scenarios.py $(ARGS)

soak: setup ## the long tests
	$(PY) -m pytest -m soak $(ARGS)

lint: setup ## ruff
	$(PY) -m ruff check .

types: setup ## mypy --strict
	$(PY) -m mypy

docs-check: setup ## links, commands and YAML of the documentation; import directions; examples
	$(PY) -m pytest -q tests/test_docs.py tests/test_examples.py tests/test_architecture.py

bench: setup ## rows per CPU second, requests, statements, memory; then the price of safety and of contracts (8 minutes)
	$(PY) -m benchmarks.people $(ARGS)
	$(PY) -m benchmarks.safety
	$(PY) -m benchmarks.contract

reliability: setup ## all tests, the long ones too, and from their figures docs/reliability.md
	scripts/platforms.sh
	rm -f target/bars.jsonl && mkdir -p target
	$(PY) -m pytest -n $(JOBS) --dist worksteal -m "not soak" --bars target/bars.jsonl
	$(PY) -m pytest -m soak --bars target/bars.jsonl
	$(PY) -m benchmarks.safety --bars target/bars.jsonl
	$(PY) scripts/reliability.py target/bars.jsonl

wheel-check: setup ## build the wheel, install it into an empty environment, run the demo from it
	@scripts/wheel_check.sh

check: lint types test test-more docs-check wheel-check ## all that CI runs

pins: setup ## write constraints.txt anew from pyproject.toml
	@scripts/pins.sh

picture: setup-run ## record docs/images/demo.svg, which the README shows, from the real commands
	rm -rf target/picture
	$(PY) -m revetl --quiet init target/picture
	cd target/picture && ../../$(PY) -m revetl --quiet run && ../../$(PY) -m revetl sample advance
	PATH="$$PWD/.venv/bin:$$PATH" $(PY) scripts/record_svg.py --cwd target/picture --columns 112 docs/images/demo.svg \
	    "revetl diff --select people order_completed" "revetl run --select people order_completed"

clean: ## remove what was made here, except the environment
	rm -rf target logs build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
