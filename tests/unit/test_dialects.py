"""What engines share."""

from __future__ import annotations

import pytest

from revetl.dialects import escaped, refuse_writes
from revetl.errors import WarehouseError


@pytest.mark.parametrize("statement", ["SELECT 1", "WITH a AS (SELECT 1) SELECT 1", "-- x\nselect 1", "DESCRIBE QUERY SELECT 1"])
def test_a_question_is_sent(statement: str) -> None:
    refuse_writes(None, None, statement)


@pytest.mark.parametrize(
    "statement", ["/* x */ DROP TABLE t", "INSERT INTO t VALUES (1)", "-- SELECT\nDELETE FROM t", "SET x = 1"]
)
def test_what_is_no_question_is_not_sent(statement: str) -> None:
    with pytest.raises(WarehouseError, match="only reads") as caught:
        refuse_writes(None, None, statement)
    assert caught.value.code == "RV405"


def test_a_text_is_written_with_the_escapes_of_its_engine() -> None:
    assert escaped("it's \N{NO-BREAK SPACE}\0 \N{PILE OF POO}\U000e0001", {"'": "\\'"}) == (
        "'it\\'s \\u00a0\\u0000 \N{PILE OF POO}\\U000e0001'"
    )
