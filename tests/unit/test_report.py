"""What results look like: golden files for a person's eye, properties for what must always hold."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from revetl import markdown, report
from revetl.engine import DiffResult, RunResult, SyncDiff, SyncResult
from revetl.errors import ConfigError, ExitCode
from revetl.plan import Counts
from revetl.report import Heading, Style
from revetl.upkeep import OpenGroup, RunRow, StreamHealth
from tests.unit.result_values import (
    BROKEN,
    GUARD,
    HEADING,
    PEOPLE,
    fixed_diff,
    fixed_run,
    numbers_of,
    orders,
    people,
    sync_diffs,
    sync_results,
)

PLAIN = Style()
GOLDEN = Path(__file__).parent.parent / "golden" / "report"


def golden(name: str, text: str) -> None:
    """Compare with a file; `GOLDEN=write` writes it, for a look at the difference in git."""
    path = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")


def test_diff_as_text() -> None:
    golden("diff.txt", report.diff_text(fixed_diff(), PLAIN, HEADING))


def test_diff_as_markdown() -> None:
    golden("diff.md", markdown.diff_markdown(fixed_diff(), HEADING))


def test_run_as_text() -> None:
    golden("run.txt", report.run_text(fixed_run(), PLAIN))


def test_run_as_markdown() -> None:
    golden("run.md", markdown.run_markdown(fixed_run(), HEADING))


def test_status_and_state_as_text() -> None:
    groups = (
        OpenGroup(outcome="refused", reason="too_long", field="email", rows=5, rule="max_length", outline="aaa9@aaaa"),
        OpenGroup(outcome="refused", reason="invalid", field="", rows=1),
        OpenGroup(outcome="held", reason="unknown_outcome", field="", rows=2),
        OpenGroup(outcome="unknown", reason="no_answer", field="", rows=40),
    )
    streams = (
        StreamHealth(name="people", uid="people01", exists=True, initialised=True, rows=91_503, fence=7, open=groups,
                     success_age_s=7_500, last_status="partial", last_age_s=7_500, workspace_id="ws-1"),
        StreamHealth(name="orders", uid="orders01", exists=True, rows=100, fence=2, owner="host/17", lease_left_s=90,
                     drain_left_s=12.5, unfinished=True, last_status="error", last_age_s=30),
        StreamHealth(name="carts", uid="carts01", exists=True, rows=1, damaged="missing: open__carts01"),
        StreamHealth(name="new", uid="new01"),
    )  # fmt: skip
    runs = (
        RunRow(run_id="r2", command="run", started_at=1_763_900_000, seconds=93.4, exit_code=1, message=""),
        RunRow(
            run_id="r1", command="run", started_at=1_763_890_000, seconds=1, exit_code=11, message="a guard"
        ),
    )
    golden("status.txt", report.status_text(streams, runs, PLAIN))
    workspace = StreamHealth(name="the workspace", uid="ws", exists=True, workspace_id="42")
    golden("state.txt", report.state_text(streams, workspace, "revetl_prod", PLAIN))


# --- the table adds up -----------------------------------------------------------------------------------------


def adds_up(text: str, name: str, counts: Counts) -> None:
    """Read the table as a person would, and check both equations."""
    header, line = (part.split(" | ")[:2] for part in text.split("\n")[:2])
    titles = [
        [
            title
            for title in re.split(r"\s*(?:[=+]|\s)\s*(?!keys|send|record)", part)
            if title and title != "sync"
        ]
        for part in header
    ]
    left, right = (
        dict(zip(names, numbers_of(cells, name), strict=True))
        for names, cells in zip(titles, line, strict=True)
    )
    changes = sum(left.get(term, 0) for term in ("created", "updated", "re-driven"))
    changes += right.pop("deleted", 0) + right.pop("released", 0)
    rows, planned = left.pop("rows"), right.pop("planned")
    assert rows == counts.model_rows == sum(left.values())
    assert planned == changes == sum(right.values())
    assert "unexplained" not in left.keys() | right.keys()


@given(sync_results())
def test_the_table_of_a_run_adds_up(result: SyncResult) -> None:
    run = RunResult(run_id="r", started_at=0, seconds=1, syncs=(result,))
    adds_up(report.run_text(run, PLAIN), result.sync.name, result.counts)


@given(sync_diffs())
def test_the_table_of_a_diff_adds_up(diff: SyncDiff) -> None:
    if diff.problems and not diff.counts.model_rows and not diff.counts.planned:
        return  # shown without numbers: the model could not be read
    adds_up(report.diff_text(DiffResult(syncs=(diff,)), PLAIN, HEADING), diff.sync.name, diff.counts)


def test_rows_that_no_term_explains_are_shown() -> None:
    """A bug elsewhere must not make rows vanish from the report."""
    lost = replace(PEOPLE, model_rows=PEOPLE.model_rows + 5)
    result = SyncResult(sync=people(), status="success", counts=lost, acknowledged=PEOPLE.last)
    text = report.run_text(RunResult(run_id="r", started_at=0, seconds=1, syncs=(result,)), PLAIN)
    assert "+ unexplained" in text
    assert "           5 |" in text


def test_terms_that_are_zero_everywhere_are_left_out() -> None:
    result = SyncResult(sync=people(), status="success", counts=Counts(model_rows=3, unchanged=3))
    header = report.run_text(RunResult(run_id="r", started_at=0, seconds=1, syncs=(result,)), PLAIN).split(
        "\n"
    )[0]
    assert (
        " ".join(header.split())
        == "sync rows = unchanged + created + updated | planned = acknowledged | status"
    )


# --- what is never shown ---------------------------------------------------------------------------------------


def test_samples_reach_the_terminal_only() -> None:
    """Keys and values are in the text (made only for a terminal), never in Markdown or JSON."""
    diff = fixed_diff()
    assert "ann@old.example → ann@new.example" in report.diff_text(diff, PLAIN, HEADING)
    for text in (markdown.diff_markdown(diff, HEADING), report.json_line(report.diff_json(diff, HEADING))):
        assert "example" not in text
        assert "C-1" not in text


def test_a_masked_key_reaches_the_terminal_only() -> None:
    run = fixed_run()
    assert "C-…7" in report.run_text(run, PLAIN)
    for text in (markdown.run_markdown(run, HEADING), report.json_line(report.run_json(run, HEADING))):
        assert "C-…7" not in text


def test_a_value_cannot_move_the_cursor() -> None:
    sample = replace(fixed_diff().syncs[0].samples[0], changes={"email": ("a\x1b[2Jb\n", "c\u202ed")})
    diff = replace(fixed_diff().syncs[0], samples=(sample,))
    text = report.diff_text(DiffResult(syncs=(diff,)), PLAIN, HEADING)
    assert "a?[2Jb? → c?d" in text


# --- JSON ------------------------------------------------------------------------------------------------------


@given(st.lists(sync_results(), max_size=4))
def test_the_json_of_a_run_is_one_line_with_the_same_sums(results: list[SyncResult]) -> None:
    run = RunResult(run_id="r", started_at=0, seconds=1, syncs=tuple(results))
    line = report.json_line(report.run_json(run, HEADING))
    assert "\n" not in line
    document = json.loads(line)
    for sync in document["syncs"]:
        c = sync["counts"]
        assert c["planned"] == c["acknowledged"] + c["refused"] + c["held"] + c["waiting"] + c["unsent"]
    total = document["totals"]
    assert total["planned"] == sum(
        total[name] for name in ("acknowledged", "refused", "held", "waiting", "unsent")
    )
    assert document["exit_code"] == int(run.exit_code)


def test_the_totals_of_a_diff_leave_out_what_would_be_stopped() -> None:
    """People are stopped by a guard, so the events that wait for them are not sent either."""
    totals = report.diff_json(fixed_diff(), HEADING)["totals"]
    assert (totals["to_send"], totals["requests"], totals["problems"]) == (0, 0, 2)
    free = DiffResult(syncs=(replace(fixed_diff().syncs[0], problems=()), fixed_diff().syncs[1]))
    assert report.diff_json(free, HEADING)["totals"]["to_send"] == PEOPLE.last + 73


# --- Markdown --------------------------------------------------------------------------------------------------

NASTY = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30) | st.sampled_from(
    ["a|b", "`x`", "@team", "<img src=x>", "[a](http://b.c)", "*b* _i_ ~s~", "#12", "\\", "&amp;", "-->"]
)


@given(NASTY)
def test_a_name_comes_out_of_markdown_as_it_went_in(name: str) -> None:
    """Rendered as a table cell, it is one text without links, images, mentions or markup."""
    html = MarkdownIt("gfm-like", {"linkify": False}).render(
        f"| a | b |\n|---|---|\n| x{markdown.escaped(name)} | end |\n"
    )
    assert re.findall(r"<(?!/?(?:table|thead|tbody|tr|th|td)>)[^>]*>", html) == []
    assert html.count("<td>") == 2
    cell = re.search(r"<td>(.*?)</td>", html, re.DOTALL)
    assert cell is not None
    shown = cell[1].replace("\u200b", "").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
    expected = "x" + " ".join(name.replace("\u200b", "").split())
    assert "".join(shown.replace("&amp;", "&").split()) == "".join(expected.split())
    assert not re.search(r"[@#]\w", html)


@given(st.lists(st.tuples(NASTY, sync_diffs()), max_size=30), st.integers(4_000, 60_000))
def test_markdown_stays_within_its_size_and_whole(diffs: list[tuple[str, SyncDiff]], limit: int) -> None:
    syncs = tuple(replace(diff, sync=replace(diff.sync, name=name)) for name, diff in diffs)
    text = markdown.diff_markdown(DiffResult(syncs=syncs), HEADING, limit=limit)
    assert len(text.encode()) <= limit
    assert text.startswith("<!-- revetl:diff project=shop target=prod -->\n")
    assert text.count("<details>") == text.count("</details>")
    assert text.endswith("values hidden</sub>\n")


def test_a_large_project_still_fits_into_a_comment() -> None:
    syncs = tuple(
        replace(fixed_diff().syncs[0], sync=people(f"people_{i}", *(f"attribute_{j}_{i}" for j in range(300))),
                counts=replace(PEOPLE, changed={f"attribute_{j}_{i}": 1 for j in range(300)}))
        for i in range(2_000)
    )  # fmt: skip
    text = markdown.diff_markdown(DiffResult(syncs=syncs), HEADING)
    assert len(text.encode()) <= 60_000
    assert "more |" in text
    assert "sections left out to fit" in text


def test_the_worst_sync_comes_first_and_quiet_ones_are_one_line() -> None:
    text = markdown.diff_markdown(fixed_diff(), HEADING)
    rows = [line for line in text.split("\n") if line.startswith("| ") and "Sync" not in line]
    assert [row.split("|")[1].strip() for row in rows[:3]] == ["⚠️ people", "⚠️ refunds", "order\\_completed"]
    assert "1 sync without changes." in text


def test_a_diff_without_changes_is_short() -> None:
    text = markdown.diff_markdown(DiffResult(syncs=(fixed_diff().syncs[2],)), HEADING)
    assert "### revetl diff: no changes (12 rows in 1 sync)" in text
    assert "|" not in text


def test_the_marker_cannot_be_broken_by_a_name() -> None:
    text = markdown.diff_markdown(DiffResult(syncs=()), Heading(project="a --> b", target="x\ny"))
    assert text.split("\n")[0] == "<!-- revetl:diff project=a_-_b target=x_y -->"


# --- words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12, "12 s"), (60, "1 min"), (200, "3 min 20 s"), (7_500, "2 h 5 min"),
     (273_600, "3 d 4 h")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


def test_colors_are_only_there_when_asked_for() -> None:
    texts = [report.run_text(fixed_run(), PLAIN), report.diff_text(fixed_diff(), PLAIN, HEADING)]
    assert all("\x1b" not in text for text in texts)
    colored = report.run_text(fixed_run(), Style(color=True))
    assert re.sub(r"\x1b\[\d+m", "", colored) == texts[0]
    assert colored != texts[0]


def test_an_error_says_where_and_what_to_type() -> None:
    text = report.error_text(GUARD, PLAIN)
    assert text == (
        "error: syncs/people.yml:3:5: sync 'people': 1,512 of 133,655 people would be deleted (max_deletes 1%); "
        "nothing was sent [RV211]\n  → if this is right: revetl run --select people --confirm-deletes 1512"
    )
    assert "→" not in report.error_text(GUARD, Style(unicode=False))
    assert report.error_text(ConfigError("no"), PLAIN, name="people") == "error: people: no"


def test_each_error_of_a_run_is_told_once() -> None:
    result = SyncResult(sync=orders(), status="error", error=BROKEN)
    run = RunResult(run_id="r", started_at=0, seconds=1, syncs=(result,), error=BROKEN)
    assert report.run_errors(run) == [BROKEN]
    assert report.run_errors(replace(run, error=GUARD)) == [BROKEN, GUARD]


def test_a_baseline_says_that_nothing_is_sent() -> None:
    counts = Counts(model_rows=44, created=44, last=44, first=44)
    diff = report.diff_text(
        DiffResult(syncs=(SyncDiff(sync=orders(), counts=counts, baseline=True),)), PLAIN, HEADING
    )
    assert "baseline: 44 rows would be recorded as already synced; nothing is sent" in diff
    assert "would send nothing (+44 ~0 -0)" in diff
    result = SyncResult(sync=orders(), status="success", counts=replace(counts, first=0, last=0), acknowledged=44,
                        baseline=True)  # fmt: skip
    run = RunResult(run_id="r", started_at=0, seconds=1, syncs=(result,))
    text = report.run_text(run, PLAIN)
    assert "baseline: 44 rows recorded as already synced; nothing was sent" in text
    assert "| 0 acknowledged, 44 recorded |" in text
    assert run.exit_code is ExitCode.OK


def test_a_narrow_terminal_gets_two_tables_with_the_same_numbers() -> None:
    wide = report.run_text(fixed_run(), PLAIN).split("\n\n")[0]
    upper, lower, *_ = report.run_text(fixed_run(), Style(width=100)).split("\n\n")
    assert max(len(line) for line in [*upper.split("\n"), *lower.split("\n")]) <= 100
    for whole, first, second in zip(*(block.split("\n") for block in (wide, upper, lower)), strict=True):
        assert whole.split(" | ")[0] == first
        assert second.endswith(whole.split(" | ", 1)[1])
