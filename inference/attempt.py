"""One attempt at an answer: by the engine within its time and its money, or without it by rules."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from inference.agent import Agent, Answer, Context
from inference.budget import SOURCE
from inference.engines.engine import Completion, Engine, models_of
from inference.guarded import BreakerOpen
from inference.prices import cost_usd_micros
from inference.prompts import Prompt
from inference.purse import UNLIMITED, Purse, Reservation
from inference.slots import Pace
from inference.validation import Refused, read, validate
from schemas import TIERS, CostSampled, DecisionRequested, NornError

# Of the time for a call: money that comes later leaves too little for the call itself.
BUDGET_SHARE = 0.5
# What a call has come to until something better is known: its caller may leave at any moment.
_ABORTED = Refused("aborted", "nobody waits for the answer any more")


@dataclass(frozen=True)
class Question:
    """A request, read: who is asked, and what it may know. A context that is not a JSON object is an empty one."""

    agent: Agent
    context: Context
    request: DecisionRequested

    @classmethod
    def of(cls, request: DecisionRequested, agents: Mapping[str, Agent]) -> Question | Refused:
        """Read a request; refused when its agent is unknown, because then nobody can answer."""
        agent = agents.get(request.agent)
        if agent is None:
            return unknown_agent(request.agent)
        try:
            context = orjson.loads(request.context)
        except orjson.JSONDecodeError:
            context = None
        return cls(agent, context if isinstance(context, dict) else {}, request)

    @cached_property
    def legal_actions(self) -> tuple[str, ...]:
        """What the answer may do."""
        return tuple(self.request.legal_actions)

    @property
    def tier(self) -> str:
        """The tier it is answered in: that of the topic that carries it."""
        return self.request.tier if self.request.tier in TIERS else self.agent.tier

    def prompt(self) -> Prompt | Refused:
        """What an engine is asked; the seed follows from the decision, so that a repeat asks the same."""
        return self._prompt

    @cached_property
    def _prompt(self) -> Prompt | Refused:
        try:
            turns = self.agent.prompt(self.agent.shown(self.context))
        except Exception as error:  # anybody may have written the context: it must not stop the worker
            return _unreadable(error)
        schema, seed = self.agent.schema(self.legal_actions), zlib.crc32(self.request.decision_id.encode())
        # What one answer decides for every context of a signature must not be a matter of chance.
        temperature = None if self.agent.signature is None else 0.0
        return Prompt(turns, schema, self.agent.max_tokens, seed, temperature, priority=TIERS.index(self.tier))


@dataclass(frozen=True)
class Attempt:
    """What came of asking an engine: an answer or why there is none, and what was spent either way.

    said: what it wrote, where it wrote anything. engine, model: who answered. waited_ms: how long for a slot.
    prompt_hash: of what was asked. asked: the decision it was asked for.
    """

    outcome: Answer | Refused
    cost: CostSampled | None = None
    said: Completion | None = None
    engine: str = ""
    model: str = ""
    waited_ms: int = 0
    prompt_hash: str = ""
    asked: str = ""

    def answer_to(self, question: Question) -> Answer | Refused:
        """What it answers to a question: the one that was asked, or another that is like it."""
        if self.said is None or self.asked == question.request.decision_id:
            return self.outcome
        return _believed(self.said, question)


def by_rules(question: Question) -> tuple[Answer, str]:
    """The answer of the agent's rules; or its default, and why the rules gave no answer."""
    agent, context = question.agent, question.context
    try:
        answer = agent.rules(context)
    except Exception as error:  # as above: whatever the context, there is an answer
        return agent.default(context), f"the rules cannot read the context: {type(error).__name__}"
    if answer is None:
        return agent.default(context), "the agent has no rule for this"
    if answer.action not in question.legal_actions:
        return agent.default(context), f"the rules' action {answer.action!r} is not legal here"
    refused = read(answer.json(), agent)
    if isinstance(refused, Refused):
        return agent.default(context), f"the rules' answer is {refused.reason}: {refused.detail}"
    return answer, ""


def unknown_agent(name: str) -> Refused:
    """The refusal of what nobody can answer, because no agent has this name."""
    return Refused("unknown_agent", f"no agent is named {name[:40]!r}")


def worst_usd_micros(engine: Engine, prompt: Prompt, allowed_ms: int) -> int:
    """The most that a call may cost, whichever of the engine's models answers."""
    size = prompt.size_bytes()
    return max(cost_usd_micros(model, size, prompt.max_tokens, allowed_ms) for model in models_of(engine))


async def by_engine(
    engine: Engine,
    question: Question,
    prompt: Prompt,
    *,
    slots: AbstractAsyncContextManager[Any],
    allowed_ms: int,
    now_ms: Callable[[], int],
    purse: Purse = UNLIMITED,
    pace: Pace | None = None,
) -> Attempt:
    """Ask the engine, and believe only what validates.

    First the worst that it may cost is reserved; then it waits for a slot; it is aborted after `allowed_ms` in all, and
    not begun where `pace` says that it would be. Whatever goes wrong is a refusal, never an error: there is always
    another way to answer.
    """
    until_ms = now_ms() + allowed_ms
    taken = await _reserved(engine, question, prompt, purse, allowed_ms)
    call = _Call(engine, prompt, now_ms, queued_ms=now_ms(), until_ms=until_ms)
    cost: CostSampled | None = None
    if isinstance(taken, Refused):
        call.said = taken
    else:
        try:
            await call.make(slots, pace, allowed_ms)
        finally:
            # A call that is cancelled is paid for too, as far as it got.
            cost = call.cost(question, taken, pace)
            purse.settle(taken, cost.cost_usd_micros if cost else 0, calls=1 if cost else 0)
    # Whoever waited for the slot begins before this answer is looked at: the engine shall not wait for that.
    await asyncio.sleep(0)
    return call.attempt(question, cost)


