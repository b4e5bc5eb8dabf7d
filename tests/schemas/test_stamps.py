"""The hybrid logical clock: 48 bits of milliseconds above 16 of counter, in order for all who read the log."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from schemas.stamps import COUNTER_MAX, FUTURE_LIMIT_MS, HOUR_MS, HybridClock, following, hour, pack, time_ms

TIMES = st.integers(0, 2**48 - 1)
COUNTERS = st.integers(0, COUNTER_MAX)
NOW_MS = 1_800_000_000_000


class Hands:
    """A clock that shows what a test sets it to."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@given(TIMES, COUNTERS)
def test_a_stamp_is_48_bits_of_milliseconds_above_16_of_counter(milliseconds: int, counter: int) -> None:
    stamp = pack(milliseconds, counter)
    assert stamp < 2**64
    assert time_ms(stamp) == milliseconds
    assert stamp & 0xFFFF == counter


@given(st.tuples(TIMES, COUNTERS), st.tuples(TIMES, COUNTERS))
def test_stamps_order_as_their_time_and_then_their_counter(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (pack(*one) < pack(*other)) == (one < other)


@given(TIMES, COUNTERS)
def test_a_stamps_hour_is_where_its_hour_began(milliseconds: int, counter: int) -> None:
    began = hour(pack(milliseconds, counter))
    assert began % HOUR_MS == 0
    assert began <= milliseconds < began + HOUR_MS


@given(st.lists(st.integers(NOW_MS, NOW_MS + FUTURE_LIMIT_MS), min_size=2))
def test_stamps_rise_whatever_an_honest_clock_does(readings: list[int]) -> None:
    hands = iter(readings)
    clock = HybridClock(lambda: next(hands))
    stamps = [clock.tick() for _ in readings]
    assert all(earlier < later for earlier, later in pairwise(stamps))


@given(st.lists(TIMES, min_size=1))
def test_a_stamp_is_never_before_its_clock(readings: list[int]) -> None:
    hands = iter(readings)
    clock = HybridClock(lambda: next(hands))
    assert all(time_ms(clock.tick()) >= reading for reading in readings)


#: How long after the step before, and how far ahead of the truth the clock is: often not at all, at times by hours.
STEPS = st.lists(st.tuples(st.integers(0, 90_000), st.just(0) | st.integers(0, 10_000_000)), min_size=1)


@given(STEPS)
def test_the_stamps_that_readers_believe_rise_however_far_ahead_the_clock_was(steps: list[tuple[int, int]]) -> None:
    hands, true_ms = Hands(), NOW_MS
    clock = HybridClock(hands)
    believed = []
    for after_ms, wrong_ms in steps:
        true_ms += after_ms
        hands.now_ms = true_ms + wrong_ms
        stamp = clock.tick()
        if time_ms(stamp) - true_ms <= FUTURE_LIMIT_MS:
            believed.append(stamp)
    assert believed == sorted(set(believed))


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(FUTURE_LIMIT_MS + 1, 2**40))
def test_a_clock_that_was_far_ahead_once_has_one_event_refused(pauses: list[int], ahead_ms: int) -> None:
    hands = Hands()
    clock = HybridClock(hands)
    before = clock.tick()
    hands.now_ms = NOW_MS + ahead_ms
    clock.tick()
    hands.now_ms = NOW_MS
    for pause_ms in pauses:
        hands.now_ms += pause_ms
        after = clock.tick()
        assert before < after
        assert time_ms(after) - hands.now_ms <= FUTURE_LIMIT_MS
        before = after


def test_a_clock_that_comes_back_stays_behind_what_it_has_observed() -> None:
    hands = Hands()
    clock = HybridClock(hands)
    question = pack(NOW_MS + 30_000, 7)
    clock.observe(question)
    for ahead_ms in (7_200_000, 14_400_000):
        hands.now_ms = NOW_MS + ahead_ms
        clock.tick()
    hands.now_ms = NOW_MS + 5
    assert clock.tick() == question + 1
    hands.now_ms = NOW_MS + 7_200_000
    clock.tick()
    hands.now_ms = NOW_MS + 6
    clock.observe(question + 9)
    assert clock.tick() == question + 10


def test_a_clock_that_moves_on_starts_the_counter_again() -> None:
    hands = Hands()
    clock = HybridClock(hands)
    assert [clock.tick(), clock.tick()] == [pack(NOW_MS, 0), pack(NOW_MS, 1)]
    hands.now_ms += 1
    assert clock.tick() == pack(NOW_MS + 1, 0)


def test_a_full_counter_goes_on_in_the_next_millisecond() -> None:
    clock = HybridClock(Hands())
    clock.observe(pack(NOW_MS, COUNTER_MAX))
    assert clock.tick() == pack(NOW_MS + 1, 0)


@given(st.integers(-10 * FUTURE_LIMIT_MS, FUTURE_LIMIT_MS - 1), COUNTERS)
def test_an_answer_is_stamped_after_its_question(ahead_ms: int, counter: int) -> None:
    clock = HybridClock(Hands())
    question = pack(NOW_MS + ahead_ms, counter)
    clock.observe(question)
    assert clock.tick() > question


def test_a_stamp_at_the_limit_is_believed_and_one_beyond_it_is_not() -> None:
    limit = pack(NOW_MS + FUTURE_LIMIT_MS)
    believing, doubting = HybridClock(Hands()), HybridClock(Hands())
    believing.observe(limit)
    doubting.observe(limit + 1)
    assert believing.tick() == limit + 1
    assert doubting.tick() == pack(NOW_MS)


@given(st.integers(0, 2**60), st.integers(0, 2**40))
def test_the_stamp_that_follows_is_later_than_the_last_unless_nobody_would_believe_that(last: int, now_ms: int) -> None:
    stamp = following(last, now_ms)
    assert stamp >= pack(now_ms)
    assert stamp > last or (stamp == pack(now_ms) and time_ms(last) > now_ms + FUTURE_LIMIT_MS)


@given(st.lists(st.one_of(st.none(), st.integers(0, 2**64 - 1)), min_size=2))
def test_nothing_observed_makes_a_clock_go_back(steps: list[int | None]) -> None:
    clock = HybridClock(Hands())
    ticks = []
    for observed in steps:
        if observed is None:
            ticks.append(clock.tick())
        else:
            clock.observe(observed)
    assert ticks == sorted(set(ticks))
    assert all(time_ms(tick) <= NOW_MS + FUTURE_LIMIT_MS for tick in ticks)
