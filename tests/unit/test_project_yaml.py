"""YAML with places: strict, bounded, and without YAML 1.1's surprises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.errors import ConfigError
from revetl.yamlfile import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, Node, read


def parsed(folder: Path, text: str | bytes) -> Node | None:
    path = folder / "x.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, "syncs/x.yml")


def plain(folder: Path, text: str) -> Any:
    node = parsed(folder, text)
    return node.plain() if node is not None else None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("NO", "NO"), ("on", "on"), ("12:30:45", "12:30:45"), ("010", "010"), ("1_000", "1_000"),
        ("true", True), ("False", False), ("~", None), ("", None), ("null", None), ("7", 7), ("-3", -3), ("1.5", 1.5),
        (".5", 0.5), ("1e3", 1000.0), ("1e999", "1e999"), (".inf", ".inf"), ("2026-01-01", "2026-01-01"),
        ("'7'", "7"), ('"true"', "true"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: Any) -> None:
    found = plain(tmp_path, f"on: {text}\n")
    assert found == {"on": value}
    assert type(found["on"]) is type(value)


def test_every_value_and_key_knows_its_place(tmp_path: Path) -> None:
    node = parsed(tmp_path, "a:\n  - b: 1\n    c: [x, yy]\n")
    assert node is not None
    first = node.get("a").value[0]  # type: ignore[union-attr]
    (_, b), (key, c) = first.items()
    assert str(b.where) == "syncs/x.yml:2:8"
    assert str(key.where) == "syncs/x.yml:3:5"
    assert str(c.value[1].where) == "syncs/x.yml:3:12"
    assert c.value[1].raw == "yy"


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("a: 'x\nb", "2:2", "RV003"),
        ("a: [1\n", "2:1", "RV003"),
        ("a: *nope", "1:4", "RV003"),
        ("a: 1\n---\nb: 2", "2:1", "RV003"),
        ("a: \tx\n\tb: 1", "2:1", "RV003"),
        ("? [a]\n: 1", "1:3", "RV003"),
        ("a: !secret x", "1:4", "RV003"),
        ("a: !!python/object:os.system x", "1:4", "RV003"),
        ("<<: 3", "1:1", "RV003"),
        ("a: 1\nb: 2\na: 3", "3:1", "RV004"),
        ("a: &a [*a]", "1:", "RV002"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), f"1:{MAX_DEPTH + 1}", "RV002"),
        ("a: &a 1\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]", "2:", "RV002"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, text: str, place: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(tmp_path, text)
    assert str(caught.value.where).startswith(f"syncs/x.yml:{place}")
    assert caught.value.code == code


@pytest.mark.parametrize("link", ["[*a{0}, *a{0}, *a{0}]", "{{<<: [*a{0}, *a{0}, *a{0}]}}"])
def test_a_few_aliases_cannot_make_millions(tmp_path: Path, link: str) -> None:
    """3^16 values from 48 aliases, which is below the limit of aliases."""
    text = "a0: &a0 {}\n" + "".join(f"a{i}: &a{i} {link.format(i - 1)}\n" for i in range(1, 17))
    with pytest.raises(ConfigError) as caught:
        parsed(tmp_path, text)
    assert caught.value.code == "RV002"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.yml", "none.yml")
    with pytest.raises(ConfigError, match="no valid YAML"):
        parsed(tmp_path, b"a: \xff\xfe")
    with pytest.raises(ConfigError, match="larger than"):
        parsed(tmp_path, b"#" * (MAX_BYTES + 1))
    assert plain(tmp_path, "9" * 5_000) == "9" * 5_000  # more digits than Python turns into a number


def test_merge_keys_work_as_in_dbts_files(tmp_path: Path) -> None:
    text = "base: &base {host: a, port: 1}\nmore: &more {port: 2, user: u}\nboth: {<<: [*base, *more], host: b}\n"
    assert plain(tmp_path, text)["both"] == {"host": "b", "port": 1, "user": "u"}


def test_a_repeated_key_does_not_hide_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text("a: 1\na: 2\nb: 3\nb: 4\n")
    found: list[ConfigError] = []
    node = read(path, "x.yml", found)
    assert node is not None
    assert node.plain() == {"a": 1, "b": 3}
    assert [str(p.where) for p in found] == ["x.yml:2:1", "x.yml:4:1"]


# JSON writes others as two escapes, which YAML does not join
TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.one_of(st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(value=st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_a_writer_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]) -> None:
    """JSON is YAML 1.2."""
    folder = tmp_path_factory.mktemp("any")
    assert plain(folder, json.dumps(value)) == value


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    try:
        found = parsed(folder, text.encode("utf-8", "surrogatepass"))
    except ConfigError as problem:
        assert problem.code in {"RV002", "RV003", "RV004"}  # noqa: PT017 either outcome is fine
    else:
        assert found is None or found.where.line
