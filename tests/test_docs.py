"""The documentation cannot lie: its commands and options exist, its links lead somewhere, its YAML loads."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import click
import pytest

from revetl import api
from revetl.cli import cli
from revetl.delivery import DeliverySettings
from revetl.errors import ConfigError, ExitCode
from revetl.profiles import DESTINATION_KEYS, load_profile
from revetl.project import SETTINGS
from revetl.rules import CHECKS, RULES
from revetl.sandbox.faults import KINDS, from_text, parsed
from revetl.syncfile import FIELD_KEYS, FILE_KEYS, GUARD_KEYS, SYNC_KEYS, SyncReader
from revetl.tables import StreamTables, runs_table, sync_log_table
from revetl.taxonomy import Taxonomy
from revetl.taxonomyfile import EVENT_TERM_KEYS
from revetl.yamlfile import read

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
CODE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text[:40]!r}"


def blocks(language: str) -> list[Block]:
    """All blocks in a language."""
    return [Block(page, m[2], m[3]) for page in PAGES for m in CODE.finditer(page.read_text()) if m[2] == language]


# --- commands --------------------------------------------------------------------------------------------------------


def commands(text: str) -> Iterator[list[str]]:
    """Every `revetl ...` of shell lines, as words."""
    for line in text.splitlines():
        for part in re.split(r"&&|\|(?!\w)|;", line.split(" #")[0].lstrip("$ ")):
            words = shlex.split(part.strip().removesuffix("&"), comments=True)
            if words and words[0] == "revetl":
                yield words[1:]


def known_options(command: click.Command) -> dict[str, click.Option]:
    """A command's options by each of their names."""
    options = [p for p in command.params if isinstance(p, click.Option)]
    return {name: p for p in options for name in (*p.opts, *p.secondary_opts)} | dict.fromkeys(["--help", "-h"], options[0])


def wrong(words: list[str]) -> str:
    """What a command line has that the command does not, or nothing."""
    command: click.Command = cli
    for i, word in enumerate(words):
        if word.startswith("-"):
            known = {**known_options(cli), **known_options(command)} if command.params else known_options(cli)
            option = known.get(word.split("=")[0])
            if option is None:
                return f"{command.name} has no option {word}"
            following = words[i + 1] if i + 1 < len(words) else ""
            if isinstance(option.type, click.Choice) and following.replace("|", "") and word != "--help":
                bad = set(following.split("|")) - {str(c) for c in option.type.choices}
                if bad:
                    return f"{word} does not take {sorted(bad)}"
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return f"there is no command {word!r}"
            command = command.commands[word]
    return ""


def inline_commands(page: Path) -> Iterator[list[str]]:
    """`revetl x` in running text, with alternatives like `text|json` left as they are."""
    plain = CODE.sub("", page.read_text())
    for span in INLINE.findall(plain):
        if span.startswith("revetl ") and "..." not in span:
            yield shlex.split(span.replace("\\|", "|"))[1:]


@EACH_PAGE
def test_every_command_and_option_exists(page: Path) -> None:
    shell = [b.text for language in ("bash", "sh", "console") for b in blocks(language) if b.page == page]
    lines = [words for text in shell for words in commands(text)]
    problems = [(shlex.join(words), problem) for words in [*lines, *inline_commands(page)] if (problem := wrong(words))]
    assert not problems


def test_a_wrong_command_would_be_seen() -> None:
    assert wrong(["difff"])
    assert wrong(["run", "--no-such-option"])
    assert wrong(["diff", "--fail-on", "nothing"])
    assert not wrong(["state", "unlock", "--select", "people"])


def test_run_md_names_every_option_of_run() -> None:
    text = (ROOT / "docs" / "run.md").read_text()
    names = {max(p.opts, key=len) for p in cli.commands["run"].params if isinstance(p, click.Option)}
    assert {name for name in names if f"`{name}" not in text and f"{name}`" not in text} <= {"--models"}


# --- links -----------------------------------------------------------------------------------------------------------


def anchor(title: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """All anchors of a page."""
    plain = CODE.sub("", page.read_text())
    return {anchor(m[1]) for m in re.finditer(r"^#+ (.+)$", plain, re.MULTILINE)}


@EACH_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, fragment = link.partition("#")
        target = (page.parent / unquote(place)).resolve() if place else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            dead.append(link)
    assert not dead


def test_every_page_can_be_reached() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text())
        if not re.match(r"[a-z]+:", link) and link.partition("#")[0]
    }
    assert {p for p in PAGES if p not in linked and p.name != "README.md"} == set()


def test_pages_that_the_code_points_to_exist() -> None:
    for path in [*ROOT.glob("revetl/**/*.py"), *ROOT.glob("revetl/schemas/*.json")]:
        for place in re.findall(r"docs/[\w./-]+\.md", path.read_text()):
            assert (ROOT / place).is_file(), f"{path.name} points to {place}"


# --- YAML and TOML ---------------------------------------------------------------------------------------------------


def yaml_examples() -> list[Block]:
    """All YAML blocks."""
    return blocks("yaml")


