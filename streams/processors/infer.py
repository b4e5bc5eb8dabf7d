"""Infer: requests become decisions and their costs."""

from __future__ import annotations

from collections.abc import AsyncIterator

from inference.worker import Worker
from streams.clock import Clock
from streams.metrics import Metrics
from streams.processors.answering import Answering
from streams.transport import Batch, Claims, polls


class InferProcessor:
    """Answers a poll's requests together; the positions move when every answer is on the log."""

    def __init__(self, worker: Worker, answering: Answering, claims: Claims, metrics: Metrics, clock: Clock) -> None:
        self._worker = worker
        self._answering = answering
        self._claims = claims
        self._metrics = metrics
        self._clock = clock

    async def run(self, stream: AsyncIterator[Batch]) -> None:
        """Answer until the stream ends. Raises EngineRefused when the engine cannot be made ready."""
        await self._worker.start()
        try:
            await self._answer(stream)
        finally:
            await self._worker.close()

    async def _answer(self, stream: AsyncIterator[Batch]) -> None:
        async for poll in polls(stream, self._claims):
            events, moves, dead = self._answering.take(poll)
            self._metrics.in_flight.set(len(events))
            async for event, facts in self._worker.answers(events):
                self._answering.publish(event, facts)
            self._metrics.in_flight.set(0)
            await self._answering.finish(moves, dead, poll.claim_number)
            self._metrics.stored(len(events), self._clock.now_ms())
            self._metrics.dead(len(dead))
