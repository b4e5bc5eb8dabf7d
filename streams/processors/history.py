"""History: every record of the log into ClickHouse's typed columns, exactly once, without decoding one in Python.

ClickHouse has no transaction to share, so the range of a batch is written to Postgres first and the insert carries a
token made of it. After a crash the same range is read and inserted again under the same token, and ClickHouse drops it
if it had it (the recipe of ClickHouse's own Kafka sink, with Postgres in the place of its KeeperMap).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from faust.types import TP

from projections.decoding import Decoder
from projections.records import log_fields
from streams import dead_letters
from streams.clock import Clock
from streams.database import Database, Waiting, persist
from streams.metrics import Metrics
from streams.positions import Fenced, Move, Position, Positions
from streams.processors.screening import Screened, screen
from streams.records import Records
from streams.statements import statement
from streams.transport import Batch, Regain, polls

log = logging.getLogger(__name__)

# The views fold an insert to a row per key, so a large insert costs each of them little more than a small one.
INSERT_EVENTS_MAX = 200_000
# While ClickHouse decodes one insert and folds another, the third is screened and sent.
INSERTS_AT_ONCE = 3
# Some 150 MB of records; past this the log itself is the better queue.
HELD_EVENTS_MAX = 400_000
# An insert of ten events costs ClickHouse and its views what one of a thousand does, 40 ms of a core: where few events
# come, a moment is waited for more. History is for analysts, who do not notice.
GATHERED_EVENTS_MIN, GATHER_S = 1_000, 2.0

_WRITE_RANGE = statement("write_range")
_READ_RANGE = statement("read_range")


class EventsTables(Protocol):
    """Where history goes; `streams.clickhouse.Events`."""

    #: What it raises while the server is away.
    passing: tuple[type[BaseException], ...]

    def insert(self, topic: str, records: list[bytes], token: str, facts: frozenset[str]) -> None:
        """Insert a topic's records, which hold these facts, once per token; raises one of `passing` while away."""


@dataclass(slots=True)
class _Queue:
    """One partition's records that wait to be written, and the task that writes them, in the order of the log."""

    tp: TP
    claim_number: int
    records: list[Any] = field(default_factory=list)
    writer: asyncio.Task[None] | None = None
    #: Whether anything was written since the partition was claimed: then nothing interrupted is left of it.
    resumed: bool = False
    #: Whether the last insert was a small one: then the next waits a moment for more.
    trickles: bool = False

    def add(self, records: Records, position: Position) -> None:
        """Take up the records that were not taken up before."""
        self.records += records.since(position.reading)
        position.reading = max(position.reading, records.high)


class HistoryProcessor:
    """Writes the log into ClickHouse: each partition in order, several partitions side by side."""

    def __init__(
        self,
        *,
        events: EventsTables,
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
        self._inserting = asyncio.Semaphore(INSERTS_AT_ONCE)
        self._queues: dict[TP, _Queue] = {}

    async def run(self, stream: AsyncIterator[Batch]) -> None:
        """Write until the stream ends. What another worker has claimed is dropped; its owner writes it."""
        claim_number = 0
        async with asyncio.TaskGroup() as writing:
            async for poll in polls(stream, self._positions):
                if poll.claim_number != claim_number:
                    # Writers of the old claim see for themselves that it is over.
                    self._queues, claim_number = {}, poll.claim_number
                for tp, records in poll.records.items():
                    queue = self._queues.setdefault(tp, _Queue(tp, claim_number))
                    queue.add(records, self._positions[tp])
                    if queue.writer is None or queue.writer.done():
                        queue.writer = writing.create_task(self._write(queue))
                await self._bounded(claim_number)

    async def _bounded(self, claim_number: int) -> None:
        """Wait while too much is held, so that the rest waits in the broker."""
        while claim_number == self._positions.claim_number:
            busy = [queue.writer for queue in self._queues.values() if queue.writer and not queue.writer.done()]
            if not busy or sum(len(queue.records) for queue in self._queues.values()) < HELD_EVENTS_MAX:
                return
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)

    async def _write(self, queue: _Queue) -> None:
        """Write all of a partition that can be written; an interrupted range that is still short is held back."""
        while queue.records and queue.claim_number == self._positions.claim_number:
            if queue.trickles and len(queue.records) < GATHERED_EVENTS_MIN:
                await asyncio.sleep(GATHER_S)
            position = self._positions[queue.tp]
            low = position.stored
            high = await self._interrupted(queue.tp, low) if not queue.resumed else None
            if high is None:
                batch = queue.records[:INSERT_EVENTS_MAX]
                high = batch[-1].offset + 1
            elif queue.records[-1].offset + 1 < high:
                return
            else:
                batch = [record for record in queue.records if record.offset < high]
            try:
                async with self._inserting:
                    move = Move(queue.tp, position.epoch, low, high, len(batch))
                    await self._insert(batch, move, position, queue.claim_number)
            except Fenced as fenced:
                log.warning("%s", fenced)
                self._metrics.fenced.inc()
                await self._regain(queue.claim_number)
                return
            queue.resumed = True
            queue.trickles = len(batch) < GATHERED_EVENTS_MIN
            del queue.records[: len(batch)]

    async def _interrupted(self, tp: TP, low: int) -> int | None:
        """Where the range ends that a worker was writing when it died, if one was."""
        row = await self._database.read(
            lambda connection: connection.fetchrow(_READ_RANGE, self._positions.group, tp.topic, tp.partition)
        )
        return row["high"] if row is not None and row["low"] == low and row["high"] > low else None

    async def _insert(self, batch: Sequence[Any], move: Move, position: Position, claim_number: int) -> None:
        token = f"{self._positions.group}:{move.tp.topic}:{move.tp.partition}:{move.low}-{move.high}"
        await self._database.write(lambda connection: self._intend(connection, move, token))
        found = await asyncio.to_thread(screen, batch, move.tp, position.dots, self._decoder, "history")
        await self._send(found, move.tp, token)
        changed = found.dots.changed_since(position.dots)
        stored = replace(move, events=len(found.kept), stamp=found.stamp, origins=changed)

        async def finish(connection: Any) -> None:
            if await self._positions.advance(connection, [stored]):
                await dead_letters.store(connection, found.dead)

        await self._database.write(finish)
        position.dots = found.dots
        self._positions.stored([stored], claim_number)
        self._metrics.stored(len(found.kept), self._clock.now_ms())
        self._metrics.dead(len(found.dead))

    async def _intend(self, connection: Any, move: Move, token: str) -> None:
        await self._positions.hold(connection, move)
        await connection.execute(
            _WRITE_RANGE, self._positions.group, move.tp.topic, move.tp.partition, move.low, move.high, token
        )

    async def _send(self, found: Screened, tp: TP, token: str) -> None:
        if not found.kept:
            return
        located = log_fields(tp.topic, tp.partition)

        def insert() -> None:
            records = [record.value + located(record.offset) for record in found.kept]
            self._events.insert(tp.topic, records, token, found.facts)

        await persist("ClickHouse", lambda: asyncio.to_thread(insert), self._waiting, self._events.passing)
