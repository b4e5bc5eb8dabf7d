"""Slots: the places in an engine, given to the most urgent of those who wait; and how long a place is taken."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from types import TracebackType
from typing import NamedTuple, Self

from schemas import TIERS, TemporaryError

# An engine does not interrupt what it has begun, so a place that gold may need at once is not lent to slower tiers.
KEPT_FOR_FIRST_SHARE = 0.25


# Of each answer's time, by which an engine's usual time follows the latest: some ten answers are what it remembers.
LATEST_SHARE = 0.2
# A call that is not begun teaches nothing, so with each the usual time is doubted a little, and one is tried again.
DOUBT = 0.95


class NoTime(TemporaryError):
    """An engine usually takes longer than there is left: what it began would only be in the way of others."""

    reason = "no_time"


class Pace:
    """How long an engine's answers have taken of late."""

    def __init__(self) -> None:
        self.usual_ms = 0.0

    def check(self, left_ms: int) -> None:
        """Raises NoTime when an answer begun now would hardly be there in `left_ms`."""
        if left_ms < self.usual_ms:
            usual_ms, self.usual_ms = self.usual_ms, self.usual_ms * DOUBT
            raise NoTime(f"{max(0, left_ms)} ms are left, and an answer usually takes {usual_ms:.0f} ms")

    def took(self, duration_ms: int) -> None:
        """Learn from an answer, or from one that was given up on after so long."""
        self.usual_ms += LATEST_SHARE * (duration_ms - self.usual_ms)


class Urgency(NamedTuple):
    """Who goes first: gold before silver before bronze, and of one tier the earliest deadline."""

    rank: int
    deadline_ms: int

    @classmethod
    def of(cls, tier: str, deadline_ms: int) -> Urgency:
        """The urgency of a request."""
        return cls(TIERS.index(tier), deadline_ms)


class Slots:
    """As many places as an engine has; of one that serves gold too, a quarter are lent to nobody else."""

    def __init__(self, slots: int, *, serves_first: bool = False) -> None:
        """`serves_first`: the tier of the highest rank is among those served here."""
        self.free = slots
        self._kept = int(slots * KEPT_FOR_FIRST_SHARE) if serves_first else 0
        self._waiting: list[tuple[Urgency, int, asyncio.Future[None]]] = []
        self._number = count()

    def turn(self, urgency: Urgency) -> Turn:
        """A place for one call, waited for on entry and given back on leaving."""
        return Turn(self, urgency)

    async def acquire(self, urgency: Urgency) -> None:
        """Wait for a place. Cancelled, none is held."""
        if not self._waiting and self._open_to(urgency):
            self.free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._number), place))
        self._hand_over()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a place back."""
        self.free += 1
        self._hand_over()

    def _open_to(self, urgency: Urgency) -> bool:
        return self.free > (self._kept if urgency.rank else 0)

    def _hand_over(self) -> None:
        waiting = self._waiting
        while waiting:
            urgency, _, place = waiting[0]
            if not place.done() and not self._open_to(urgency):
                return
            heapq.heappop(waiting)
            if not place.done():
                self.free -= 1
                place.set_result(None)


class Turn:
    """One call's place, as a context."""

    __slots__ = ("_slots", "_urgency")

    def __init__(self, slots: Slots, urgency: Urgency) -> None:
        self._slots = slots
        self._urgency = urgency

    async def __aenter__(self) -> Self:
        """Wait for the place."""
        await self._slots.acquire(self._urgency)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Give it back."""
        self._slots.release()
