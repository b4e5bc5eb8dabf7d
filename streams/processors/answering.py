"""Steps that turn a poll's events into facts on the log: shared by decide and infer.

What they publish is acknowledged by the broker before the positions move, so a crash repeats work but loses none; the
ids of what they publish are derived from what they answer, so a repeat is the same decision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from google.protobuf.message import Message

from schemas import Event, EventRefused
from streams.dead_letters import DeadLetter, Publisher
from streams.positions import Move
from streams.processors.commit import Commit, Effect

log = logging.getLogger(__name__)

# The broker acknowledges in milliseconds; while it is away this is how often that is said.
FLUSH_TIMEOUT_S = 10.0


class Answering:
    """Publishes answers, and moves the positions once they are acknowledged."""

    def __init__(self, role: str, publisher: Publisher, commit: Commit) -> None:
        self.commit = commit
        self._role = role
        self._publisher = publisher

    def publish(self, event: Event, facts: Sequence[Message]) -> None:
        """Queue what an event led to, under the same subject."""
        for fact in facts:
            try:
                self._publisher.publish(fact, subject=event.subject, cause=event.id, trace=event.trace)
            except EventRefused as refused:
                # Its asker did not keep to the limits. Without an answer the decision ends when its time is over.
                log.error("%s about %r was not written: %s", type(fact).__name__, event.subject, refused)

    async def acknowledged(self) -> None:
        """Wait until the broker has all that was published."""
        while await asyncio.to_thread(self._publisher.flush, FLUSH_TIMEOUT_S):
            log.warning("%s: Kafka has not acknowledged the answers yet; waiting", self._role)

    async def finish(
        self, claim_number: int, moves: list[Move], dead: Sequence[DeadLetter], effect: Effect | None = None
    ) -> bool:
        """Wait until all that was published is acknowledged, then store the moves; False when the claim is over."""
        if not moves:
            return True
        await self.acknowledged()
        return await self.commit.run(claim_number, moves, dead, effect)
