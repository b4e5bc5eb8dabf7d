"""Ensemble: several models are asked at once, and what most of their weight votes for is decided (spec C.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf.message import Message

from inference.agent import CHOSEN, Answer, Impact
from inference.attempt import Attempt, Question, by_engine, dearest_within, least_usd_micros
from inference.breaker import Breaker, RateBreaker
from inference.consensus import Consensus, Vote, consensus, settled, units
from inference.engines.engine import ALLOWED_MS, Engine, EngineRefused, models_of, service_of
from inference.governance import gravest
from inference.guarded import Guarded
from inference.prices import LISTED, Prices
from inference.prompts import Prompt
from inference.proposing import UNSAFE_REASONS, Unsafe, found_unsafe
from inference.purse import UNLIMITED, Purse
from inference.safety import unsafe as unsafe_answer
from inference.seat_call import NOT_NEEDED, SeatCall
from inference.validation import Refused
from schemas import AnswerFoundUnsafe, ConsensusReached, CostSampled, ModelsInsufficient, VoteCast

#: Spec C.1 and A.4: fewer valid answers are no consensus.
VALID_MIN = 2
# A detail is for people to read; an event holds 10 KB.
DETAIL_MAX = 400


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A model's seat in an ensemble: the name it votes under, what its vote weighs, and the engine that is asked.

    Seats of one engine are told apart by `draw`, which changes the seed, and by `temperature`: one model that is asked
    several times agrees with itself as far as it is sure (self-consistency).
    """

    name: str
    weight: float
    engine: Engine
    draw: int = 0
    temperature: float | None = None

    def prompt(self, prompt: Prompt) -> Prompt:
        """What this seat is asked."""
        temperature = prompt.temperature if self.temperature is None else self.temperature
        return replace(prompt, seed=(prompt.seed + self.draw) & 0xFFFF_FFFF, temperature=temperature)


@dataclass
class Verdict:
    """What an ensemble came to: an answer, or why there is none; its facts, and what each call has cost.

    engine, model: whose content it is. text: what that model wrote.
    """

    outcome: Answer | Refused
    confidence: float
    impact: Impact
    engine: str = ""
    model: str = ""
    text: str = ""
    facts: list[Message] = field(default_factory=list)
    costs: list[CostSampled] = field(default_factory=list)


