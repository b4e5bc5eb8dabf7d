"""Fold: the log into Postgres, one transaction per poll with the deltas, the dots, the offsets and the epoch."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
from faust.types import TP

from projections.fold import Fold
from projections.postgres import Writer
from streams import dead_letters
from streams.clock import Clock
from streams.database import Database
from streams.dead_letters import DeadLetter
from streams.metrics import Metrics
from streams.positions import Fenced, Positions
from streams.processors.screening import usable
from streams.processors.taking import COLUMNS_EVENTS_MIN, Taken, Taking
from streams.transport import Batch, Poll, Regain, polls

log = logging.getLogger(__name__)

#: What Postgres says when it is the data that it cannot hold.
REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

# So few that their rows are merged without a staging table, which a second merge in one transaction would find filled.
ISOLATED_EVENTS_MAX = 200


class FoldProcessor:
    """Folds polls into Postgres; while one poll is being stored, the next is taken up."""

    def __init__(
        self,
        *,
        fold: Fold,
        taking: Taking,
        writer: Writer,
        positions: Positions,
        database: Database,
        metrics: Metrics,
        clock: Clock,
        regain: Regain,
    ) -> None:
        self._fold = fold
        self._taking = taking
        self._writer = writer
        self._positions = positions
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._regain = regain
        self._storing: asyncio.Task[None] | None = None

    async def run(self, stream: AsyncIterator[Batch]) -> None:
        """Fold until the stream ends. A poll that another worker has claimed is dropped; its owner folds it."""
        try:
            async for poll in polls(stream, self._positions):
                taken = await self._take(poll)
                await self._settled()
                if taken is not None:
                    self._storing = asyncio.create_task(self._store(taken, poll.claim_number))
            await self._settled()
        finally:
            if self._storing is not None:
                self._storing.cancel()

    async def _take(self, poll: Poll) -> Taken | None:
        positions = dict(self._positions.items())
        if len(poll) < COLUMNS_EVENTS_MIN:
            # A thread's hand-over costs more than so few events.
            return self._taking.take(poll.records, positions)
        return await asyncio.to_thread(self._taking.take, poll.records, positions)

    async def _settled(self) -> None:
        storing, self._storing = self._storing, None
        if storing is not None:
            await storing

    async def _store(self, taken: Taken, claim_number: int) -> None:
        if claim_number != self._positions.claim_number:
            return
        try:
            await self._database.write(lambda connection: self._transact(connection, taken))
        except Fenced as fenced:
            log.warning("%s", fenced)
            self._metrics.fenced.inc()
            await self._regain(claim_number)
            return
        self._positions.stored(taken.moves, claim_number)
        self._metrics.folded(taken, self._clock.now_ms())

    async def _transact(self, connection: Any, taken: Taken) -> None:
        if not await self._positions.advance(connection, taken.moves):
            return
        dead = list(taken.dead)
        try:
            async with connection.transaction():
                await self._writer.merge(connection, taken.deltas)
        except REFUSED:
            refused = await self._isolate(connection, taken)
            await self._positions.uncount(connection, Counter(TP(x.topic, x.partition) for x in refused))
            dead += refused
        await dead_letters.store(connection, dead)

    async def _isolate(self, connection: Any, taken: Taken) -> list[DeadLetter]:
        """Store all but the events that Postgres refuses, which become dead letters."""
        dead: list[DeadLetter] = []
        found = [(tp, record) for tp, records in taken.records.items() for record in records]
        waiting = [found[start : start + ISOLATED_EVENTS_MAX] for start in range(0, len(found), ISOLATED_EVENTS_MAX)]
        while waiting:
            records = waiting.pop()
            try:
                async with connection.transaction():
                    await self._writer.merge(connection, self._fold.events([usable(record) for _, record in records]))
            except REFUSED as error:
                if len(records) == 1:
                    [(tp, record)] = records
                    dead.append(DeadLetter.of(record, tp, "fold", "store_failed", error))
                else:
                    half = len(records) // 2
                    waiting += [records[half:], records[:half]]
        return dead