@dataclass
class _Call:
    """A call of an engine, as far as it has got.

    queued_ms: since when it waits for a slot. asked_ms: when the engine was asked; None while nothing can have been
    spent. said: what came of it.
    """

    engine: Engine
    prompt: Prompt
    now_ms: Callable[[], int]
    queued_ms: int
    until_ms: int
    asked_ms: int | None = None
    said: Completion | Refused = _ABORTED

    async def make(self, slots: AbstractAsyncContextManager[Any], pace: Pace | None, allowed_ms: int) -> None:
        """Wait for a slot, and ask the engine; what goes wrong is a refusal."""
        try:
            async with asyncio.timeout(max(0, self.until_ms - self.queued_ms) / 1000), slots:
                if pace is not None:
                    pace.check(self.until_ms - self.now_ms())
                self.asked_ms = self.now_ms()
                left_ms = max(1, self.until_ms - self.asked_ms)
                self.said = await self.engine.complete(replace(self.prompt, allowed_ms=left_ms))
        except TimeoutError:
            lacking = "no free slot" if self.asked_ms is None else "no answer"
            self.said = Refused("timeout", f"{lacking} from {self.engine.name} within {allowed_ms} ms")
        except BreakerOpen as error:
            # Nobody was asked, so nothing was spent.
            self.said, self.asked_ms = Refused(error.reason, str(error)), None
        except NornError as error:
            self.said = Refused(error.reason, str(error))
        except Exception as error:  # an engine is foreign code: its bugs may cost an answer, not the worker
            self.said = Refused("engine_failed", f"{type(error).__name__}: {error}")

    def cost(self, question: Question, taken: Reservation, pace: Pace | None) -> CostSampled | None:
        """What has been spent, of which `pace` learns; None when the engine was not asked."""
        if self.asked_ms is None:
            return None
        took_ms = max(0, self.now_ms() - self.asked_ms)
        cost = _cost(self.engine, question, self.said, took_ms, taken)
        if pace is not None:
            pace.took(took_ms)
        return cost

    def attempt(self, question: Question, cost: CostSampled | None) -> Attempt:
        """What came of it, read."""
        wrote = self.said if isinstance(self.said, Completion) else None
        return Attempt(
            outcome=_believed(self.said, question),
            cost=cost,
            said=wrote,
            engine=(wrote.engine if wrote else "") or self.engine.name,
            model=(wrote.model if wrote else "") or self.engine.model,
            waited_ms=max(0, (self.now_ms() if self.asked_ms is None else self.asked_ms) - self.queued_ms),
            prompt_hash=self.prompt.digest(),
            asked=question.request.decision_id,
        )


async def _reserved(
    engine: Engine, question: Question, prompt: Prompt, purse: Purse, allowed_ms: int
) -> Reservation | Refused:
    worst = worst_usd_micros(engine, prompt, allowed_ms)
    cap = question.request.cost_cap_usd_micros
    if worst > cap:
        return Refused("cost_cap", f"it may cost up to {worst} micro-dollars, of {cap} allowed")
    within_ms = int(allowed_ms * BUDGET_SHARE)
    try:
        async with asyncio.timeout(within_ms / 1000):
            return await purse.take(question.agent.name, question.tier, worst, within_ms=within_ms)
    except TimeoutError:
        return Refused("budget_timeout", f"the budget gave no reply within {within_ms} ms")


def _believed(said: Completion | Refused, question: Question) -> Answer | Refused:
    if isinstance(said, Refused):
        return said
    if said.finish_reason == "length":
        return Refused("length", f"the answer broke off after {said.completion_tokens} tokens")
    try:
        return validate(said.text, question.agent, question.context, question.legal_actions)
    except Exception as error:  # the agent's own check reads the context, which anybody may have written
        return _unreadable(error)


def _unreadable(error: Exception) -> Refused:
    return Refused("unknown_context", f"the agent cannot read its context: {type(error).__name__}")


def _cost(
    engine: Engine, question: Question, said: Completion | Refused, took_ms: int, taken: Reservation
) -> CostSampled:
    # How far an answer got that was aborted is not known; how long it ran is.
    used = said if isinstance(said, Completion) else Completion("", 0, 0, took_ms, "length")
    model = used.model or engine.model
    return CostSampled(
        source=SOURCE,
        model=model,
        agent=question.agent.name,
        decision_id=question.request.decision_id,
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        duration_ms=used.duration_ms,
        cost_usd_micros=cost_usd_micros(model, used.prompt_tokens, used.completion_tokens, used.duration_ms),
        tier=question.tier,
        ask_id=taken.ask_id,
        calls=1,
    )
