"""History: every event of the log into ClickHouse's typed columns, exactly once, without decoding one in Python.

ClickHouse has no transaction to share, so the range of a batch is written to Postgres first and the insert carries a
token made of it. After a crash the same range is read and inserted again under the same token, and ClickHouse drops it
if it had it (the recipe of ClickHouse's own Kafka sink, with Postgres in the place of its KeeperMap).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from faust.types import TP

from projections.records import framed
from streams.clock import Clock
from streams.database import Database, Waiting, persist
from streams.metrics import Metrics
from streams.polls import Batch, polls
from streams.positions import Move, Position, Positions
from streams.processors.commit import Commit
from streams.processors.intake import Intake
from streams.processors.taken import Taken
from streams.records import Records
from streams.statements import statement

log = logging.getLogger(__name__)

# The views fold an insert to a row per key, so a large insert costs each of them little more than a small one.
INSERT_EVENTS_MAX = 200_000
# While ClickHouse decodes one insert and folds another, the third is screened and sent.
INSERTS_AT_ONCE = 3
# A full insert for each partition of a topic, some 100 MB in columns: an event in an insert of 200,000 costs ClickHouse
# half of what it costs in one of 50,000. Past this the log itself is the better queue.
HELD_EVENTS_MAX = 4 * INSERT_EVENTS_MAX
# An insert of ten events costs ClickHouse and its views what one of a thousand does, 40 ms of a core: where few events
# come, a moment is waited for more. History is for analysts, who do not notice.
GATHERED_EVENTS_MIN, GATHER_S = 1_000, 2.0

_WRITE_RANGE = statement("write_range")
_READ_RANGE = statement("read_range")


class EventsTables(Protocol):
    """Where history goes; `streams.clickhouse.Events`."""

    #: What it raises while the server is away.
    passing: tuple[type[BaseException], ...]

    def insert(self, topic: str, rows: bytes, token: str, facts: frozenset[str]) -> None:
        """Insert a topic's rows, which hold these facts, once per token; raises one of `passing` while away."""


@dataclass(slots=True)
class _Queue:
    """One partition's records that wait to be written, and the task that writes them, in the order of the log."""

    tp: TP
    claim_number: int
    #: The offset that follows all that has been queued.
    high: int
    stretches: list[Records] = field(default_factory=list)
    writer: asyncio.Task[None] | None = None
    #: Whether anything was written since the partition was claimed: then nothing interrupted is left of it.
    resumed: bool = False
    #: Whether the last insert was a small one: then the next waits a moment for more.
    trickles: bool = False
    #: Whether records that an older version set aside are to be written first.
    set_aside: bool = False

    def __len__(self) -> int:
        return sum(map(len, self.stretches))

    def add(self, records: Records) -> None:
        """Queue the records that were not queued before."""
        fresh = records.since(self.high)
        if fresh.low < fresh.high:
            self.stretches.append(fresh)
            self.high = fresh.high

    def first(self, high: int | None) -> Records:
        """What the next insert takes: up to this offset, or as much as an insert holds."""
        queued = Records.joined(self.stretches)
        return queued.first(INSERT_EVENTS_MAX) if high is None else queued.before(high)

    def drop(self, high: int) -> None:
        """Drop what has been written."""
        self.stretches = [left for each in self.stretches if (left := each.since(high)).low < left.high]


