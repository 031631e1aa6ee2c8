"""Texts of strangers on other people's screens: shown, and nothing more, on terminals, in logs, comments and files."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import pytest
from markdown_it import MarkdownIt

from revetl import artifacts, markdown, report
from revetl.cli import emit
from revetl.console import Log
from revetl.engine import DiffResult, RunResult, Sample, SyncDiff, SyncResult
from revetl.errors import ConfigError, Where
from revetl.plan import Counts
from revetl.reasons import Reason
from revetl.report import Heading, Style
from revetl.sandbox import Sandbox
from tests.bars import Bar
from tests.security.hostile import SCREENS
from tests.unit.project_files import SHOP, write
from tests.unit.result_values import people

# in other letters, and what GitHub makes links and commands of without any markup
MORE = (
    "::ERROR::owned", "::Add-Mask::a", "\u3000::error::x", "##VSO[task.setvariable variable=x]y", "##TeamCity[x]",
    "WWW.evil.example", "_www.evil.example",
    "gh-12", "a www.evil.example", "see GH-7", "ftp://evil.example", "HTTPS://evil.example",
    "x\u2028::error::y", "x\x85::error::y",
    "x\r::error::y", "\x1b[0m::error::x", "\x9b0m::error::x", "\u200e::error::x",
)  # fmt: skip
ALL = tuple(dict.fromkeys((*SCREENS, *MORE)))
OURS = re.compile(r"\x1b\[(?:0|1|2|31|32|33)m")  # colours
SHAPES = ("table", "thead", "tbody", "tr", "th", "td", "p", "h3", "ul", "li", "blockquote")
RAW = ("<br>", "<sub>", "</sub>", "<details>", "</details>", "<summary>", "</summary>")
TERMINAL = Style(color=True)


def active(text: str) -> list[str]:
    """What a terminal, a log viewer or a CI system would act on."""
    plain = OURS.sub("", text)
    found = [
        repr(char) for char in plain
        if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"} and char not in "\n\t\u200b"
    ]  # fmt: skip
    # GitHub's runner trims a line, and does not care about case
    found += [line for line in plain.split("\n") if re.match(r"::\s*[a-z_-]+(\s.*)?::", line.strip(), re.IGNORECASE)]
    return found + re.findall(r"##(?:vso|teamcity)?\[", plain, re.IGNORECASE)


def linked(source: str) -> list[str]:
    """What GitHub would make of a comment besides the markup of revetl itself: links, mentions, images, headings."""
    body = source.split("\n", 1)[1]  # behind the marker
    html = MarkdownIt("gfm-like", {"linkify": False}).render(body)
    found = [
        tag for tag in re.findall(r"<[^>]*>", html)
        if tag not in RAW and not re.fullmatch(rf"</?({'|'.join(SHAPES)})( style=\"text-align:right\")?>", tag)
    ]  # fmt: skip
    found += ["heading"] * (html.count("<h3>") - 1) + ["code"] * html.count("<code")
    # links without markup are looked for in the source by the parser, and in the shown text by what comes after it
    shown = unescape(re.sub(r"<[^>]*>", " ", html))
    found += re.findall(r"(?i)(?:https?|ftp)://\S+|\bwww\.\w+", body)
    return found + re.findall(r"(?i)@\w+|#\d+|\bgh-\d+|\bwww\.\w+", shown)


def results(text: str) -> tuple[RunResult, DiffResult, Heading]:
    """A run and a diff in which this text stands wherever a text of others can."""
    problem = ConfigError(f"no {text}", hint=f"try {text}", where=Where(file=f"{text}.yml", line=3), code="RV001", keys=(text,))
    bare = ConfigError(text, hint=text, where=Where(file=text))
    sync = people(text, text, "email")
    counts = Counts(
        model_rows=9, unchanged=2, created=2, updated=3, deleted=1, refused=2, first=5, last=6, waiting=1, late=1, gone=1,
        state_rows=9, changed={text: 3, "email": 1},
    )  # fmt: skip
    reasons = (Reason(reason=text, field=text, message=text, rows=2, example=text),)
    run = RunResult(
        run_id="r", started_at=0, seconds=1, error=bare,
        syncs=(SyncResult(sync=sync, status="partial", counts=counts, acknowledged=3, refused_now=2, reasons=reasons, unsent=1),
               SyncResult(sync=people(f"b{text}"), status="error", error=problem)),
    )  # fmt: skip
    sample = Sample(op="update", key=text, rows=2, changes={text: (text, text)})
    diff = DiffResult(syncs=(
        SyncDiff(sync=sync, counts=counts, requests=1, seconds=1, samples=(sample,), first_run=True, problems=(problem, bare)),
        SyncDiff(sync=people(f"b{text}"), counts=replace(counts, deleted=0), requests=1),
    ))  # fmt: skip
    return run, diff, Heading(project=text, target=text, destination=text, version=text)


def said(text: str, capsys: pytest.CaptureFixture[str], folder: Path) -> Iterator[tuple[str, str]]:
    """(where, what stands there) of all that is shown of such results."""
    run, diff, heading = results(text)
    for name, made in (("run", report.run_text(run, TERMINAL)), ("diff", report.diff_text(diff, TERMINAL, heading)),
                       ("narrow", report.diff_text(diff, Style(width=60, unicode=False), heading)),
                       ("run's JSON", report.json_line(report.run_json(run, heading))),
                       ("diff's JSON", report.json_line(report.diff_json(diff, heading)))):  # fmt: skip
        capsys.readouterr()
        emit(made)
        yield name, capsys.readouterr().out
    for json_lines in (False, True):
        stream, file = io.StringIO(), folder / f"{json_lines}.log"
        log = Log(stream, style=TERMINAL, file=file, json_lines=json_lines, live=True, least="debug")
        for error in report.run_errors(run):
            data = report.error_json(error)
            log.say("error", report.error_text(error, TERMINAL, name=text), name=text, data=data)
        log.say("info", text)
        log.draw(f"{text}: 3 of 4 rows")
        log.close()
        yield f"stderr ({json_lines=})", stream.getvalue().replace("\r\x1b[2K", "")  # the live line's own
        yield f"log file ({json_lines=})", file.read_text(encoding="utf-8")
        file.unlink()
    document = artifacts.run_results(
        run, heading, args={"select": [text]},
        head=artifacts.metadata("x", heading, invocation_id="i", now=datetime(2026, 1, 1, tzinfo=UTC), environ={}),
    )  # fmt: skip
    artifacts.write_json(folder / "run_results.json", document)
    yield "run_results.json", (folder / "run_results.json").read_text(encoding="utf-8")


def test_no_text_acts_where_it_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], bar: Bar) -> None:
    """Each text as every name, message, hint, file, reason, key and value, in everything that is written."""
    wrong: list[str] = []
    places: set[str] = set()
    for text in ALL:
        for place, made in said(text, capsys, tmp_path):
            places.add(place)
            wrong += [f"{text!r} in {place}: {one}" for one in active(made)]
            if "JSON" in place or place.endswith(".json"):
                # a program gets the text itself, letter by letter
                wrong += [] if text in set(_texts(json.loads(made))) else [f"{text!r} is not in {place}"]
    assert wrong == []
    bar(39, "texts that acted on a terminal, a log or a reader of a file", found=len(wrong), goal="0",
        of=f"{len(ALL)} texts in {len(places)} places")  # fmt: skip
    bar(39, "hostile inputs tried: texts for screens", found=len(set(ALL)), goal=">= 70")


def test_no_text_acts_in_a_comment(capsys: pytest.CaptureFixture[str], bar: Bar) -> None:
    """In Markdown for a pull request and for a job's summary, as GitHub shows it."""
    wrong: list[str] = []
    for text in ALL:
        run, diff, heading = results(text)
        for place, made in (("run", markdown.run_markdown(run, heading)), ("diff", markdown.diff_markdown(diff, heading))):
            capsys.readouterr()
            emit(made)
            comment = capsys.readouterr().out
            wrong += [f"{text!r} in the Markdown of a {place}: {one}" for one in (*linked(comment), *active(comment))]
            rows = [line.replace("\\|", "") for line in comment.split("\n") if line.startswith("|")]
            wrong += [] if {line.count("|") for line in rows} <= {4, 8, 12, 14} else [f"{text!r} breaks a table of a {place}"]
            wrong += [] if comment.count("<!--") == comment.count("-->") == 1 else [f"{text!r} makes a comment"]
    assert wrong == []
    bar(39, "texts that acted in a comment", found=len(wrong), goal="0", of=f"{len(ALL)} texts in 2 kinds of Markdown")


