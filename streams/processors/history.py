"""History: every record of the log into ClickHouse's typed columns, exactly once, without decoding one in Python.

ClickHouse has no transaction to share, so the range of a batch is written to Postgres first and the insert carries a
token made of it. After a crash the same range is read and inserted again under the same token, and ClickHouse drops it
if it had it (the recipe of ClickHouse's own Kafka sink, with Postgres in the place of its KeeperMap).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from faust.types import TP

from projections.clickhouse import log_fields
from projections.decoding import Decoder
from streams import dead_letters
from streams.clock import Clock
from streams.database import Database, Waiting, persist
from streams.metrics import Metrics
from streams.positions import Fenced, Move, Positions
from streams.processors.screening import screen
from streams.statements import statement
from streams.transport import Batch, Regain, polls

log = logging.getLogger(__name__)

# ClickHouse likes 10,000 to 100,000 rows an insert; more would only hold more memory.
INSERT_EVENTS_MAX = 100_000

_WRITE_RANGE = statement("write_range")
_READ_RANGE = statement("read_range")


class EventsTable(Protocol):
    """Where history goes; `streams.clickhouse.Events`."""

    #: What it raises while the server is away.
    passing: tuple[type[BaseException], ...]

    def insert(self, records: list[bytes], token: str) -> None:
        """Insert records once per token; raises one of `passing` while the server is away."""


class HistoryProcessor:
    """Writes each partition's share of a poll as one insert."""

    def __init__(
        self,
        *,
        events: EventsTable,
        decoder: Decoder,
        positions: Positions,
        database: Database,
        metrics: Metrics,
        clock: Clock,
        waiting: Waiting,
        regain: Regain,
    ) -> None:
        self._events = events
        self._decoder = decoder
        self._positions = positions
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._waiting = waiting
        self._regain = regain
        #: Partitions written to since they were claimed: nothing interrupted is left of them.
        self._resumed: set[TP] = set()

    async def run(self, stream: AsyncIterator[Batch]) -> None:
        """Write until the stream ends. What another worker has claimed is dropped; its owner writes it."""
        held: dict[TP, list[Any]] = {}
        claim_number = 0
        async for poll in polls(stream, self._positions):
            if poll.claim_number != claim_number:
                held, claim_number = {}, poll.claim_number
                self._resumed.clear()
            for tp, records in poll.records.items():
                position = self._positions[tp]
                fresh = [record for record in records if record.offset >= position.reading]
                held[tp] = await self._write([*held.get(tp, ()), *fresh], tp, claim_number)

    async def _write(self, records: list[Any], tp: TP, claim_number: int) -> list[Any]:
        """Write all that can be written; gives the records held back because an interrupted range is still short."""
        while records and claim_number == self._positions.claim_number:
            position = self._positions[tp]
            position.reading = records[-1].offset + 1
            high = await self._interrupted(tp, position.stored) if tp not in self._resumed else None
            if high is None:
                batch = records[:INSERT_EVENTS_MAX]
                high = batch[-1].offset + 1
            elif records[-1].offset + 1 < high:
                return records
            else:
                batch = [record for record in records if record.offset < high]
            try:
                await self._insert(batch, Move(tp, position.epoch, position.stored, high, len(batch)))
            except Fenced as fenced:
                log.warning("%s", fenced)
                self._metrics.fenced.inc()
                await self._regain(claim_number)
                return []
            self._resumed.add(tp)
            records = records[len(batch) :]
        return []

    async def _interrupted(self, tp: TP, low: int) -> int | None:
        """Where the range ends that a worker was writing when it died, if one was."""
        row = await self._database.read(
            lambda connection: connection.fetchrow(_READ_RANGE, self._positions.group, tp.topic, tp.partition)
        )
        return row["high"] if row is not None and row["low"] == low and row["high"] > low else None

    async def _insert(self, batch: Sequence[Any], move: Move) -> None:
        token = f"{self._positions.group}:{move.tp.topic}:{move.tp.partition}:{move.low}-{move.high}"
        await self._database.write(lambda connection: self._intend(connection, move, token))
        position = self._positions[move.tp]
        found = await asyncio.to_thread(screen, batch, move.tp, position.dots, self._decoder, "history")
        await self._send(found.kept, move.tp, token)
        changed = found.dots.changed_since(position.dots)
        stored = replace(move, events=len(found.kept), stamp=found.stamp, origins=changed)

        async def finish(connection: Any) -> None:
            if await self._positions.advance(connection, [stored]):
                await dead_letters.store(connection, found.dead)

        await self._database.write(finish)
        position.dots = found.dots
        self._positions.stored([stored], self._positions.claim_number)
        self._metrics.stored(len(found.kept), self._clock.now_ms())
        self._metrics.dead(len(found.dead))

    async def _intend(self, connection: Any, move: Move, token: str) -> None:
        await self._positions.hold(connection, move)
        await connection.execute(
            _WRITE_RANGE, self._positions.group, move.tp.topic, move.tp.partition, move.low, move.high, token
        )

    async def _send(self, records: Sequence[Any], tp: TP, token: str) -> None:
        if not records:
            return
        located = log_fields(tp.topic, tp.partition)

        def insert() -> None:
            self._events.insert([record.value + located(record.offset) for record in records], token)

        await persist("ClickHouse", lambda: asyncio.to_thread(insert), self._waiting, self._events.passing)
