"""How a profile of a model differs from earlier ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.contracts import Drift, DriftAction, Jump
from revetl.drift import Profile, findings, fingerprint

ALL = Drift(null_rate=Jump(warn=0.05, stop=0.2), row_count=Jump(warn=0.3, stop=0.8))
OFF = Drift(types=DriftAction.OFF, columns=DriftAction.OFF, new_values=DriftAction.OFF, null_rate=Jump(), row_count=Jump())


def profile(rows: int = 100, **facts: Any) -> Profile:
    base: dict[str, Any] = {"columns": {"id": "integer", "plan": "text"}, "nulls": {"plan": 2},
                            "values": {"plan": frozenset({"a", "b"})}}  # fmt: skip
    return Profile(rows=rows, **{**base, **facts})


@pytest.mark.parametrize(
    ("now", "kinds"),
    [
        (profile(), []),
        (profile(columns={"id": "integer"}), [("columns", "plan", False)]),
        (profile(columns={"id": "bigint", "plan": "text", "new": "text"}), [("types", "id", False)]),
        (profile(values={"plan": frozenset({"a"})}), []),
        (profile(values={"plan": frozenset({"a", "c"})}), [("new_values", "plan", False)]),
        (profile(values={"other": frozenset({"c"})}), []),  # nobody saw it before
        (profile(nulls={"plan": 7}), []),  # exactly five points more
        (profile(nulls={"plan": 8}), [("null_rate", "plan", False)]),
        (profile(nulls={"plan": 23}), [("null_rate", "plan", True)]),
        (profile(nulls={"plan": 0}), []),
        (profile(nulls={"new": 100}), []),
        (profile(131), [("row_count", "", False)]),
        (profile(130, nulls={"plan": 3}), []),
        (profile(69, nulls={"plan": 1}), [("row_count", "", False)]),
        (profile(19, nulls={}), [("row_count", "", True)]),
        (profile(1_000, nulls={}), [("row_count", "", True)]),
    ],
)  # fmt: skip
def test_kinds_of_drift(now: Profile, kinds: list[tuple[str, str, bool]]) -> None:
    assert [(f.kind, f.name, f.stop) for f in findings(ALL, now, [profile()])] == kinds
    assert findings(OFF, now, [profile()]) == []
    assert findings(ALL, now, []) == []


def test_it_is_compared_with_the_median_of_the_window() -> None:
    before = [profile(1000), profile(100), profile(100)]
    assert findings(ALL, profile(120), before) == []
    assert [f.kind for f in findings(Drift(window=1, null_rate=Jump()), profile(120), before)] == ["row_count"]


def test_what_was_confirmed_is_the_new_normal() -> None:
    before = [profile(1000, nulls={}, accepted=True), profile(100), profile(100)]
    assert findings(ALL, profile(1000, nulls={}), before) == []
    before = [profile(1010, nulls={}), *before]
    assert findings(ALL, profile(1000, nulls={}), before) == []


def test_few_rows_are_no_drift() -> None:
    assert findings(ALL, Profile(rows=9, nulls={"plan": 9}), [Profile(rows=3, nulls={"plan": 0})]) == []


def test_a_code_names_the_drift_and_not_its_size() -> None:
    one, two, other = (findings(ALL, profile(n, nulls=nulls), [profile()]) for n, nulls in (
        (10, {}), (12, {}), (10, {"plan": 9})))  # fmt: skip
    assert fingerprint(one) == fingerprint(two) != fingerprint(other)


@given(rows=st.integers(0, 10**9), nulls=st.dictionaries(st.text(), st.integers(0, 10**9)), accepted=st.booleans())
def test_a_profile_is_read_back_as_it_was(rows: int, nulls: dict[str, int], *, accepted: bool) -> None:
    one = profile(rows, nulls=nulls, accepted=accepted)
    assert Profile.read(one.text(), accepted=accepted) == one
