"""The files of target/ and the log: valid against their schemas, atomic, and without secrets."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl import artifacts
from revetl.console import LOG_BYTES, Log, Progress
from revetl.engine import RunResult, SyncResult
from revetl.errors import ConfigError
from revetl.plan import Counts
from revetl.report import Style
from tests.unit.result_values import HEADING, fixed_run, people, sync_results

NOW = datetime(2026, 11, 23, 10, 42, 7, 120_000, tzinfo=UTC)
ARGS: dict[str, Any] = {
    "command": "run",
    "select": ["people"],
    "vars": {"since": "2026-01-01", "token": "s3cret!value"},
}


def document(run: RunResult, **more: Any) -> dict[str, Any]:
    """`run_results.json` of a run."""
    head = artifacts.metadata(
        artifacts.RUN_RESULTS, HEADING, invocation_id="i-1", now=NOW, environ=more.pop("environ", {})
    )
    return artifacts.run_results(run, HEADING, head=head, args=more.pop("args", ARGS), **more)


def test_run_results_are_valid_against_their_schema() -> None:
    schema = artifacts.json_schema("run_results")
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(document(fixed_run()))), schema)


@given(st.lists(sync_results(), max_size=3))
def test_any_run_is_valid_against_the_schema(results: list[SyncResult]) -> None:
    run = RunResult(run_id="r", started_at=0, seconds=1, syncs=tuple(results))
    jsonschema.validate(json.loads(json.dumps(document(run))), artifacts.json_schema("run_results"))


def test_the_schema_refuses_what_dbt_readers_would_trip_over() -> None:
    wrong = document(fixed_run())
    wrong["results"][0]["status"] = "partial"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, artifacts.json_schema("run_results"))


def test_the_envelope_is_dbts() -> None:
    found = document(fixed_run(), environ={"DBT_ENV_CUSTOM_ENV_DAG": "nightly", "OTHER": "x"})
    assert found["metadata"] == {
        "revetl_schema_version": "revetl/run-results/v1", "revetl_version": "0.1.0", "invocation_id": "i-1",
        "generated_at": "2026-11-23T10:42:07.120000Z", "project_name": "shop", "target": "prod",
        "env": {"DAG": "nightly"}, "run_id": fixed_run().run_id,
    }  # fmt: skip
    assert [r["unique_id"] for r in found["results"]][:2] == ["sync.shop.people", "sync.shop.order_completed"]
    assert [r["status"] for r in found["results"]] == ["partial success", "success", "error", "skipped"]
    assert found["results"][0]["adapter_response"]["acknowledged"] == 91_503
    assert found["results"][2]["message"].startswith("sync 'refunds' cannot read its model")


def test_what_is_run_again() -> None:
    assert artifacts.failed_syncs(document(fixed_run())) == ("people", "refunds", "carts")


def test_a_name_with_dots_is_found_again() -> None:
    run = RunResult(
        run_id="r", started_at=0, seconds=1, syncs=(SyncResult(sync=people("a.b.c"), status="error"),)
    )
    assert artifacts.failed_syncs(document(run)) == ("a.b.c",)


def test_secrets_and_masked_keys_are_not_written() -> None:
    secrets = artifacts.secret_values(
        {"DBT_ENV_SECRET_TOKEN": "s3cret!value", "REVETL_ENV_SECRET_X": "abc", "HOME": "people"}
    )
    assert secrets == ("s3cret!value",)
    text = json.dumps(document(fixed_run(), secrets=secrets), ensure_ascii=False)
    assert "s3cret" not in text
    assert '"token": "*****"' in text
    assert '"since": "2026-01-01"' in text
    assert "C-…7" not in text


@given(st.recursive(st.text(max_size=8) | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
       st.lists(st.text(min_size=4, max_size=6), min_size=1, max_size=3))  # fmt: skip
def test_nothing_of_a_secret_is_left_in_any_value(value: Any, secrets: list[str]) -> None:
    ordered = artifacts.secret_values(
        {f"DBT_ENV_SECRET_{i}": s for i, s in enumerate(secrets) if "*" not in s}
    )
    planted = {"a": [value, *(f"before{s}after" for s in secrets if "*" not in s)]}
    found = artifacts.scrubbed(planted, ordered)["a"][1:]
    assert all(secret not in text for secret in ordered for text in found if "*" not in secret)


# --- files -----------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "target" / "run_results.json"
    artifacts.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        artifacts.write_json(path, {1j: "not a JSON key"})  # type: ignore[dict-item]
    assert json.loads(path.read_text()) == {"a": 1}
    artifacts.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert [p.name for p in path.parent.iterdir()] == ["run_results.json"]


def test_a_folder_that_cannot_be_written_is_told_with_the_flag(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="--target-path"):
        artifacts.write_json(tmp_path / "target" / "x.json", {})


def test_reading_the_last_run(tmp_path: Path) -> None:
    path = tmp_path / "run_results.json"
    with pytest.raises(ConfigError, match="nothing was run yet"):
        artifacts.read_run_results(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        artifacts.read_run_results(path)
    path.write_text('{"metadata": {"dbt_schema_version": "v6"}}')
    with pytest.raises(ConfigError, match="has the version None"):
        artifacts.read_run_results(path)
    artifacts.write_json(path, document(fixed_run()))
    assert artifacts.read_run_results(path)["args"]["select"] == ["people"]


# --- the log ---------------------------------------------------------------------------------------------------


class Times:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Broken(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_text_and_json_lines(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = Log(
        stream, style=Style(), file=tmp_path / "logs" / "revetl.log", secrets=("hunter22",), now=lambda: NOW
    )
    log.say("info", "connected with hunter22")
    log.say("debug", "detail")
    log.close()
    assert stream.getvalue() == "connected with *****\n"
    assert (tmp_path / "logs" / "revetl.log").read_text() == "10:42:07.120000 [info ] connected with *****\n"

    stream = io.StringIO()
    log = Log(stream, style=Style(), json_lines=True, invocation_id="i-1", now=lambda: NOW)
    log.say("warn", "\x1b[31mred\x1b[0m", name="Guard", data={"rows": 3})
    line = json.loads(stream.getvalue())
    assert line["info"]["msg"] == "red"
    assert (line["info"]["level"], line["info"]["name"], line["info"]["invocation_id"]) == (
        "warn",
        "Guard",
        "i-1",
    )
    assert line["data"] == {"rows": 3}


def test_quiet_shows_errors_and_the_file_has_all(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = Log(stream, style=Style(), file=tmp_path / "revetl.log", least="error", now=lambda: NOW)
    log.say("info", "one")
    log.say("error", "two")
    log.close()
    assert stream.getvalue() == "two\n"
    assert (tmp_path / "revetl.log").read_text().count("\n") == 2


def test_a_long_log_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "revetl.log"
    path.write_bytes(b"x" * (LOG_BYTES + 1))
    log = Log(io.StringIO(), style=Style(), file=path, now=lambda: NOW)
    log.say("info", "new")
    log.close()
    assert path.read_text() == "10:42:07.120000 [info ] new\n"
    assert (tmp_path / "revetl.log.1").stat().st_size == LOG_BYTES + 1


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    log = Log(Broken(), style=Style(), file=tmp_path / "logs" / "revetl.log", live=True)
    log.say("info", "still here")
    log.draw("still here")
    log.close()


class Interrupted(io.StringIO):
    """A stream during whose writing a signal arrives."""

    log: Log | None = None

    def write(self, text: str) -> int:
        if self.log is not None:
            log, self.log = self.log, None
            log.say("warn", "stopping")
        return super().write(text)


def test_a_signals_handler_may_speak_while_a_line_is_written() -> None:
    stream = Interrupted()
    stream.log = Log(stream, style=Style())
    stream.log.say("info", "one")
    assert stream.getvalue() == "stopping\none\n"


def run_progress(log: Log) -> None:
    """Five minutes of progress, one call a second."""
    clock = Times()
    progress = Progress(log, monotonic=clock)
    progress.planned(people(), Counts(model_rows=300, created=300, last=300))
    for second in range(1, 301):
        clock.now += 1
        progress.progress(people(), second, 300, second)


def test_without_a_terminal_there_is_a_line_each_half_minute() -> None:
    stream = io.StringIO()
    run_progress(Log(stream, style=Style()))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "people: 300 rows, 300 created; 300 to send"
    assert lines[1] == "people: 30 of 300 rows (10%), 1 rows/s, 30 requests, 4 min 30 s left"
    assert lines[-1] == "people: 300 rows answered in 5 min"
    assert len(lines) == 1 + 9 + 1
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_one_live_line_which_is_gone_at_the_end() -> None:
    stream = io.StringIO()
    run_progress(Log(stream, style=Style(), live=True))
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert text.count("\r\x1b[2Kpeople: ") == 299 + 1
    assert text.endswith("\r\x1b[2Kpeople: 300 rows answered in 5 min\n")
