"""How an engine reads a name that a project writes without quotes. Pure: text to text.

Snowflake takes such a name in capital letters, the others as it stands here: `raw.customers` of a source is RAW.CUSTOMERS,
as dbt has it. BigQuery and Databricks write names in backticks, and their columns have no dots.
"""

from __future__ import annotations

import re

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
ONE_CASE = re.compile(r"[a-z_][a-z0-9_$]*|[A-Z_][A-Z0-9_$]*")


def named(name: str, kind: str) -> str:
    """A name of a project's files as the catalog of a warehouse of this kind has it."""
    return name.upper() if kind == "snowflake" and PLAIN.fullmatch(name) else name


def swapped(name: str) -> str:
    """A name of revetl's own as Snowflake's catalog has it: found without quotes, and no two names meet; its own inverse.

    Names with small and capital letters, or with anything that would need quotes, stay.
    """
    return name.swapcase() if ONE_CASE.fullmatch(name) else name


def folded(name: str, kind: str) -> str:
    """The name of revetl's own schema, which a project may write in either case, as `swapped` takes it."""
    return name.lower() if kind == "snowflake" and PLAIN.fullmatch(name) else name


def in_quotes(name: str, kind: str) -> str:
    """A name as a warehouse of this kind writes it where it is to be taken exactly."""
    mark = "`" if kind in {"bigquery", "databricks"} else '"'
    return mark + name.replace(mark, mark * 2) + mark


def dotted(name: str) -> str:
    """A name of revetl's own as a column of BigQuery can have it: a colon for each dot, and the reverse; its own inverse."""
    return name.translate(_DOTS)


_DOTS = str.maketrans(".:", ":.")
