"""Stamps: a hybrid logical clock in 64 bits, 48 of Unix milliseconds above 16 of counter.

Kulkarni et al., "Logical Physical Clocks" (2014). The order of two stamps is the order of the integers.
"""

from __future__ import annotations

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


class HybridClock:
    """Gives stamps that never repeat or go back, whatever the clock under it does."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._last = 0

    def tick(self) -> int:
        """The stamp of something that happens now."""
        now = self._now_ms() << COUNTER_BITS
        # When the clock stands still or goes back the counter carries on, past 65,535 into the next millisecond.
        self._last = now if now > self._last else self._last + 1
        return self._last

    def observe(self, stamp: int) -> None:
        """Be later than a stamp that came from elsewhere, so that an answer is stamped after its question.

        A stamp more than FUTURE_LIMIT_MS ahead is not believed.
        """
        if self._last < stamp <= pack(self._now_ms() + FUTURE_LIMIT_MS):
            self._last = stamp
