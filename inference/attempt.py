"""One attempt at an answer: by the engine within its time and its money, or without it by rules."""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from inference.agent import Agent, Answer, Context
from inference.bill import Bill, Call, worst_of_call
from inference.budget import SOURCE, Amount
from inference.engines.engine import Completion, Engine, calls_of, models_of
from inference.prices import LISTED, Prices
from inference.prompts import Prompt
from inference.purse import UNLIMITED, Purse, Reservation
from inference.slots import Pace
from inference.validation import Refused, read, validate
from schemas import TIERS, CostSampled, DecisionRequested, NornError

# Of the time for a call: money that comes later leaves too little for the call itself.
BUDGET_SHARE = 0.5
# What a call has come to until something better is known: its caller may leave at any moment.
_ABORTED = Refused("aborted", "nobody waits for the answer any more")
_TOO_LATE = Refused("timeout", "its time was up before a model could be asked")


@dataclass(frozen=True)
class Question:
    """A request, read: who is asked, and what it may know.

    A context that is not a JSON object is an empty one, and so is one that is nested too deep to be written again.
    """

    agent: Agent
    context: Context
    request: DecisionRequested

    @classmethod
    def of(cls, request: DecisionRequested, agents: Mapping[str, Agent]) -> Question | Refused:
        """Read a request; refused when its agent is unknown or switched off, because then nobody can answer."""
        agent = agents.get(request.agent)
        if agent is None:
            return unknown_agent(request.agent)
        if not agent.asking.enabled:
            return Refused("agent_off", f"{agent.name} is switched off here, by NORN_AGENTS")
        try:
            context = read_context(request.context)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
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


def read_context(written: str) -> object:
    """A context's JSON. Raises JSONDecodeError, and JSONEncodeError where it is too deep to be written again."""
    context: object = orjson.loads(written)
    # JSON can be read far deeper than it can be written, and parts of this will stand within other objects.
    orjson.dumps([[context]])
    return context


@dataclass(frozen=True)
class Attempt:
    """What came of asking an engine: an answer or why there is none, and what was spent either way.

    costs: of the calls of each model, also of those that came to nothing. said: what it wrote, where it wrote anything.
    unsafe: what it wrote was an answer, and may not be shown. engine, model: who answered. waited_ms: how long for a
    slot. prompt_hash: of what was asked. asked: the decision it was asked for.
    """

    outcome: Answer | Refused
    costs: tuple[CostSampled, ...] = ()
    unsafe: bool = False
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


def worst_usd_micros(engine: Engine, prompt: Prompt, allowed_ms: int, prices: Prices = LISTED) -> int:
    """The most that one call may cost, whichever of the engine's models answers."""
    return max(worst_of_call(model, prompt, allowed_ms, prices) for model in models_of(engine))


def least_usd_micros(engine: Engine, prompt: Prompt, allowed_ms: int, prices: Prices = LISTED) -> int:
    """The most that one call of the cheapest of the engine's models may cost."""
    return min(worst_of_call(model, prompt, allowed_ms, prices) for model in models_of(engine))


def dearest_within(
    engine: Engine, prompt: Prompt, allowed_ms: int, cap_usd_micros: int, prices: Prices = LISTED
) -> int | None:
    """The most that one call may cost of those models that a cap reaches for; None when it reaches for none."""
    each = (worst_of_call(model, prompt, allowed_ms, prices) for model in models_of(engine))
    return max((worst for worst in each if worst <= cap_usd_micros), default=None)


def worst_of_all(
    engine: Engine, prompt: Prompt, allowed_ms: int, cap_usd_micros: int | None = None, prices: Prices = LISTED
) -> Amount:
    """The most that an answer may take, if each of its calls but the last comes to nothing and is paid for.

    A model of which one call costs more than the cap is not asked, and the others are all the same.
    """
    each = [worst_of_call(model, prompt, allowed_ms, prices) for model in calls_of(engine, allowed_ms)]
    within = [worst for worst in each if cap_usd_micros is None or worst <= cap_usd_micros]
    return Amount(len(within), sum(within))


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
    cap_usd_micros: int | None = None,
    prices: Prices = LISTED,
) -> Attempt:
    """Ask the engine, and believe only what validates.

    First the worst that it may cost is reserved; then it waits for a slot; it is aborted after `allowed_ms` in all, and
    not begun where `pace` says that it would be. All its calls together cost at most `cap_usd_micros`, else what the
    request allows. Whatever goes wrong is a refusal, never an error: there is always another way to answer.
    """
    until_ms = now_ms() + allowed_ms
    cap = question.request.cost_cap_usd_micros if cap_usd_micros is None else cap_usd_micros
    taken = await _reserved(engine, question, prompt, purse, allowed_ms, cap, prices)
    asked = _Asked(engine, prompt, now_ms, queued_ms=now_ms(), until_ms=until_ms)
    if isinstance(taken, Refused):
        asked.said = taken
    else:
        asked.prompt = replace(prompt, bill=Bill(Amount(taken.calls, taken.usd_micros), prices=prices))
        try:
            await asked.make(slots, pace, allowed_ms)
        finally:
            # A call that is cancelled is paid for too.
            total = asked.prompt.bill.total
            purse.settle(taken, total.usd_micros, total.calls)
    # Whoever waited for the slot begins before this answer is looked at: the engine shall not wait for that.
    await asyncio.sleep(0)
    return asked.attempt(question, taken)


