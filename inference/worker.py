"""Worker: answers requests from an engine or by rules, always before the deadline. Knows neither Kafka nor a clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from google.protobuf.message import Message

from inference.agent import Agent, Answer
from inference.attempt import Attempt, Question, by_engine, by_rules
from inference.engines.engine import Engine
from inference.prices import cost_usd_micros
from inference.prompts import Prompt
from inference.validation import Refused
from schemas import DecisionExpired, DecisionProposed, DecisionRejected, Event

# Of the time until the deadline; the rest is for falling back and for the answer's way to the log.
ENGINE_SHARE = 0.9
# A redelivered request follows soon after its first delivery; at 100 bytes each these take a megabyte.
RECENT_MAX = 10_000
# Reasons are for people to read: of what an engine said this many characters are kept.
REASON_MAX = 200

NO_MODEL = Refused("no_model", "no model package installed")


@dataclass
class Counters:
    """What a worker has done since it began: answers by route, fallbacks by reason, and requests not answered."""

    routes: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    expired: int = 0
    rejected: int = 0
    repeated: int = 0


class Worker:
    """Answers requests, by the engine at most `engine.slots` at once; without an engine the rules answer."""

    def __init__(self, agents: Mapping[str, Agent], engine: Engine | None, *, now_ms: Callable[[], int]) -> None:
        """`now_ms` tells milliseconds since 1970. Raises UnknownPrice for an engine whose model has no price."""
        if engine is not None:
            cost_usd_micros(engine.model, 0, 0, 0)
        self.counters = Counters()
        self._agents = agents
        self._engine = engine
        self._now_ms = now_ms
        self._slots = asyncio.Semaphore(engine.slots if engine is not None else 1)
        self._recent: dict[str, None] = {}

    async def start(self) -> None:
        """Make the engine ready, so that the first decision need not wait for it. Raises EngineRefused."""
        if self._engine is not None:
            await self._engine.start()

    async def close(self) -> None:
        """Abort what is in work and give back what the engine holds."""
        if self._engine is not None:
            await self._engine.close()

    async def answer_all(self, events: Iterable[Event]) -> list[tuple[Event, list[Message]]]:
        """What `answers` gives, when all of it is there; cancelled before that, nothing counts as handed out."""
        done = [pair async for pair in self._answers(events)]
        for event, _ in done:
            self._remember(event)
        return done

    async def answers(self, events: Iterable[Event]) -> AsyncGenerator[tuple[Event, list[Message]], None]:
        """Every event with the facts it leads to, each as soon as it is answered; the earliest deadline begins first.

        A decision handed out before leads to no facts, and nor does an event that is no request. Whoever takes facts
        puts them on the log or dies, because they are not given again.
        """
        async with aclosing(self._answers(events)) as pairs:
            async for event, facts in pairs:
                self._remember(event)
                yield event, facts

    async def answer(self, event: Event) -> list[Message]:
        """The facts one request leads to: expired, or rejected, or a proposal and what was spent on it."""
        request, begun_ms = event.decision_requested, self._now_ms()
        decision = {"decision_id": request.decision_id, "agent": request.agent}
        if begun_ms >= request.deadline_ms:
            self.counters.expired += 1
            return [DecisionExpired(**decision, deadline_ms=request.deadline_ms)]
        question = Question.of(request, self._agents)
        if isinstance(question, Refused):
            self.counters.rejected += 1
            return [DecisionRejected(**decision, reason=f"{question.reason}: {question.detail}")]
        prompt = question.prompt()
        attempt = await self._attempt(question, prompt, begun_ms)
        proposed = self._proposed(question, attempt.outcome)
        proposed.prompt_hash = prompt.digest() if isinstance(prompt, Prompt) else ""
        proposed.latency_ms = max(0, self._now_ms() - begun_ms)
        return [proposed] if attempt.cost is None else [proposed, attempt.cost]

    async def _attempt(self, question: Question, prompt: Prompt | Refused, begun_ms: int) -> Attempt:
        if self._engine is None:
            return Attempt(NO_MODEL)
        if isinstance(prompt, Refused):
            return Attempt(prompt)
        allowed_ms = int((question.request.deadline_ms - begun_ms) * ENGINE_SHARE)
        return await by_engine(
            self._engine, question, prompt, slots=self._slots, allowed_ms=allowed_ms, now_ms=self._now_ms
        )

    def _proposed(self, question: Question, outcome: Answer | Refused) -> DecisionProposed:
        proposed = DecisionProposed(decision_id=question.request.decision_id, agent=question.agent.name)
        if isinstance(outcome, Refused):
            answer, fault = by_rules(question)
            proposed.engine = proposed.route = "rule"
            refused = outcome.detail if outcome is NO_MODEL else f"{outcome.reason}: {outcome.detail}"
            proposed.fallback_reason = "; ".join(filter(None, [refused[:REASON_MAX], fault]))
            self.counters.fallbacks[outcome.reason] += 1
        else:
            assert self._engine is not None  # no other answers
            answer, proposed.route = outcome, "full"
            proposed.engine, proposed.model = self._engine.name, self._engine.model
        self.counters.routes[proposed.route] += 1
        proposed.action, proposed.content = answer.action, answer.json()
        return proposed

    async def _answers(self, events: Iterable[Event]) -> AsyncGenerator[tuple[Event, list[Message]], None]:
        fresh: dict[str, Event] = {}
        settled: list[Event] = []
        for event in events:
            asked = event.HasField("decision_requested")
            decision_id = event.decision_requested.decision_id
            if asked and decision_id not in self._recent and decision_id not in fresh:
                fresh[decision_id] = event
            else:
                settled.append(event)
                self.counters.repeated += asked
        in_order = sorted(fresh.values(), key=lambda event: event.decision_requested.deadline_ms)
        tasks = [asyncio.create_task(self._paired(event)) for event in in_order]
        try:
            for event in settled:
                yield event, []
            for task in asyncio.as_completed(tasks):
                yield await task
        finally:
            for unfinished in tasks:
                unfinished.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _paired(self, event: Event) -> tuple[Event, list[Message]]:
        return event, await self.answer(event)

    def _remember(self, event: Event) -> None:
        if event.HasField("decision_requested"):
            self._recent[event.decision_requested.decision_id] = None
        while len(self._recent) > RECENT_MAX:
            del self._recent[next(iter(self._recent))]
