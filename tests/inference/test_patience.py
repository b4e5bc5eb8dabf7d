"""Patience: a caller who gave up says nothing to those who wait longer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.breaker import RATE_OPEN_MS, RUN_MAX
from inference.patience import ALIKE_SHARE, Patience

NOW_MS = 1_800_000_000_000
WAITS = st.integers(10, 60_000)


def ended(patience: Patience, now_ms: int, patience_ms: int, took_ms: int | None) -> bool:
    """Make a call that takes so long, or is answered never; whether it was let through."""
    turn = patience.begin(now_ms, patience_ms)
    if turn is None:
        return False
    if took_ms is None or took_ms > patience_ms:
        turn.late(now_ms + patience_ms, patience_ms)
    else:
        turn.answered(now_ms + took_ms)
    return True


@given(hurried=st.lists(WAITS, max_size=60), takes_ms=WAITS)
def test_callers_who_gave_up_too_soon_keep_nobody_out_who_waits_longer(hurried: list[int], takes_ms: int) -> None:
    patience = Patience()
    for waits_ms in hurried:
        ended(patience, NOW_MS, min(waits_ms, takes_ms - 1), None)
    assert ended(patience, NOW_MS, int(takes_ms * ALIKE_SHARE) + 1, takes_ms)


@given(waits_ms=WAITS, more=st.lists(WAITS, min_size=RUN_MAX, max_size=20))
def test_an_engine_that_never_answers_is_left_alone_by_all_who_waited_as_long(waits_ms: int, more: list[int]) -> None:
    patience, now_ms = Patience(), NOW_MS
    for longer_ms in more:
        assert ended(patience, now_ms, waits_ms + longer_ms, None) or patience.state(now_ms, waits_ms) == "open"
    assert patience.begin(now_ms, waits_ms) is None


def test_after_a_while_one_call_tries_it_and_an_answer_opens_it_to_those_who_wait_as_long_as_it_took() -> None:
    patience = Patience()
    for _ in range(RUN_MAX):
        ended(patience, NOW_MS, 10_000, None)
    later_ms = NOW_MS + 10_000 + RATE_OPEN_MS
    trial = patience.begin(later_ms, 10_000)
    assert trial is not None
    assert patience.begin(later_ms, 10_000) is None
    trial.answered(later_ms + 2_000)
    assert patience.begin(later_ms + 2_000, 10_000) is not None
    assert patience.state(later_ms + 2_000, 1_000) == "half_open"


def test_a_trial_that_nobody_ends_or_that_fails_keeps_it_shut_for_a_while_only() -> None:
    patience = Patience()
    for _ in range(RUN_MAX):
        ended(patience, NOW_MS, 1_000, None)
    later_ms = NOW_MS + 1_000 + RATE_OPEN_MS
    assert patience.begin(later_ms, 1_000) is not None
    assert patience.begin(later_ms + RATE_OPEN_MS - 1, 1_000) is None
    trial = patience.begin(later_ms + RATE_OPEN_MS, 1_000)
    assert trial is not None
    trial.failed(later_ms + RATE_OPEN_MS)
    assert patience.begin(later_ms + RATE_OPEN_MS + 1, 60_000) is None


def test_half_of_the_calls_in_vain_are_as_bad_as_five_in_a_row() -> None:
    patience = Patience()
    for took_ms in (5, None, 5, None, 5, None):
        assert ended(patience, NOW_MS, 1_000, took_ms)
    assert patience.begin(NOW_MS + 1_000, 1_000) is None


def test_a_call_that_ended_without_a_word_is_forgotten() -> None:
    patience = Patience()
    for _ in range(20):
        turn = patience.begin(NOW_MS, 1_000)
        assert turn is not None
        turn.dropped()
    assert patience.state(NOW_MS, 1_000) == "closed"


def test_a_clock_that_was_set_back_keeps_it_open_no_longer() -> None:
    patience = Patience()
    for _ in range(RUN_MAX):
        ended(patience, NOW_MS, 1_000, None)
    back_ms = NOW_MS - 86_400_000
    assert patience.begin(back_ms, 1_000) is None
    assert patience.begin(back_ms + RATE_OPEN_MS, 1_000) is not None
