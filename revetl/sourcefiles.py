"""Files that sources declare by `external_location`: where they are, and what to say where one is not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from revetl.errors import ConfigError, Where

CALL = re.compile(r"\w+\(.*\)", re.DOTALL)
# functions of DuckDB whose first argument names files
_FILES = r"\(\s*(\[[^\]]*\]|'(?:[^']|'')*')"
_READS = re.compile(rf"(?:read_\w+|(?:parquet|delta|iceberg|sqlite)_scan){_FILES}", re.DOTALL | re.IGNORECASE)
_FIRST = re.compile(rf"\w+{_FILES}", re.DOTALL)
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
# DuckDB looks into a file that is not there as if it were a folder
_NOT_FOUND = re.compile(r'(?:Cannot access (?:file|directory)|No files found that match the pattern) "(.+?)(?:/\*\*/\*\.\w+)?"')


def in_folder(call: str, root: Path) -> str:
    """A call like `read_csv(['a.csv', 'b.csv'], header=true)`, its relative files beginning at the project."""
    found = _READS.match(call)
    if found is None:
        return call

    def placed(literal: re.Match[str]) -> str:
        name = literal[1].replace("''", "'")
        return literal[0] if "://" in name or not name else "'" + str(root / name).replace("'", "''") + "'"

    return call[: found.start(1)] + _LITERAL.sub(placed, found[1]) + call[found.end(1) :]


def places(location: str) -> list[str]:
    """The files, patterns and addresses of an `external_location`; of a call, those of its first argument."""
    call = _FIRST.match(location)
    if call is not None:
        return [literal.replace("''", "'") for literal in _LITERAL.findall(call[1])]
    return [location] if location else []


def absent(declared: Mapping[str, Sequence[tuple[str, Where]]], message: str) -> ConfigError | None:
    """If DuckDB misses a file that a source declares: which, and where.

    Args:
        declared: the sources of each file or pattern, and their places.
        message: DuckDB's.
    """
    found = _NOT_FOUND.search(message)
    path = found[1] if found is not None else ""
    if not declared.get(path) or Path(path).exists():
        return None
    name, where = declared[path][0]
    what = "no file matches" if any(sign in path for sign in "*?[") else "there is no file"
    return ConfigError(
        f"{what} {path}, which source({', '.join(repr(part) for part in name.split('.', 1))}) reads", where=where, code="RV495",
        hint="make the file, or correct `external_location`; a relative one starts at the project's folder. Then: revetl diff",
    )  # fmt: skip
