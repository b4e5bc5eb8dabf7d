"""Batching: requests that are alike wait a moment for each other, and one call answers them all (spec C.7, tier 3)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from inference.attempt import Attempt, Question
from inference.validation import Refused

# With 20 % of all requests in batches, calls are 0.2/k + 0.1 of them: k = 4 saves 85 %, 8 saves 87.5 %, no k over 90 %.
ENOUGH = 4
# Beyond this hardly anything is left to save, and whoever came first has waited for long.
SIZE = 8
# How long fewer than enough wait for more. Spec A.15 gives a dungeon 3 to 5 s and a problem 2 to 3, and their deadlines
# are longer still: a second is affordable. Whoever is spoken to never waits here, because free text is like no other.
WAIT_MS = 1_000
# How long after the first enough of them go on waiting for a fuller batch: a player hardly notices it.
FULLER_WAIT_MS = 250
# Of the time until the earliest deadline: what is left must do for the call, and for falling back after it. Where NPCs
# must act within 2 s this is 400 ms, which passes for a moment's thought.
WAIT_SHARE = 0.2

#: Asks a model one question; what goes wrong is in the attempt.
Ask = Callable[[Question], Awaitable[Attempt]]


class Timer(Protocol):
    """What a timer gives back."""

    def cancel(self) -> None:
        """Do not call."""


#: Calls a function after so many milliseconds.
Later = Callable[[float, Callable[[], None]], Timer]


@dataclass(eq=False)
class _Member:
    question: Question
    latest_ms: float
    answered: asyncio.Future[tuple[Attempt, int]]


@dataclass(eq=False)
class _Batch:
    ask: Ask
    begun_ms: int
    members: list[_Member] = field(default_factory=list)
    timer: Timer | None = None
    asking: asyncio.Task[None] | None = None

    @property
    def latest_ms(self) -> float:
        """Until when every member can wait."""
        return min(member.latest_ms for member in self.members)


class Batches:
    """The batches that are still open, one for each group."""

    def __init__(
        self,
        *,
        size: int = SIZE,
        enough: int = ENOUGH,
        wait_ms: float = WAIT_MS,
        now_ms: Callable[[], int],
        later: Later | None = None,
    ) -> None:
        """`size`: how many one call answers at most. `enough`: how many are waited for, and `wait_ms` how long.

        `later`: the loop's timer, unless told otherwise.
        """
        self._size = size
        self._enough = enough
        self._wait_ms = wait_ms
        self._now_ms = now_ms
        self._later = later or _later
        self._open: dict[str, _Batch] = {}
        self._asking: Counter[str] = Counter()

    async def join(self, group: str, question: Question, ask: Ask) -> tuple[Attempt, int]:
        """Wait for others of the group and get the one attempt made for all, and how many it was made for.

        The member whose deadline is the earliest is the one that is asked for, by the first one's `ask`. Each must see
        for itself whether the answer fits. What the call cost is in one member's attempt only: it is counted once.
        """
        batch, now = self._open.get(group), self._now_ms()
        if batch is None:
            batch = self._open[group] = _Batch(ask, now)
        latest_ms = now + WAIT_SHARE * max(0, question.request.deadline_ms - now)
        member = _Member(question, latest_ms, asyncio.get_running_loop().create_future())
        batch.members.append(member)
        if len(batch.members) >= self._size:
            self._begin(group, batch)
        else:
            self._wait(group, batch)
        try:
            return await member.answered
        except asyncio.CancelledError:
            self._leave(group, batch, member)
            raise

    def _wait(self, group: str, batch: _Batch) -> None:
        until_ms = batch.latest_ms
        # While the group's last call is still being answered another one would only queue up behind it, half empty.
        if not self._asking[group]:
            few = len(batch.members) < self._enough
            until_ms = min(until_ms, batch.begun_ms + (self._wait_ms if few else min(self._wait_ms, FULLER_WAIT_MS)))
        if batch.timer is not None:
            batch.timer.cancel()
        batch.timer = self._later(max(0.0, until_ms - self._now_ms()), lambda: self._begin(group, batch))

    def _begin(self, group: str, batch: _Batch) -> None:
        self._close(group, batch)
        self._asking[group] += 1
        batch.asking = asyncio.create_task(_ask(batch))
        batch.asking.add_done_callback(lambda _: self._ended(group))

    def _ended(self, group: str) -> None:
        self._asking -= Counter([group])
        batch = self._open.get(group)
        if batch is not None:
            self._wait(group, batch)

    def _close(self, group: str, batch: _Batch) -> None:
        if batch.timer is not None:
            batch.timer.cancel()
        if self._open.get(group) is batch:
            del self._open[group]

    def _leave(self, group: str, batch: _Batch, member: _Member) -> None:
        batch.members.remove(member)
        if batch.members:
            # Fewer may be waited for longer, and those who stay may have more time than who has left.
            if self._open.get(group) is batch:
                self._wait(group, batch)
            return
        # Nobody is left to answer: what was begun for them is aborted.
        self._close(group, batch)
        if batch.asking is not None:
            batch.asking.cancel()


async def _ask(batch: _Batch) -> None:
    first = min(batch.members, key=lambda member: member.question.request.deadline_ms)
    size = len(batch.members)
    try:
        attempt = await batch.ask(first.question)
    except asyncio.CancelledError:
        for member in batch.members:
            member.answered.cancel()
        raise
    except Exception as error:  # whoever asks for others must leave none of them waiting
        attempt = Attempt(Refused("engine_failed", f"{type(error).__name__}: {error}"))
    for member in batch.members:
        if not member.answered.done():
            member.answered.set_result((attempt, size))
            attempt = replace(attempt, costs=())


def _later(after_ms: float, call: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(after_ms / 1000, call)