@pytest.mark.parametrize("block", yaml_examples(), ids=str)
def test_yaml_examples_load(block: Block, tmp_path: Path) -> None:
    """Syncs by the project's own reader; profiles for every target that they have."""
    file = tmp_path / "example.yml"
    file.write_text(block.text)
    document = read(file, file.name)
    assert document is not None
    problems: list[ConfigError] = []
    if any(document.get(name) is not None for name in ("syncs", "taxonomy", "definitions")):
        reader = SyncReader(set(re.findall(r"ref\('(\w+)'\)", block.text)), problems)
        reader.read(document)
        if "type: person" in block.text:
            reader.cross_check()
        assert reader.syncs or reader.taxonomy != Taxonomy() or document.get("definitions") is not None
    elif document.get("sources") is not None:
        assert "tables" in block.text
    else:
        environ = dict.fromkeys(re.findall(r"env_var\('(\w+)'", block.text), "x" * 12)
        (name,) = document.value
        outputs = document.value[name][1].get("outputs")
        for target in outputs.value:
            profile = load_profile(file, name, target, environ, problems)
            assert profile is None or all("is experimental" in warning for warning in profile.warnings)
    assert [str(problem) for problem in problems] == []


def table_keys(page: str, heading: str = "") -> set[str]:
    """The names in the first cells of a page's tables (below a heading)."""
    text = CODE.sub("", (ROOT / "docs" / page).read_text())
    if heading:
        text = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.replace("\\|", "").split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in INLINE.findall(cell)}


def test_syncs_md_is_the_schema() -> None:
    """Every key of the schema is explained, and nothing that is not in it."""
    schema = json.loads(api.schema())
    sync, field = schema["definitions"]["sync"]["properties"], schema["definitions"]["field"]["properties"]
    sections = ("Keys of every sync", "People", "Events", "Objects", "Merges")
    assert set().union(*(table_keys("syncs.md", s) for s in sections)) == set(sync) == set(SYNC_KEYS)
    assert table_keys("syncs.md", "Fields") == set(field) == set(FIELD_KEYS)
    text = (ROOT / "docs" / "syncs.md").read_text()
    words = set(INLINE.findall(text))
    assert {name for name in FILE_KEYS if f"`{name}:" not in text} == set()
    enums = {v for spec in (*SYNC_KEYS.values(), *FIELD_KEYS.values()) for v in spec.get("enum", ())}
    assert {v for v in enums if v not in words} == set()


def test_taxonomy_md_has_every_key_of_a_term() -> None:
    assert table_keys("taxonomy.md", "Declare the names") == set(EVENT_TERM_KEYS)


def test_taxonomy_md_is_the_table_of_rules() -> None:
    text = (ROOT / "docs" / "taxonomy.md").read_text()
    rows = [f"| `{r.code}` | {r.severity} | {r.title} | {r.why} {r.fix} |" for r in RULES.values()]
    rows += [f"| `{line.code}` | {line.title} | {line.why} |" for line in CHECKS.values()]
    assert [line for line in text.splitlines() if line.startswith("| `RV")] == rows


def test_guards_md_has_every_guard() -> None:
    assert table_keys("guards.md") == set(GUARD_KEYS)


def test_profiles_md_has_every_setting() -> None:
    text = (ROOT / "docs" / "profiles.md").read_text()
    assert {name for name in DESTINATION_KEYS if f"`{name}`" not in text} == set()
    toml = next(b.text for b in blocks("toml") if b.page.name == "profiles.md")
    assert set(re.findall(r"^(\w+) =", toml, re.MULTILINE)) == set(SETTINGS)


def test_delivery_md_has_the_real_defaults() -> None:
    text = (ROOT / "docs" / "delivery.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", text, re.MULTILINE)
    assert len(rows) >= 8
    for name, value in rows:
        assert float(value.replace(",", "")) == getattr(DeliverySettings(), name), name


# --- other tables ----------------------------------------------------------------------------------------------------


def test_state_md_explains_every_column() -> None:
    person, event = StreamTables(schema="s", uid="u"), StreamTables(schema="s", uid="u", keeps_values=False, money=True)
    columns = {t: {str(c.name) for c in table.columns} for t, table in {
        "`state__<uid>`": person.state, "`open__<uid>`": person.open, "`ctl__<uid>`": person.ctl}.items()}  # fmt: skip
    owned = StreamTables(schema="s", uid="u", owned_by={"_person": "people", "_object": "companies"})
    columns["`state__<uid>`"] |= {str(c.name) for c in (*event.state.columns, *owned.state.columns)}
    for heading, names in columns.items():
        assert table_keys("state.md", heading) == names, heading
    text = (ROOT / "docs" / "state.md").read_text()
    logged = {str(c.name) for table in (runs_table("s"), sync_log_table("s")) for c in table.columns}
    assert {name for name in logged if f"`{name}`" not in text} == set()


def test_exit_codes_md_has_every_code() -> None:
    text = (ROOT / "docs" / "exit-codes.md").read_text()
    assert {int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == {int(code) for code in ExitCode}


def test_sandbox_md_has_every_fault_and_its_examples_parse() -> None:
    page = ROOT / "docs" / "sandbox.md"
    assert table_keys("sandbox.md", "Rehearsing failures") == set(KINDS)
    rules = re.findall(r"--fault (\S+)", "".join(b.text for b in blocks("bash") if b.page == page))
    assert rules
    assert len(parsed(from_text(rule) for rule in rules)) == len(rules)