def test_the_checks_would_see_it() -> None:
    """Without what makes texts harmless most of them act."""
    acting = [text for text in ALL if active(f"{text}\n")]
    assert len(acting) > 35
    links = [text for text in ALL if linked(f"<!-- x -->\n### revetl\n\n| a |\n|---|\n| x {text} |\n")]
    assert len(links) > 20
    assert linked("<!-- x -->\n### revetl\n\n| a |\n|---|\n| x |\n") == []


# --- the whole command -----------------------------------------------------------------------------------------------


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def text_of(name: str) -> str:
    """A name in YAML, whatever it holds."""
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in name) + '"'


class Screen:
    """A project with these texts in all places, and commands on a terminal of its own or not; all that they show is kept."""

    def __init__(self, folder: Path, box: Sandbox) -> None:
        self.folder = folder
        self.kept: list[tuple[str, str]] = []
        # DuckDB has no columns that differ only in case, no empty ones, and none with a NUL
        columns = list({name.casefold(): name for name in ALL if name.strip() and "\0" not in name}.values())
        # what Customer.io would change or keep for itself is refused before it is sent
        self.fine = [
            name for name in columns
            if name == name.strip() and not name.startswith("_") and "Cc" not in map(unicodedata.category, name)
        ]  # fmt: skip
        with duckdb.connect(str(folder / "shop.duckdb")) as db:
            db.execute(f"CREATE TABLE t (_k text, {', '.join(f'{quoted(name)} text' for name in columns)})")
            for key in ("a", "b"):
                db.execute(f"INSERT INTO t VALUES ({', '.join('?' * (1 + len(columns)))})", [key, *columns])
            db.execute("CREATE TABLE u (_k text, v text)")
        syncs = "version: 1\nsyncs:\n"
        for i in range(0, len(self.fine), report.TOP_FIELDS):
            fields = ", ".join(f"{text_of(name)}: {{type: string}}" for name in self.fine[i : i + report.TOP_FIELDS])
            syncs += (f"  - {{name: p{i}, uid: uid{i:05d}, model: \"source('raw', 't')\", type: person, identify_by: {{id: _k}}, "
                      f"tags: [{text_of(ALL[i])}], owner: {text_of(ALL[i])}, attributes: {{{fields}}}}}\n")  # fmt: skip
        write(folder, {
            **SHOP, "syncs/people.yml": syncs, "syncs/orders.yml": None, "models/s.yml":
            "sources: [{name: raw, schema: main, tables: [{name: t}, {name: u}]}]\n", "profiles.yml":
            "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: shop.duckdb}\n  destinations:\n    dev: "
            f"{{type: sandbox, url: '{box.url}', site_id: \"{{{{ env_var('S') }}}}\", api_key: \"{{{{ env_var('K') }}}}\"}}\n",
        })  # fmt: skip
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("REVETL_", "DBT_", "CIO_", "GITHUB_", "CI"))}
        self.environ = {**plain, "HOME": str(folder), "S": box.site_id, "K": box.api_key, "TERM": "xterm"}

    def __call__(self, *arguments: str, code: int) -> str:
        """A command in a job, without a terminal."""
        done = subprocess.run([sys.executable, "-m", "revetl", *arguments], cwd=self.folder, env=self.environ, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True)  # fmt: skip
        out, err = done.stdout.decode(), done.stderr.decode()
        self.kept += [(f"stdout of {arguments}", out), (f"stderr of {arguments}", err)]
        assert done.returncode == code, err + out
        return out

    def typed(self, *arguments: str) -> str:
        """A command on a terminal, with colours and a live line."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen([sys.executable, "-m", "revetl", *arguments], cwd=self.folder, env=self.environ,
                                 stdin=theirs, stdout=theirs, stderr=theirs)  # fmt: skip
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # Linux says so when the other side is closed
            while part := os.read(ours, 65_536):
                shown += part
        os.close(ours)
        assert child.wait() == 0, shown
        # what the terminal makes of line ends, and the live line's own codes
        made = shown.decode().replace("\r\n", "\n").replace("\r\x1b[2K", "")
        self.kept.append((f"terminal of {arguments}", made))
        return made

    def files(self) -> None:
        """Logs and artifacts."""
        for path in (*self.folder.glob("logs/*"), *self.folder.glob("target/*.json")):
            self.kept.append((path.name, path.read_text(encoding="utf-8")))

    def sql(self, statement: str) -> None:
        with duckdb.connect(str(self.folder / "shop.duckdb")) as db:
            db.execute(statement)


def test_no_command_lets_a_text_act(tmp_path: Path, bar: Bar) -> None:
    """Real commands over a project whose names and rows are these texts, on a terminal and in a job."""
    with Sandbox() as box:
        screen = Screen(tmp_path, box)
        assert len(screen.fine) > 50
        screen("ls", "--output", "json", code=0)
        screen("parse", code=0)
        screen("run", "--output", "markdown", code=0)
        more = ", ".join(f"{quoted(name)} = {quoted(name)} || '.'" for name in screen.fine)
        screen.sql(f"UPDATE t SET {more} WHERE _k = 'a'")
        shown = screen.typed("diff", "--show-values")
        assert all(name in shown for name in ("GH-1", "=HYPERLINK", "<script>"))
        comment = screen("diff", "--output", "markdown", code=0)
        screen("diff", "--output", "json", code=0)
        screen("run", "--output", "json", "--log-format", "json", code=0)
        # a model whose columns are told, and files in which every text is a mistake
        slots = ("attributes: {NAME: string}", "key: NAME", "NAME: x", "model: NAME", "type: NAME", "name: NAME",
                 "attributes: {a: NAME}", "guards: {NAME: 1}")  # fmt: skip
        screen.sql("CREATE OR REPLACE TABLE t AS SELECT * EXCLUDE (_k) FROM t")
        screen("diff", "--output", "markdown", code=0)
        screen("run", "--output", "markdown", code=10)
        lines = ["version: 1", "syncs:"]
        base = {"model": "\"source('raw', 'u')\"", "type": "person", "identify_by": "{id: _k}", "attributes": "{v: string}"}
        for i, slot in enumerate(slots):
            key, _, value = slot.partition(": ")
            for number, name in enumerate(ALL):
                keys = {"name": f"x{i}_{number}", "uid": f"uid{i}{number:05d}", **base, key: value}
                lines.append("  - {" + ", ".join(f"{k}: {v}".replace("NAME", text_of(name)) for k, v in keys.items()) + "}")
        write(tmp_path, {"syncs/people.yml": "\n".join(lines) + "\n"})
        screen("parse", code=2)
        screen("parse", "--log-format", "json", code=2)
        screen.files()
    assert {"run_results.json", "manifest.json", "revetl.log"} <= {place for place, _ in screen.kept}
    wrong = [f"{place}: {one}" for place, made in screen.kept for one in active(made)]
    wrong += [f"comment: {one}" for one in linked(comment)]
    assert wrong == []
    size = sum(len(made) for _, made in screen.kept)
    assert size > 100_000, "there was nothing to look at"
    bar(39, "texts that acted on a terminal, a log or a reader of a file", found=len(wrong), goal="0",
        of=f"{len(ALL)} texts in {len(screen.kept)} outputs of real commands")  # fmt: skip


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
