"""Limits: never more than is allowed over any window, never less than is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.bridge import limits
from streams.bridge.limits import Limit

arrivals = st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=200)


@given(st.integers(1, 20), st.floats(0.5, 60), arrivals)
def test_no_window_lets_in_more_than_a_burst_and_its_share(count: int, window_s: float, gaps: list[float]) -> None:
    limit, now_s, admitted = Limit(count, window_s), 0.0, []
    for gap in gaps:
        now_s += gap * window_s / count
        if limit.wait_s("astrid", now_s) == 0:
            limit.spend("astrid", 1, now_s)
            admitted.append(now_s)
    for first, begins in enumerate(admitted):
        for last in range(first, len(admitted)):
            allowed = count + (admitted[last] - begins) * count / window_s
            assert last - first + 1 <= allowed + 1e-6


@given(st.integers(1, 20), st.floats(0.5, 60), st.integers(1, 200))
def test_whoever_waits_as_told_is_let_in(count: int, window_s: float, spent: int) -> None:
    limit = Limit(count, window_s)
    limit.spend("astrid", spent, 5.0)
    wait_s = limit.wait_s("astrid", 5.0)
    assert (wait_s > 0) == (spent >= count) or wait_s < 1e-6
    assert limit.wait_s("astrid", 5.0 + wait_s + 1e-6) == 0
    assert limit.wait_s("finn", 5.0) == 0


def test_the_specs_limit_of_actions() -> None:
    limit = Limit(10, 1.0)
    for _ in range(10):
        assert limit.wait_s("astrid", 0.0) == 0
        limit.spend("astrid", 1, 0.0)
    assert limit.wait_s("astrid", 0.0) == pytest.approx(0.1)
    assert limit.waits_s(["astrid", "finn"], 0.05) == {"astrid": pytest.approx(0.05)}


def test_no_limit() -> None:
    limit = Limit(0, 1.0)
    limit.spend("astrid", 1_000_000, 0.0)
    assert limit.wait_s("astrid", 0.0) == 0


def test_those_who_have_long_been_quiet_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEYS_MAX", 3)
    limit = Limit(1, 1.0)
    limit.spend("busy", 100, 0.0)
    for number in range(50):
        limit.spend(f"passer-by-{number}", 1, number * 1.5)
    assert len(limit._whole_at_s) <= 3
    assert limit.wait_s("busy", 75.0) == pytest.approx(25.0)
