"""Worker: answers requests by four tiers, always before the deadline. Knows neither Kafka nor a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from inference.agent import Agent
from inference.attempt import Attempt, Question, by_engine
from inference.batching import Batches
from inference.chain import Chain
from inference.counters import Counters
from inference.engines.engine import Engine, models_of
from inference.ensemble import Ensemble
from inference.prices import LISTED, Prices
from inference.prompts import canonical
from inference.proposing import EXPIRED, NO_MODEL, Draft, Unsafe, proposed, settle
from inference.purse import UNLIMITED, Purse
from inference.router import Route, Router
from inference.safety import unsafe as unsafe_answer
from inference.slots import Pace, Slots, Urgency
from inference.validation import Refused
from schemas import TIERS, DecisionExpired, DecisionRejected, DecisionRequested, Event

# Of the time until the deadline; the rest is for falling back and for the answer's way to the log.
ENGINE_SHARE = 0.9
# A redelivered request follows soon after its first delivery; at 100 bytes each these take a megabyte.
RECENT_MAX = 10_000
# So many wait for each slot: enough to put in order and to find those that are alike, few enough to do again after a
# crash.
IN_FLIGHT_PER_SLOT = 8
# Requests that the rules or the cache answer need no slot, and one slow engine shall not hold them up.
IN_FLIGHT_MIN = 64


class Worker:
    """Answers requests: by rules, from the cache, in one call with others like it, or alone in full."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        engines: Mapping[str, Engine | None],
        *,
        router: Router,
        batches: Batches,
        ensemble: Ensemble | None = None,
        purse: Purse = UNLIMITED,
        unsafe: Unsafe = unsafe_answer,
        prices: Prices = LISTED,
        now_ms: Callable[[], int],
    ) -> None:
        """`engines` are those of the tiers served here; None where the rules answer. One engine may serve several.

        `now_ms` tells milliseconds since 1970. Raises UnknownPrice for an engine whose model has no price.
        """
        for engine in engines.values():
            prices.check(models_of(engine) if engine else ())
        self.counters = Counters()
        self._agents = agents
        self._engines = engines
        self._router = router
        self._batches = batches
        self._ensemble = ensemble
        self._purse = purse
        self._unsafe = unsafe
        self._prices = prices
        self._now_ms = now_ms
        self._slots = _slots(engines)
        # A chain knows the pace of each of its engines.
        self._paces = {
            id(engine): Pace() for engine in engines.values() if engine is not None and not isinstance(engine, Chain)
        }
        self._working: set[str] = set()
        self._recent: dict[str, None] = {}

    async def start(self) -> None:
        """Make the engines ready, so that the first decision need not wait for them. Raises EngineRefused."""
        for engine in self._distinct():
            await engine.start()
        if self._ensemble is not None:
            await self._ensemble.start()

    async def close(self) -> None:
        """Abort what is in work and give back what the engines hold."""
        for engine in self._distinct():
            await engine.close()
        if self._ensemble is not None:
            await self._ensemble.close()

    @property
    def in_flight_max(self) -> Mapping[str, int]:
        """How many requests of each tier are worth having in hand."""
        return {
            tier: max(IN_FLIGHT_MIN, IN_FLIGHT_PER_SLOT * engine.slots if engine else 0)
            for tier, engine in self._engines.items()
        }

    async def answer(self, event: Event) -> list[Message]:
        """The facts that an event leads to: none if it is no request, or one that is being or has been answered.

        Whoever takes facts puts them on the log or dies, because they are not given again.
        """
        if not event.HasField("decision_requested"):
            return []
        request = event.decision_requested
        decision_id = request.decision_id
        if decision_id in self._recent or decision_id in self._working:
            self.counters.repeated += 1
            return []
        self._working.add(decision_id)
        try:
            facts = await self._answered(request)
        finally:
            self._working.discard(decision_id)
        self._recent[decision_id] = None
        while len(self._recent) > RECENT_MAX:
            del self._recent[next(iter(self._recent))]
        return facts

    async def _answered(self, request: DecisionRequested) -> list[Message]:
        begun_ms = self._now_ms()
        question = Question.of(request, self._agents)
        if isinstance(question, Refused):
            self.counters.rejected += 1
            reason = f"{question.reason}: {question.detail}"
            return [DecisionRejected(decision_id=request.decision_id, agent=request.agent, reason=reason)]
        if begun_ms >= request.deadline_ms:
            return self._expired(question)
        route = self._router.route(question)
        draft = await self._drafted(question, route)
        settled = settle(question, draft, self._unsafe)
        proposal = proposed(question, draft, settled)
        # Of what waited for others the log says for how many the call was made, also where its answer was not used.
        together = draft.batch_size if route.kind == "batch" else 0
        why = {**route.why, "together": together} if together else route.why
        proposal.complexity, proposal.why = route.complexity, canonical(why)
        proposal.latency_ms = max(0, self._now_ms() - begun_ms)
        self._router.learned(
            question,
            settled.answer,
            route=proposal.route,
            fallback_reason=proposal.fallback_reason,
            safety=proposal.safety,
        )
        self.counters.count(proposal, draft, question.tier, settled.fault, together)
        # The proposal before its costs: once the costs are told, so is what they were for.
        return [*draft.facts, *settled.unsafe, proposal, *draft.costs]

    def _expired(self, question: Question) -> list[Message]:
        """The default, and why: decide sees to it that it takes effect only where nothing else has."""
        request, draft = question.request, Draft(EXPIRED, "rule")
        settled = settle(question, draft, self._unsafe)
        proposal = proposed(question, draft, settled)
        self.counters.expired += 1
        self.counters.count(proposal, draft, question.tier, EXPIRED)
        expired = DecisionExpired(decision_id=request.decision_id, agent=request.agent, deadline_ms=request.deadline_ms)
        return [expired, proposal]

    async def _drafted(self, question: Question, route: Route) -> Draft:
        if route.answer is not None:
            return Draft(route.answer, route.kind, engine=route.kind)
        if question.agent.ensemble and self._ensemble is not None:
            return await self._voted(question, self._ensemble)
        if self._engines.get(question.tier) is None:
            return Draft(NO_MODEL, "rule")
        if route.kind == "batch":
            attempt, size = await self._batches.join(route.group, question, self._ask)
        else:
            attempt, size = await self._ask(question), 1
        # To whom nobody came has had a call of its own, whatever it waited for.
        return Draft.of(attempt, question, "batch" if size > 1 else "full", size)

    async def _ask(self, question: Question) -> Attempt:
        engine, prompt, request = self._engines[question.tier], question.prompt(), question.request
        assert engine is not None  # looked up before
        if isinstance(prompt, Refused):
            return Attempt(prompt)
        return await by_engine(
            engine,
            question,
            prompt,
            slots=self._slots[id(engine)].turn(Urgency.of(question.tier, request.deadline_ms)),
            allowed_ms=self._allowed_ms(question),
            now_ms=self._now_ms,
            purse=self._purse,
            pace=self._paces.get(id(engine)),
            prices=self._prices,
        )

    async def _voted(self, question: Question, ensemble: Ensemble) -> Draft:
        prompt = question.prompt()
        if isinstance(prompt, Refused):
            return Draft(prompt, "full")
        allowed_ms = self._allowed_ms(question)
        verdict = await ensemble.decide(question, prompt, allowed_ms=allowed_ms, unsafe=self._unsafe)
        return Draft(
            verdict.outcome,
            "full",
            verdict.engine,
            verdict.model,
            confidence=verdict.confidence,
            impact=verdict.impact,
            batch_size=1,
            text=verdict.text,
            facts=verdict.facts,
            costs=verdict.costs,
            prompt_hash=prompt.digest(),
        )

    def _allowed_ms(self, question: Question) -> int:
        return max(0, int((question.request.deadline_ms - self._now_ms()) * ENGINE_SHARE))

    def _distinct(self) -> list[Engine]:
        return list({id(engine): engine for engine in self._engines.values() if engine is not None}.values())


def _slots(engines: Mapping[str, Engine | None]) -> Mapping[int, Slots]:
    """The slots of each engine, by its identity."""
    users = Counter(id(engine) for engine in engines.values())
    first = engines.get(TIERS[0])
    return {
        id(engine): Slots(engine.slots, serves_first=engine is first and users[id(engine)] > 1)
        for engine in engines.values()
        if engine is not None
    }
