"""Both breakers: when they open, for how long, and that one call at a time tries whether it is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.breaker import (
    RATE_OPEN_MS,
    RATE_SAMPLE_MAX,
    RATE_SAMPLE_MIN,
    RATE_WINDOW_MS,
    RUN_MAX,
    RUN_OPEN_MS,
    Breaker,
    Permit,
    RateBreaker,
    RunBreaker,
)
from tests.inference.asking import NOW_MS

BOTH = pytest.mark.parametrize("make", [RateBreaker, RunBreaker])
OPEN_MS = {RateBreaker: RATE_OPEN_MS, RunBreaker: RUN_OPEN_MS}


def call(breaker: Breaker, ok: bool | None, now_ms: int = NOW_MS) -> bool:
    """Make a call that ends at once; whether it was let through."""
    permit = breaker.begin(now_ms)
    if permit is not None:
        breaker.end(permit, now_ms, ok=ok)
    return permit is not None


def opened(make: type[RateBreaker] | type[RunBreaker]) -> RateBreaker | RunBreaker:
    breaker = make()
    for _ in range(5):
        assert call(breaker, ok=False)
    assert breaker.state(NOW_MS) == "open"
    return breaker


def permitted(breaker: Breaker, now_ms: int) -> Permit:
    permit = breaker.begin(now_ms)
    assert permit is not None
    return permit


@BOTH
def test_five_failures_in_a_row_open_it_for_its_time_and_then_one_call_is_let_through(make: type[RateBreaker]) -> None:
    breaker, over_ms = opened(make), NOW_MS + OPEN_MS[make]
    assert breaker.begin(over_ms - 1) is None
    trial = permitted(breaker, over_ms)
    assert trial.trial
    assert breaker.begin(over_ms) is None
    breaker.end(trial, over_ms, ok=True)
    assert breaker.state(over_ms) == "closed"
    assert all(call(breaker, ok=True, now_ms=over_ms) for _ in range(3))


@BOTH
def test_a_trial_that_fails_opens_it_for_as_long_again(make: type[RateBreaker]) -> None:
    breaker, over_ms = opened(make), NOW_MS + OPEN_MS[make]
    assert call(breaker, ok=False, now_ms=over_ms)
    assert breaker.state(over_ms + OPEN_MS[make] - 1) == "open"
    assert breaker.state(over_ms + OPEN_MS[make]) == "half_open"


@BOTH
def test_a_trial_that_says_nothing_makes_way_for_the_next(make: type[RateBreaker]) -> None:
    breaker, over_ms = opened(make), NOW_MS + OPEN_MS[make]
    assert call(breaker, ok=None, now_ms=over_ms)
    assert breaker.state(over_ms) == "half_open"
    assert call(breaker, ok=True, now_ms=over_ms)
    assert breaker.state(over_ms) == "closed"


@BOTH
def test_a_trial_that_nobody_ends_keeps_nobody_out_for_ever(make: type[RateBreaker]) -> None:
    breaker, over_ms = opened(make), NOW_MS + OPEN_MS[make]
    lost = permitted(breaker, over_ms)
    assert breaker.begin(over_ms + OPEN_MS[make] - 1) is None
    later_ms = over_ms + OPEN_MS[make]
    trial = permitted(breaker, later_ms)
    breaker.end(lost, later_ms, ok=False)
    assert breaker.state(later_ms) == "half_open"
    breaker.end(trial, later_ms, ok=True)
    assert breaker.state(later_ms) == "closed"


@BOTH
def test_what_began_before_it_opened_says_nothing_about_how_things_are_now(make: type[RateBreaker]) -> None:
    breaker = make()
    before = [permitted(breaker, NOW_MS) for _ in range(3)]
    for _ in range(5):
        call(breaker, ok=False)
    breaker.end(before[0], NOW_MS + 1, ok=True)
    assert breaker.state(NOW_MS + 1) == "open"
    over_ms = NOW_MS + OPEN_MS[make]
    breaker.end(before[1], over_ms, ok=False)
    assert breaker.state(over_ms) == "half_open"
    call(breaker, ok=True, now_ms=over_ms)
    breaker.end(before[2], over_ms, ok=False)
    assert breaker.state(over_ms) == "closed"


@BOTH
def test_a_full_queue_opens_nothing(make: type[RateBreaker]) -> None:
    breaker = make()
    assert all(call(breaker, ok=None) for _ in range(50))
    assert breaker.state(NOW_MS) == "closed"


@BOTH
def test_a_clock_that_was_set_back_keeps_nobody_out_for_longer(make: type[RateBreaker]) -> None:
    breaker, back_ms = opened(make), NOW_MS - 3_600_000
    assert breaker.state(back_ms) == "open"
    assert breaker.state(back_ms + OPEN_MS[make]) == "half_open"


def test_half_of_the_calls_are_too_many_failures_but_not_of_a_few() -> None:
    breaker = RateBreaker()
    for ok in (False, False, True, True):
        call(breaker, ok=ok)
    assert breaker.state(NOW_MS) == "closed"
    call(breaker, ok=True)
    assert breaker.state(NOW_MS) == "closed"
    call(breaker, ok=False)
    assert breaker.state(NOW_MS) == "open"


def test_failures_of_long_ago_do_not_count() -> None:
    breaker = RateBreaker()
    for _ in range(RATE_SAMPLE_MIN - 1):
        call(breaker, ok=False)
    call(breaker, ok=False, now_ms=NOW_MS + RATE_WINDOW_MS)
    assert breaker.state(NOW_MS + RATE_WINDOW_MS) == "closed"


def test_a_success_ends_a_run() -> None:
    breaker = RunBreaker()
    for ok in [False] * (RUN_MAX - 1) + [True] + [False] * (RUN_MAX - 1):
        call(breaker, ok=ok)
    assert breaker.state(NOW_MS) == "closed"
    call(breaker, ok=False)
    assert breaker.state(NOW_MS) == "open"


#: How a call ended, and how much later the next begins.
CALLS = st.lists(st.tuples(st.sampled_from([True, False, None]), st.integers(0, 20_000)), max_size=60)


@given(st.sampled_from([RateBreaker, RunBreaker]), CALLS)
def test_it_never_keeps_out_longer_than_its_time_and_never_forgets_how_to_close(
    make: Callable[[], RateBreaker | RunBreaker], calls: list[tuple[bool | None, int]]
) -> None:
    breaker, now_ms = make(), NOW_MS
    shut_since_ms: int | None = None
    for ok, later_ms in calls:
        now_ms += later_ms
        if call(breaker, ok=ok, now_ms=now_ms):
            shut_since_ms = None
        else:
            shut_since_ms = shut_since_ms or now_ms
            assert now_ms - shut_since_ms < breaker.open_ms
    now_ms += breaker.open_ms
    assert call(breaker, ok=True, now_ms=now_ms)
    assert breaker.state(now_ms) == "closed"


@given(CALLS)
def test_it_opens_exactly_when_a_count_of_all_calls_says_so(calls: list[tuple[bool | None, int]]) -> None:
    rate, run = RateBreaker(), RunBreaker()
    seen: list[tuple[int, bool]] = []
    now_ms = NOW_MS
    for ok, later_ms in calls:
        now_ms += later_ms
        if "closed" not in (rate.state(now_ms), run.state(now_ms)):
            return
        if ok is not None:
            seen.append((now_ms, ok))
        was_rate, was_run = rate.state(now_ms), run.state(now_ms)
        call(rate, ok, now_ms)
        call(run, ok, now_ms)
        within = [good for at_ms, good in seen if now_ms - at_ms < RATE_WINDOW_MS]
        if was_rate == "closed":
            failing = ok is False and len(within) >= RATE_SAMPLE_MIN and within.count(False) * 2 >= len(within)
            assert rate.state(now_ms) == ("open" if failing else "closed")
        if was_run == "closed":
            last = [good for _, good in seen[-RUN_MAX:]]
            assert run.state(now_ms) == ("open" if ok is False and last == [False] * RUN_MAX else "closed")
        if "closed" not in (rate.state(now_ms), run.state(now_ms)) or was_rate != "closed" or was_run != "closed":
            return


def test_what_is_remembered_is_bounded() -> None:
    breaker = RateBreaker()
    for _ in range(RATE_SAMPLE_MAX + 100):
        call(breaker, ok=True)
    assert len(breaker._calls) == RATE_SAMPLE_MAX
    for _ in range(RATE_SAMPLE_MAX // 2):
        assert breaker.state(NOW_MS) == "closed"
        call(breaker, ok=False)
    assert breaker.state(NOW_MS) == "open"
