"""`revetl test`, `revetl source freshness` and a run that tests stop, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_commands import Terminal

SCHEMA = """\
models:
  - name: people
    columns:
      - name: person_id
        data_tests: [unique, not_null]
      - name: country
        data_tests:
          - accepted_values: {values: [GB, DE], config: {severity: warn}}
sources:
  - name: raw_again
    schema: raw
    tables:
      - name: orders
        loaded_at_field: loaded_at
        freshness: {warn_after: {count: 30, period: day}, error_after: {count: 36500, period: day}}
        columns:
          - name: currency
            data_tests:
              - accepted_values: {values: [XXX], name: no_real_currency}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Terminal:
    revetl = Terminal(tmp_path)
    revetl("init")
    return revetl


def test_the_commands_end_as_dbts_do(shop: Terminal) -> None:
    (shop.folder / "models" / "schema.yml").write_text(SCHEMA)

    said = shop("test", code=1)
    fine = shop("test", "--select", "people", "--output", "json")
    shop("source", "freshness")

    assert "1 of 4 PASS unique_people_person_id ..." in said
    assert "WARN" in said
    assert "Failure in test no_real_currency (models/schema.yml:" in said
    assert "compiled code at target/compiled/" in said
    assert "Done. PASS=2 WARN=1 ERROR=1 SKIP=0 TOTAL=4" in said
    assert "EUR" not in said
    assert json.loads(fine.splitlines()[-1])["totals"]["fail"] == 0
    [fresh] = json.loads((shop.folder / "target" / "sources.json").read_text())["results"]
    assert fresh["status"] in {"pass", "warn"}
    assert fresh["criteria"]["warn_after"] == {"count": 30, "period": "day"}
    assert "sends nothing" in shop("retry", code=2)


def test_a_run_that_a_test_stops_exits_11_and_retry_goes_on_when_it_is_right(shop: Terminal) -> None:
    (shop.folder / "models" / "schema.yml").write_text(
        "models: [{name: people, columns: [{name: country, tests: [{accepted_values: {values: [nowhere]}}]}]}]\n"
    )

    said = shop("run", "--select", "people", code=11)
    results = json.loads((shop.folder / "target" / "run_results.json").read_text())["results"]
    (shop.folder / "models" / "schema.yml").unlink()

    assert "accepted_values_people_country__nowhere" in said
    assert "[RV473]" in said
    assert [result["status"] for result in results] == ["error", "fail"]
    assert "Done. OK=1" in shop("retry")