class Ensemble:
    """Seats whose votes decide. One seat alone is single-model mode (spec, Phase 1): its answer is the decision."""

    def __init__(
        self,
        seats: Sequence[Seat],
        *,
        now_ms: Callable[[], int],
        purse: Purse = UNLIMITED,
        prices: Prices = LISTED,
        breaker: Callable[[], Breaker] = RateBreaker,
    ) -> None:
        """Each model of a service gets a breaker. Raises EngineRefused, and UnknownPrice where there is no price."""
        if not seats or any(units(seat.weight) <= 0 for seat in seats):
            raise EngineRefused("an ensemble needs at least one seat, and every seat a weight above 0")
        if len({seat.name for seat in seats}) < len(seats):
            raise EngineRefused("two seats of an ensemble have the same name: each votes under a name of its own")
        prices.check(model for seat in seats for model in models_of(seat.engine))
        self.needed = min(VALID_MIN, len(seats))
        breakers = {_asked_at(seat): breaker() for seat in seats}
        engines = {id(seat.engine): seat.engine for seat in seats}
        self._engines = list(engines.values())
        self._slots = {key: asyncio.Semaphore(engine.slots) for key, engine in engines.items()}
        self._seats = seats
        self._guarded = [Guarded(seat.engine, [breakers[_asked_at(seat)]], now_ms=now_ms) for seat in seats]
        self._purse = purse
        self._prices = prices
        self._now_ms = now_ms

    async def start(self) -> None:
        """Make the engines ready; one that cannot be will cast no vote. Raises EngineRefused when too few can."""
        refusals: dict[int, str] = {}
        for engine in self._engines:
            try:
                await engine.start()
            except EngineRefused as refused:
                refusals[id(engine)] = str(refused)
        if sum(id(seat.engine) not in refusals for seat in self._seats) < self.needed:
            raise EngineRefused("; ".join(refusals.values()))

    async def close(self) -> None:
        """Close the engines, whatever becomes of one of them."""
        for failure in await asyncio.gather(*(engine.close() for engine in self._engines), return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure

    async def decide(
        self, question: Question, prompt: Prompt, *, allowed_ms: int, unsafe: Unsafe = unsafe_answer
    ) -> Verdict:
        """Ask every seat at once, each for 5.0 s or for what is left, and decide by what they vote.

        An answer that is unsafe is no vote. Never an error: too few valid answers are a refusal, with the fact that
        says so.
        """
        each_ms = min(ALLOWED_MS, allowed_ms)
        kept_out, money = self._kept_out(question, prompt, each_ms)
        asked = [seat for seat in range(len(self._seats)) if seat not in kept_out]
        if len(asked) < self.needed:
            kept_out |= dict.fromkeys(asked, NOT_NEEDED)
            return self._verdict(question, {}, kept_out, early=False)
        calls = {seat: self._call(seat, question, prompt, each_ms, unsafe, money[seat]) for seat in asked}
        try:
            early = await self._votes_in(calls)
        finally:
            for call in calls.values():
                call.stop()
            await asyncio.gather(*(call.task for call in calls.values()), return_exceptions=True)
        return self._verdict(question, calls, kept_out, early=early)

    def _kept_out(
        self, question: Question, prompt: Prompt, each_ms: int
    ) -> tuple[dict[int, Refused], Mapping[int, int]]:
        """Who is not asked, and how much of the request's money each of the others may spend.

        Not asked are the breakers' seats, and those of which no model can be afforded by what is left.
        """
        money: dict[int, int] = {}
        left = question.request.cost_cap_usd_micros
        kept_out: dict[int, Refused] = {}
        for seat in sorted(range(len(self._seats)), key=lambda seat: (-units(self._seats[seat].weight), seat)):
            engine = self._guarded[seat]
            worst = dearest_within(engine, prompt, each_ms, left, self._prices)
            if engine.open_to(each_ms):
                kept_out[seat] = Refused(
                    "breaker_open", f"{engine.model} of {engine.service} has failed too often of late"
                )
            elif worst is None:
                least = least_usd_micros(engine, prompt, each_ms, self._prices)
                kept_out[seat] = Refused("cost_cap", f"it may cost up to {least} micro-dollars, of {left} left")
            else:
                left -= worst
                money[seat] = worst
        return kept_out, money

    def _call(
        self, number: int, question: Question, prompt: Prompt, each_ms: int, unsafe: Unsafe, cap_usd_micros: int
    ) -> SeatCall:
        seat = self._seats[number]
        call = SeatCall(self._guarded[number], self._now_ms)
        asking = by_engine(
            call,
            question,
            seat.prompt(prompt),
            slots=self._slots[id(seat.engine)],
            allowed_ms=each_ms,
            now_ms=self._now_ms,
            purse=self._purse,
            # What is left of the request's money is the other seats'.
            cap_usd_micros=cap_usd_micros,
            prices=self._prices,
        )
        call.begin(_judged(asking, question, unsafe))
        return call

    async def _votes_in(self, calls: Mapping[int, SeatCall]) -> bool:
        """Wait until no vote that is still out matters; whether any still was."""
        while True:
            out = [seat for seat, call in calls.items() if not call.task.done()]
            if not out:
                return False
            votes = self._votes(calls)
            if len(votes) >= self.needed and settled(votes, [(seat, self._seats[seat].weight) for seat in out]):
                for call in calls.values():
                    call.close_poll()
                return True
            await asyncio.wait([calls[seat].task for seat in out], return_when=asyncio.FIRST_COMPLETED)

    def _votes(self, calls: Mapping[int, SeatCall]) -> list[Vote]:
        votes = []
        for seat, call in calls.items():
            attempt = call.attempt
            if attempt is not None and isinstance(attempt.outcome, Answer):
                told = attempt.said.confidence if attempt.said is not None else None
                votes.append(Vote(seat, self._seats[seat].weight, attempt.outcome, 1.0 if told is None else told))
        return votes

    def _verdict(
        self, question: Question, calls: Mapping[int, SeatCall], kept_out: Mapping[int, Refused], *, early: bool
    ) -> Verdict:
        votes = self._votes(calls)
        decision_id, agent = question.request.decision_id, question.agent.name
        cast = [self._cast(seat, calls.get(seat), kept_out.get(seat), question) for seat in range(len(self._seats))]
        told = [*cast, *self._found_unsafe(question, calls)]
        costs = [cost for call in calls.values() for cost in call.costs]
        if len(votes) < self.needed:
            why = "; ".join(f"{vote.model}: {vote.outcome}" for vote in cast)
            detail = f"at least {self.needed} models are needed for consensus: {why}"[:DETAIL_MAX]
            lacking = ModelsInsufficient(
                decision_id=decision_id, agent=agent, valid_votes=len(votes), needed=self.needed, detail=detail
            )
            refused = Refused("models_insufficient", detail)
            return Verdict(refused, 0.0, gravest(question.request.impact), facts=[*told, lacking], costs=costs)
        out = [self._seats[seat].weight for seat, call in calls.items() if call.attempt is None]
        found = consensus(votes, out if early else ())
        impact = _impact(question, found)
        reached = ConsensusReached(
            decision_id=decision_id,
            agent=agent,
            action=found.answer.action,
            confidence=found.confidence,
            impact=impact,
            valid_votes=len(votes),
            early_exit=early,
        )
        attempt = calls[found.voter].attempt or Attempt(found.answer)
        text = attempt.said.text if attempt.said is not None else ""
        return Verdict(
            found.answer,
            found.confidence,
            impact,
            attempt.engine,
            attempt.model,
            text,
            facts=[*told, reached],
            costs=costs,
        )

    def _cast(self, number: int, call: SeatCall | None, kept_out: Refused | None, question: Question) -> VoteCast:
        seat = self._seats[number]
        decision_id, agent = question.request.decision_id, question.agent.name
        cast = VoteCast(decision_id=decision_id, agent=agent, model=seat.name, weight=seat.weight)
        attempt = call.attempt if call is not None else None
        outcome = attempt.outcome if attempt is not None else kept_out or NOT_NEEDED
        if call is not None:
            cast.latency_ms = call.latency_ms
        if attempt is not None and attempt.said is not None:
            cast.tokens = attempt.said.prompt_tokens + attempt.said.completion_tokens
        if isinstance(outcome, Answer):
            cast.action, cast.outcome = outcome.action, "valid"
            cast.confidence = (attempt.said.confidence or 0.0) if attempt and attempt.said else 0.0
        else:
            cast.outcome = outcome.reason
        return cast

    def _found_unsafe(self, question: Question, calls: Mapping[int, SeatCall]) -> list[AnswerFoundUnsafe]:
        """What seats wrote that may not be shown or done, as it is recorded of a model that is asked alone."""
        found = []
        for seat, call in calls.items():
            attempt = call.attempt
            if attempt is None or attempt.said is None or isinstance(attempt.outcome, Answer):
                continue
            if attempt.unsafe or attempt.outcome.reason in UNSAFE_REASONS:
                found.append(found_unsafe(question, attempt.outcome, attempt.said.text, self._seats[seat].name))
        return found


def _asked_at(seat: Seat) -> tuple[str, str]:
    """The model and where it is: of two servers with the same model one may be ill."""
    return service_of(seat.engine), seat.engine.model


async def _judged(asking: Coroutine[Any, Any, Attempt], question: Question, unsafe: Unsafe) -> Attempt:
    attempt = await asking
    fault = unsafe(question, attempt.outcome, written=True) if isinstance(attempt.outcome, Answer) else None
    return attempt if fault is None else replace(attempt, outcome=fault, unsafe=True)


def _impact(question: Question, found: Consensus) -> Impact:
    """The gravest of the request's impact and of what the agent says of the chosen action."""
    try:
        chosen: str = question.agent.impact({**question.context, CHOSEN: found.answer.action})
    except Exception:  # anybody may have written the context: then the request's own impact stands
        chosen = ""
    return gravest(question.request.impact, chosen)
