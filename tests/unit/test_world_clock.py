"""The world's clock: how far it goes, and how long between two ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streams.config import Settings
from streams.policies.schedules import SCHEDULES, due_between
from streams.reacting import pace
from streams.timetable import timetable
from streams.world_clock import PERIOD_MAX_S, PERIOD_MIN_S, Pace
from tests.policies import DAY_MS, HOUR_MS, MIDNIGHT_MS

speeds = st.floats(0.001, 1e6)
spans_ms = st.integers(0, 10**11)


@given(spans_ms)
def test_at_the_speed_of_real_time_the_clock_is_exact(span_ms: int) -> None:
    assert Pace().time_ms(MIDNIGHT_MS, span_ms, kept=True) == MIDNIGHT_MS + span_ms
    assert Pace().time_ms(MIDNIGHT_MS, span_ms, kept=False) == MIDNIGHT_MS + span_ms


@given(speeds, spans_ms)
def test_a_clock_that_nobody_kept_goes_no_faster_than_real_time_or_its_own(speed: float, span_ms: int) -> None:
    unkept = Pace(speed).time_ms(0, span_ms, kept=False)
    assert 0 <= unkept <= span_ms
    assert unkept <= Pace(speed).time_ms(0, span_ms, kept=True) <= round(span_ms * speed)


@given(speeds, st.integers(-(10**9), -1), st.booleans())
def test_the_clock_never_goes_back_with_the_machines(speed: float, back_ms: int, kept: bool) -> None:
    assert Pace(speed).time_ms(MIDNIGHT_MS, back_ms, kept=kept) == MIDNIGHT_MS


@given(speeds)
def test_ticks_come_at_least_once_a_second_and_at_most_ten_times(speed: float) -> None:
    assert PERIOD_MIN_S <= Pace(speed).period_s <= PERIOD_MAX_S


def test_a_day_in_ninety_seconds_ticks_within_the_shortest_time_between_schedules() -> None:
    day_fast = Pace(960.0)
    assert day_fast.period_s * day_fast.speed <= 15 * 60


def test_the_clock_begins_where_the_settings_say_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pace(Settings()) == Pace(1.0, None)
    monkeypatch.setenv("NORN_CLOCK_START", "2026-01-01")
    monkeypatch.setenv("NORN_CLOCK_SPEED", "960")
    assert pace(Settings()) == Pace(960.0, MIDNIGHT_MS)
    monkeypatch.setenv("NORN_CLOCK_START", "2026-01-01T01:00+01:00")
    assert pace(Settings()) == Pace(960.0, MIDNIGHT_MS)


@pytest.mark.parametrize(
    ("name", "value"), [("SPEED", "0"), ("SPEED", "-1"), ("SPEED", "inf"), ("SPEED", "nan"), ("START", "soon")]
)
def test_a_clock_that_cannot_go_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"NORN_CLOCK_{name}", value)
    with pytest.raises(ValidationError, match=f"clock_{name.lower()}"):
        Settings()


@given(st.integers(0, 40 * DAY_MS), st.integers(0, 40 * DAY_MS))
def test_the_timetable_tells_what_comes_next(began_after_ms: int, lived_ms: int) -> None:
    began_ms = MIDNIGHT_MS + began_after_ms
    now_ms = began_ms + lived_ms
    found = timetable(now_ms, began_ms, {"hour": (3, MIDNIGHT_MS)})
    assert {row.name for row in found.rows} == {schedule.name for schedule in SCHEDULES}
    for row in found.rows:
        assert row.next_ms is not None
        assert row.next_ms > now_ms
        between = due_between(now_ms, row.next_ms, began_ms)
        assert [due_ms for name, due_ms in between if name == row.name] == [row.next_ms]
    assert next((row.times, row.last_ms) for row in found.rows if row.name == "hour") == (3, MIDNIGHT_MS)
    assert found.rows[0].next_ms is not None
    assert found.rows[0].next_ms - now_ms <= HOUR_MS


def test_before_the_clock_begins_nothing_is_known() -> None:
    found = timetable(None, None, {})
    assert {(row.times, row.last_ms, row.next_ms) for row in found.rows} == {(0, None, None)}
