"""Steps that turn a poll's events into facts on the log: shared by decide and infer.

What they publish is acknowledged by the broker before the positions move, so a crash repeats work but loses none; the
ids of what they publish are derived from what they answer, so a repeat is the same decision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from faust.types import TP
from google.protobuf.message import Message

from schemas import Event, EventRefused, PermanentError, decode, fact_of
from streams import dead_letters
from streams.database import Database
from streams.dead_letters import DeadLetter, Publisher
from streams.metrics import Metrics
from streams.positions import Fenced, Move, Positions
from streams.transport import Poll, Regain

log = logging.getLogger(__name__)

# The broker acknowledges in milliseconds; while it is away this is how often that is said.
FLUSH_TIMEOUT_S = 10.0


class Answering:
    """Takes up polls, publishes answers, and moves the positions once they are acknowledged."""

    def __init__(
        self,
        role: str,
        *,
        publisher: Publisher,
        positions: Positions,
        database: Database,
        metrics: Metrics,
        regain: Regain,
    ) -> None:
        self._role = role
        self._publisher = publisher
        self._positions = positions
        self._database = database
        self._metrics = metrics
        self._regain = regain
        #: Called at once when a claim turns out to be lost, before it is regained.
        self.on_fenced: list[Callable[[], None]] = []

    def take(self, poll: Poll) -> tuple[list[Event], list[Move], list[DeadLetter]]:
        """A poll's events that were not taken up before, the moves over them, and what is not an event."""
        events: list[Event] = []
        moves: list[Move] = []
        dead: list[DeadLetter] = []
        for tp, records in poll.records.items():
            position = self._positions[tp]
            fresh = [record for record in records if record.offset >= position.reading]
            if not fresh:
                continue
            before, had = position.dots.copy(), len(events)
            self._decode(fresh, tp, events, dead)
            low, high = position.reading, fresh[-1].offset + 1
            stamp = max((event.stamp for event in events[had:]), default=0)
            changed = position.dots.changed_since(before)
            moves.append(Move(tp, position.epoch, low, high, len(events) - had, stamp, changed))
            position.reading = high
        return events, moves, dead

    def _decode(self, records: Sequence[Any], tp: TP, events: list[Event], dead: list[DeadLetter]) -> None:
        dots = self._positions[tp].dots
        for record in records:
            try:
                event = decode(record.value or b"")
                fact_of(event)
            except PermanentError as error:
                dead.append(DeadLetter.of(record, tp, self._role, error.reason, error))
            else:
                if dots.admit(event.origin, event.sequence):
                    events.append(event)

    def publish(self, event: Event, facts: Sequence[Message]) -> None:
        """Queue what an event led to, under the same subject."""
        for fact in facts:
            try:
                self._publisher.publish(fact, subject=event.subject, cause=event.id, trace=event.trace)
            except EventRefused as refused:
                # Its asker did not keep to the limits. Without an answer the decision ends when its time is over.
                log.error("%s about %r was not written: %s", type(fact).__name__, event.subject, refused)

    async def finish(self, moves: list[Move], dead: list[DeadLetter], claim_number: int) -> None:
        """Wait until all that was published is acknowledged, then store the moves."""
        if not moves:
            return
        while await asyncio.to_thread(self._publisher.flush, FLUSH_TIMEOUT_S):
            log.warning("%s: Kafka has not acknowledged the answers yet; waiting", self._role)

        async def store(connection: Any) -> None:
            if await self._positions.advance(connection, moves):
                await dead_letters.store(connection, dead)

        try:
            await self._database.write(store)
        except Fenced as fenced:
            log.warning("%s", fenced)
            self._metrics.fenced.inc()
            for tell in self.on_fenced:
                tell()
            await self._regain(claim_number)
            return
        self._positions.stored(moves, claim_number)
