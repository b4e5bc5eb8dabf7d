"""Decide: events that call for a decision become requests; proposals are judged and take effect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from google.protobuf.message import Message

from inference.agent import Agent
from inference.governance import judge
from inference.requests import requests_for
from schemas import DecisionProposed, Event, fact_of
from streams.clock import Clock
from streams.metrics import Metrics
from streams.processors.answering import Answering
from streams.transport import Batch, Claims, polls


class DecideProcessor:
    """Asks the agents whose trigger an event is, and judges what they propose."""

    def __init__(
        self, agents: Mapping[str, Agent], answering: Answering, claims: Claims, metrics: Metrics, clock: Clock
    ) -> None:
        self._agents = agents
        self._answering = answering
        self._claims = claims
        self._metrics = metrics
        self._clock = clock

    async def run(self, stream: AsyncIterator[Batch]) -> None:
        """Decide until the stream ends."""
        async for poll in polls(stream, self._claims):
            events, moves, dead = self._answering.take(poll)
            for event in events:
                self._answering.publish(event, self._led_to(event))
            await self._answering.finish(moves, dead, poll.claim_number)
            self._metrics.stored(len(events), self._clock.now_ms())
            self._metrics.dead(len(dead))

    def _led_to(self, event: Event) -> list[Message]:
        fact = fact_of(event)
        if isinstance(fact, DecisionProposed):
            return [judge(fact, self._agents)]
        return list(requests_for(event, self._agents))
