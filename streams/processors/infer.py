"""Infer: requests become decisions and their costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from inference.slots import Urgency
from inference.worker import Worker
from schemas import TIERS, Event
from streams.clock import Clock
from streams.metrics import Metrics
from streams.polls import Batch, Poll, polls
from streams.positions import Positions
from streams.processors.answering import Answering
from streams.processors.flow import Flow, Tap
from streams.processors.intake import Intake
from streams.processors.prefix import Piece, Prefix

#: Of a poll: what is polled is taken in hand though its tier is full, so that it holds up no other tier.
POLL_EVENTS_MAX = 64
# What a position moves over at once: after a crash as many at most are answered again for one that was not.
PIECE_RECORDS = 16


@dataclass(slots=True)
class Hand:
    """What was taken up under one claim: the requests in flight, who answers them, and the pieces of the log."""

    flow: Flow
    #: None once the claim is known to be lost.
    claim_number: int | None
    prefix: Prefix = field(default_factory=Prefix)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def drop(self) -> None:
        """Abort everything: whoever claims the partitions next is given it again."""
        for task in self.tasks:
            task.cancel()
        self.flow.end()


class InferProcessor:
    """Takes up polls while earlier requests are still in work, and publishes each answer as soon as it is there.

    A partition's position follows the answers that the broker has acknowledged, as far as there is no gap.
    """

    def __init__(
        self,
        worker: Worker,
        intake: Intake,
        answering: Answering,
        positions: Positions,
        metrics: Metrics,
        clock: Clock,
        tap: Tap,
    ) -> None:
        self._worker = worker
        self._intake = intake
        self._answering = answering
        self._positions = positions
        self._metrics = metrics
        self._clock = clock
        self._tap = tap
        self._high_water = worker.in_flight_max
        self._hand = self._new_hand(positions.claim_number)
        # Set when there may be something to store.
        self._progress = asyncio.Event()
        self._over = False
        positions.on_claim.append(lambda: self._take_in_hand(positions.claim_number))
        answering.commit.on_fenced.append(lambda: self._take_in_hand(None))

    def in_hand(self) -> Mapping[str, int]:
        """How many requests of each tier are being answered."""
        return self._hand.flow.in_hand

    async def run(self, stream: AsyncIterator[Batch]) -> None:
        """Answer until the stream ends. Raises EngineRefused when an engine cannot be made ready."""
        await self._worker.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._store())
                await self._take_up(stream, group)
                self._over = True
                self._progress.set()
        finally:
            self._hand.drop()
            await self._worker.close()

    async def _take_up(self, stream: AsyncIterator[Batch], group: asyncio.TaskGroup) -> None:
        async for poll in polls(stream, self._positions):
            if poll.claim_number == self._hand.claim_number:
                requests = [pair async for pair in self._pieces(poll)]
                for event, piece in sorted(requests, key=_urgency):
                    self._begin(event, piece, group)
                self._progress.set()
            # Until there is room the stream's buffer stays full, and so the poll loop waits; heartbeats go on.
            await self._hand.flow.room.wait()

    async def _pieces(self, poll: Poll) -> AsyncIterator[tuple[Event, Piece]]:
        hand = self._hand
        for tp, records in poll.records.items():
            while records.low < records.high or tp in self._positions.set_aside:
                part = records.first(PIECE_RECORDS)
                records = records.since(part.high)
                taken = await self._intake.take({tp: part}, self._positions)
                if hand is not self._hand:
                    return
                if taken is None:
                    continue
                taken.settle()
                [move] = taken.moves
                requests = [one.event for one in taken.admitted if not one.past]
                self._metrics.passed_over.inc(taken.events - len(requests))
                piece = hand.prefix.add(move, taken.dead, len(requests))
                for request in requests:
                    yield request, piece

    def _begin(self, event: Event, piece: Piece, group: asyncio.TaskGroup) -> None:
        hand, tier = self._hand, event.decision_requested.tier
        tier = tier if tier in self._high_water else next(iter(self._high_water))
        hand.flow.began(tier)
        task = group.create_task(self._answer(event, piece))
        hand.tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            hand.tasks.discard(task)
            hand.flow.ended(tier)

        task.add_done_callback(ended)

    async def _answer(self, event: Event, piece: Piece) -> None:
        # No wait between the two: facts that were given are not given again.
        self._answering.publish(event, await self._worker.answer(event))
        piece.unanswered -= 1
        self._progress.set()

    async def _store(self) -> None:
        while not self._over or self._hand.prefix:
            await self._progress.wait()
            self._progress.clear()
            hand = self._hand
            moves, dead = hand.prefix.pop()
            if not moves or hand.claim_number is None:
                continue
            if await self._answering.finish(hand.claim_number, moves, dead):
                self._metrics.stored(sum(move.events for move in moves), self._clock.now_ms())

    def _take_in_hand(self, claim_number: int | None) -> None:
        self._hand.drop()
        self._hand = self._new_hand(claim_number)
        self._progress.set()

    def _new_hand(self, claim_number: int | None) -> Hand:
        return Hand(Flow(self._high_water, self._tap), claim_number)


def _urgency(pair: tuple[Event, Piece]) -> Urgency:
    request = pair[0].decision_requested
    return Urgency.of(request.tier if request.tier in TIERS else TIERS[-1], request.deadline_ms)
