"""Fold: the log into Postgres, one transaction per poll with the deltas, the dots, the offsets and the epoch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg

from projections.fold import Deltas, Fold
from projections.postgres import Writer
from projections.room import fitting
from schemas import PermanentError
from streams.clock import Clock
from streams.dead_letters import DeadLetter
from streams.metrics import Metrics
from streams.polls import Batch, Poll, polls
from streams.positions import Positions
from streams.processors.commit import Commit
from streams.processors.intake import COLUMNS_EVENTS_MIN, Intake
from streams.processors.taken import Admitted, Taken

log = logging.getLogger(__name__)

ROLE = "fold"

#: What Postgres says when it is the data that it cannot hold.
REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


class FoldProcessor:
    """Folds polls into Postgres; while one poll is being stored, the next is taken up."""

    def __init__(
        self,
        *,
        fold: Fold,
        intake: Intake,
        writer: Writer,
        positions: Positions,
        commit: Commit,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._fold = fold
        self._intake = intake
        self._writer = writer
        self._positions = positions
        self._commit = commit
        self._metrics = metrics
        self._clock = clock
        self._storing: asyncio.Task[None] | None = None

    async def run(self, stream: AsyncIterator[Batch]) -> None:
        """Fold until the stream ends. A poll that another worker has claimed is dropped; its owner folds it."""
        try:
            async for poll in polls(stream, self._positions):
                work = await self._take(poll)
                await self._settled()
                if work is not None:
                    self._storing = asyncio.create_task(self._store(*work, poll.claim_number))
            await self._settled()
        finally:
            if self._storing is not None:
                self._storing.cancel()

    async def _take(self, poll: Poll) -> tuple[Taken, Deltas] | None:
        taken = await self._intake.take(poll.records, self._positions)
        if taken is None:
            return None
        large = taken.events >= COLUMNS_EVENTS_MIN
        deltas = await asyncio.to_thread(self._folded, taken) if large else self._folded(taken)
        if poll.claim_number != self._positions.claim_number:
            return None
        taken.settle()
        return taken, deltas

    def _folded(self, taken: Taken) -> Deltas:
        """The rows of deltas; an event that no projection can fold joins the dead letters."""
        try:
            if taken.frame is not None:
                return self._fold.columns(taken.frame, checked=True)
            return self._fold.events(one.event for one in taken.admitted)
        except Exception:
            return self._fold.events(one.event for one in self._leave_out(taken, self._unfoldable(taken)))

    def _unfoldable(self, taken: Taken) -> list[DeadLetter]:
        refused = []
        for one in taken.admitted:
            try:
                self._fold.events([one.event])
            except Exception as error:
                reason = error.reason if isinstance(error, PermanentError) else "fold_failed"
                refused.append(DeadLetter.of(one.record, one.tp, ROLE, reason, error))
        return refused

    def _leave_out(self, taken: Taken, refused: Sequence[DeadLetter]) -> list[Admitted]:
        taken.refuse(refused)
        gone = {(letter.topic, letter.partition, letter.offset) for letter in refused}
        return [one for one in taken.admitted if (*one.tp, one.record.offset) not in gone]

    async def _settled(self) -> None:
        storing, self._storing = self._storing, None
        if storing is not None:
            await storing

    async def _store(self, taken: Taken, deltas: Deltas, claim_number: int) -> None:
        async def merge(connection: Any) -> list[DeadLetter]:
            try:
                async with connection.transaction():
                    await self._writer.merge(connection, deltas)
            except REFUSED:
                return await self._isolate(connection, taken, deltas)
            return []

        if await self._commit.run(claim_number, taken.moves, taken.dead, merge):
            self._metrics.taken(taken, self._clock.now_ms())

    async def _isolate(self, connection: Any, taken: Taken, deltas: Deltas) -> list[DeadLetter]:
        """Store all but the events that Postgres refuses, which become dead letters.

        Nearly always a sum has run out of room; which events still fit is worked out here, in one pass over them.
        """
        standing = await self._writer.standing(connection, deltas)
        admitted = list(taken.admitted)
        additions = [self._fold.events([one.event]) for one in admitted]
        fits = fitting(self._fold.tables, standing, additions)
        overflow = OverflowError("a sum of its row would pass what Postgres's bigint holds")
        dead = [_refused(one, overflow) for one, fit in zip(admitted, fits, strict=True) if not fit]
        waiting = [[one for one, fit in zip(admitted, fits, strict=True) if fit]]
        while waiting:
            part = waiting.pop()
            try:
                async with connection.transaction():
                    await self._writer.merge(connection, self._fold.events(one.event for one in part))
            except REFUSED as error:
                if len(part) == 1:
                    dead.append(_refused(part[0], error))
                else:
                    half = len(part) // 2
                    waiting += [part[half:], part[:half]]
        return dead


def _refused(one: Admitted, error: Exception) -> DeadLetter:
    return DeadLetter.of(one.record, one.tp, ROLE, "store_failed", error)