class HistoryProcessor:
    """Writes the log into ClickHouse: each partition in order, several partitions side by side."""

    def __init__(
        self,
        *,
        events: EventsTables,
        intake: Intake,
        positions: Positions,
        database: Database,
        commit: Commit,
        metrics: Metrics,
        clock: Clock,
        waiting: Waiting,
    ) -> None:
        self._events = events
        self._intake = intake
        self._positions = positions
        self._database = database
        self._commit = commit
        self._metrics = metrics
        self._clock = clock
        self._waiting = waiting
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
                    queue = self._queues.setdefault(tp, _Queue(tp, claim_number, self._positions[tp].stored))
                    queue.add(records)
                    queue.set_aside |= tp in self._positions.set_aside
                    if queue.writer is None or queue.writer.done():
                        queue.writer = writing.create_task(self._write(queue))
                await self._bounded(claim_number)

    async def _bounded(self, claim_number: int) -> None:
        """Wait while too much is held, so that the rest waits in the broker."""
        while claim_number == self._positions.claim_number:
            busy = [queue.writer for queue in self._queues.values() if queue.writer and not queue.writer.done()]
            if not busy or sum(map(len, self._queues.values())) < HELD_EVENTS_MAX:
                return
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)

    async def _write(self, queue: _Queue) -> None:
        """Write all of a partition that can be written; an interrupted range that is still short is held back."""
        while (queue.stretches or queue.set_aside) and queue.claim_number == self._positions.claim_number:
            if queue.set_aside:
                if not await self._once(queue, partial(self._take_up_set_aside, queue)):
                    return
                continue
            if queue.trickles and len(queue) < GATHERED_EVENTS_MIN:
                await asyncio.sleep(GATHER_S)
            low = self._positions[queue.tp].stored
            high = await self._interrupted(queue.tp, low) if not queue.resumed else None
            if high is not None and queue.high < high:
                return
            if queue.claim_number != self._positions.claim_number:
                return
            records = queue.first(high)
            if not await self._once(queue, partial(self._insert, queue, records)):
                return
            queue.resumed = True
            queue.trickles = len(records) < GATHERED_EVENTS_MIN
            queue.drop(records.high)

    async def _interrupted(self, tp: TP, low: int) -> int | None:
        """Where the range ends that a worker was writing when it died, if one was."""
        row = await self._database.read(
            lambda connection: connection.fetchrow(_READ_RANGE, self._positions.group, tp.topic, tp.partition)
        )
        return row["high"] if row is not None and row["low"] == low and row["high"] > low else None

    async def _once(self, queue: _Queue, work: Callable[[], Awaitable[None]]) -> bool:
        """Do one insert, among those that may be under way at once; False when the claim is over."""
        async with self._inserting:
            if queue.claim_number != self._positions.claim_number:
                return False
            return await self._commit.fencing(queue.claim_number, work)

    async def _take_up_set_aside(self, queue: _Queue) -> None:
        """Write records that an older version set aside. Those of a crashed attempt are the same. Raises Fenced."""
        tp, earlier = queue.tp, self._positions.set_aside.get(queue.tp)
        queue.set_aside = False
        if earlier:
            named = f"{earlier[0].offset}-{earlier[-1].offset}-{len(earlier)}"
            token = f"{self._positions.group}:{tp.topic}:{tp.partition}:set-aside:{named}"
            await self._write_taken(queue, Records.of([], self._positions[tp].stored), token, set_aside=True)
            queue.set_aside = tp in self._positions.set_aside

    async def _insert(self, queue: _Queue, records: Records) -> None:
        """Write a range that begins at the stored position. Raises Fenced."""
        tp, position = queue.tp, self._positions[queue.tp]
        token = f"{self._positions.group}:{tp.topic}:{tp.partition}:{records.low}-{records.high}"
        await self._database.write(lambda connection: self._intend(connection, tp, position, records, token))
        # Only what is of the range: an insert that is made again under its token must be the same.
        await self._write_taken(queue, records, token, set_aside=False)

    async def _write_taken(self, queue: _Queue, records: Records, token: str, *, set_aside: bool) -> None:
        taken = await self._intake.take({queue.tp: records}, self._positions, set_aside=set_aside)
        if taken is None:
            return
        await self._send(taken, queue.tp, token)
        await self._commit.store(queue.claim_number, taken.moves, taken.dead)
        taken.settle()
        self._metrics.taken(taken, self._clock.now_ms())

    async def _intend(self, connection: Any, tp: TP, position: Position, records: Records, token: str) -> None:
        move = Move(tp, position.epoch, records.low, records.high)
        await self._positions.hold(connection, move)
        await connection.execute(
            _WRITE_RANGE, self._positions.group, tp.topic, tp.partition, records.low, records.high, token
        )

    async def _send(self, taken: Taken, tp: TP, token: str) -> None:
        records = taken.records[tp]
        if not len(records):
            return

        def insert() -> None:
            rows = framed(records.values, records.offsets, tp.topic, tp.partition)
            self._events.insert(tp.topic, rows, token, taken.facts)

        await persist("ClickHouse", lambda: asyncio.to_thread(insert), self._waiting, self._events.passing)
