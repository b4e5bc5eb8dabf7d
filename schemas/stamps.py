"""Stamps: a hybrid logical clock in 64 bits, 48 of Unix milliseconds above 16 of counter.

Kulkarni et al., "Logical Physical Clocks" (2014). The order of two stamps is the order of the integers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

COUNTER_BITS = 16
COUNTER_MAX = (1 << COUNTER_BITS) - 1
HOUR_MS = 3_600_000

# Far beyond honest clock skew (cloud clocks differ by 10-250 ms), far below what would let one bad clock win for long.
FUTURE_LIMIT_MS = 60_000


def pack(time_ms: int, counter: int = 0) -> int:
    """The stamp of a millisecond since 1970 and a counter of 0..65535."""
    return time_ms << COUNTER_BITS | counter


def time_ms(stamp: int) -> int:
    """The stamp's milliseconds since 1970."""
    return stamp >> COUNTER_BITS


def hour(stamp: int) -> int:
    """The stamp's hour, as the milliseconds since 1970 at which that hour began."""
    milliseconds = stamp >> COUNTER_BITS
    return milliseconds - milliseconds % HOUR_MS


# A gap between two stamps that may be a clock gone wrong; most are a producer that had nothing to say.
_GAP = pack(1_000)
# To come back over: a clock that has gone wrong in more steps than these forgets only what it had observed.
_GAPS_MAX = 64


def too_far(stamp: int, now_ms: int) -> bool:
    """Whether readers would refuse a stamp that reaches the log now."""
    return time_ms(stamp) - now_ms > FUTURE_LIMIT_MS


def following(last: int, now_ms: int) -> int:
    """The stamp of now, later than the last one given, unless that one is too far ahead to be believed by readers.

    To go on behind such a one would have every event refused until the clock has caught up with it.
    """
    now = pack(now_ms)
    # When the clock stands still or goes back the counter carries on, past 65,535 into the next millisecond.
    return now if now > last or too_far(last, now_ms) else last + 1


class HybridClock:
    """Gives stamps that never repeat or go back, unless the clock under it falls back by more than FUTURE_LIMIT_MS.

    Readers refuse stamps further ahead of their arrival than that. So a clock that falls back so far is taken to have
    been ahead and put right, and the stamps go back with it: only what was stamped meanwhile is refused. They go on
    behind all those that readers believed, so that among a producer's events that count the order stands. An event that
    was stamped too far ahead and reaches the log only when that time has come counts as of that time.

    Should the clock have been right and be wrong now, what follows is stamped too early until it is put right, and
    loses against what the same producer said before, where the last one wins; nothing is refused.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._last = 0
        #: The stamps before each gap, in order: one of them is what to come back to.
        self._before: deque[int] = deque(maxlen=_GAPS_MAX)

    def tick(self) -> int:
        """The stamp of something that happens now."""
        now_ms = self._now_ms()
        now, last = now_ms << COUNTER_BITS, self._last
        if now > last:
            if now - last > _GAP:
                self._before.append(last)
            self._last = now
            return now
        if now < last and too_far(last, now_ms):
            last = self._believed(now_ms)
        self._last = stamp = following(last, now_ms)
        return stamp

    def _believed(self, now_ms: int) -> int:
        before = self._before
        while before and too_far(before[-1], now_ms):
            before.pop()
        return before[-1] if before else 0

    def observe(self, stamp: int) -> None:
        """Be later than a stamp that came from elsewhere, so that an answer is stamped after its question.

        A stamp more than FUTURE_LIMIT_MS ahead is not believed.
        """
        now_ms = self._now_ms()
        if stamp > pack(now_ms + FUTURE_LIMIT_MS):
            return
        if too_far(self._last, now_ms):
            self._last = self._believed(now_ms)
        if stamp > self._last:
            if stamp - self._last > _GAP:
                self._before.append(self._last)
            self._last = stamp