@dataclass
class _Asked:
    """What is asked of an engine, as far as it has got.

    queued_ms: since when it waits for a slot. asked_ms: when the engine was asked; None until then. said: what came of
    it.
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
                left_ms = self.until_ms - self.now_ms()
                # A slot that was free gave the timeout no moment to strike.
                if left_ms <= 0:
                    self.said = _TOO_LATE
                    return
                if pace is not None:
                    pace.check(left_ms)
                self.asked_ms = self.now_ms()
                self.said = await self._answered(replace(self.prompt, allowed_ms=left_ms), pace)
        except TimeoutError:
            lacking = "no free slot" if self.asked_ms is None else "no answer"
            self.said = Refused("timeout", f"{lacking} from {self.engine.name} within {allowed_ms} ms")
        except NornError as error:
            self.said = Refused(error.reason, str(error))
        except Exception as error:  # an engine is foreign code: its bugs may cost an answer, not the worker
            self.said = Refused("engine_failed", f"{type(error).__name__}: {error}")

    async def _answered(self, prompt: Prompt, pace: Pace | None) -> Completion:
        begun_ms = self.now_ms()
        try:
            return await self.engine.complete(prompt)
        finally:
            # Who made no call tells nothing about how long one takes.
            if pace is not None and prompt.bill.calls:
                pace.took(max(0, self.now_ms() - begun_ms))

    def attempt(self, question: Question, taken: Reservation | Refused) -> Attempt:
        """What came of it, read."""
        wrote = self.said if isinstance(self.said, Completion) else None
        ask_id = "" if isinstance(taken, Refused) else taken.ask_id
        return Attempt(
            outcome=_believed(self.said, question),
            costs=_costs(self.prompt.bill, question, ask_id),
            said=wrote,
            engine=(wrote.engine if wrote else "") or self.engine.name,
            model=(wrote.model if wrote else "") or self.engine.model,
            waited_ms=max(0, (self.now_ms() if self.asked_ms is None else self.asked_ms) - self.queued_ms),
            prompt_hash=self.prompt.digest(),
            asked=question.request.decision_id,
        )


async def _reserved(
    engine: Engine, question: Question, prompt: Prompt, purse: Purse, allowed_ms: int, cap: int, prices: Prices
) -> Reservation | Refused:
    if allowed_ms <= 0:
        return _TOO_LATE
    least = least_usd_micros(engine, prompt, allowed_ms, prices)
    if least > cap:
        return Refused("cost_cap", f"it may cost up to {least} micro-dollars, of {cap} allowed")
    # Where the cap does not reach for all repeats and fallbacks, the bill sees to it that they are not made.
    most = worst_of_all(engine, prompt, allowed_ms, cap, prices)
    most_usd_micros = min(cap, most.usd_micros)
    within_ms = int(allowed_ms * BUDGET_SHARE)
    try:
        async with asyncio.timeout(within_ms / 1000):
            return await purse.take(
                question.agent.name, question.tier, most_usd_micros, calls=most.calls, within_ms=within_ms
            )
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


def _costs(bill: Bill, question: Question, ask_id: str) -> tuple[CostSampled, ...]:
    by_model: defaultdict[str, list[Call]] = defaultdict(list)
    for call in bill.calls:
        by_model[call.model].append(call)
    return tuple(
        CostSampled(
            source=SOURCE,
            model=model,
            agent=question.agent.name,
            decision_id=question.request.decision_id,
            prompt_tokens=sum(call.prompt_tokens + call.cache_written_tokens for call in calls),
            completion_tokens=sum(call.completion_tokens for call in calls),
            duration_ms=sum(call.duration_ms for call in calls),
            cost_usd_micros=sum(call.usd_micros for call in calls),
            tier=question.tier,
            ask_id=ask_id,
            calls=len(calls),
        )
        for model, calls in by_model.items()
    )
