"""One attempt at an answer: by the engine within its time and its money, or without it by rules."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from inference.agent import Agent, Answer, Context
from inference.engines.engine import Completion, Engine
from inference.prices import cost_usd_micros
from inference.prompts import Prompt
from inference.validation import Refused, read, validate
from schemas import CostSampled, DecisionRequested, NornError


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
            return Refused("unknown_agent", f"no agent is named {request.agent[:40]!r}")
        try:
            context = orjson.loads(request.context)
        except orjson.JSONDecodeError:
            context = None
        return cls(agent, context if isinstance(context, dict) else {}, request)

    @property
    def legal_actions(self) -> tuple[str, ...]:
        """What the answer may do."""
        return tuple(self.request.legal_actions)

    def prompt(self) -> Prompt | Refused:
        """What an engine is asked; the seed follows from the decision, so that a repeat asks the same."""
        try:
            turns = self.agent.prompt(self.agent.shown(self.context))
        except Exception as error:  # anybody may have written the context: it must not stop the worker
            return Refused("unknown_context", f"the agent cannot read its context: {type(error).__name__}")
        schema, seed = self.agent.schema(self.legal_actions), zlib.crc32(self.request.decision_id.encode())
        return Prompt(turns, schema, self.agent.max_tokens, seed)


@dataclass(frozen=True)
class Attempt:
    """What came of asking an engine: an answer or why there is none, and what was spent either way."""

    outcome: Answer | Refused
    cost: CostSampled | None = None


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


async def by_engine(
    engine: Engine,
    question: Question,
    prompt: Prompt,
    *,
    slots: asyncio.Semaphore,
    allowed_ms: int,
    now_ms: Callable[[], int],
) -> Attempt:
    """Ask the engine once a slot is free, believe only what validates, and abort after `allowed_ms`.

    Whatever goes wrong is a refusal, never an error: there is always another way to answer.
    """
    worst = cost_usd_micros(engine.model, prompt.size_bytes(), prompt.max_tokens, allowed_ms)
    if worst > question.request.cost_cap_usd_micros:
        cap = question.request.cost_cap_usd_micros
        return Attempt(Refused("cost_cap", f"it may cost up to {worst} micro-dollars, of {cap} allowed"))
    started_ms: int | None = None
    try:
        async with asyncio.timeout(allowed_ms / 1000), slots:
            started_ms = now_ms()
            completion = await engine.complete(prompt)
    except TimeoutError:
        lacking = "no free slot" if started_ms is None else "no answer"
        refused = Refused("timeout", f"{lacking} from {engine.name} within {allowed_ms} ms")
    except NornError as error:
        refused = Refused(error.reason, str(error))
    except Exception as error:  # an engine is foreign code: its bugs may cost an answer, not the worker
        refused = Refused("engine_failed", f"{type(error).__name__}: {error}")
    else:
        return Attempt(_believed(completion, question), _cost(engine, question, completion))
    if started_ms is None:
        return Attempt(refused)
    # How far an answer got that was aborted is not known; how long it ran is.
    unfinished = Completion("", 0, 0, max(0, now_ms() - started_ms), "length")
    return Attempt(refused, _cost(engine, question, unfinished))


def _believed(completion: Completion, question: Question) -> Answer | Refused:
    if completion.finish_reason == "length":
        return Refused("length", f"the answer broke off after {completion.completion_tokens} tokens")
    return validate(completion.text, question.agent, question.context, question.legal_actions)


def _cost(engine: Engine, question: Question, used: Completion) -> CostSampled:
    return CostSampled(
        source="ai_inference",
        model=engine.model,
        agent=question.agent.name,
        decision_id=question.request.decision_id,
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        duration_ms=used.duration_ms,
        cost_usd_micros=cost_usd_micros(engine.model, used.prompt_tokens, used.completion_tokens, used.duration_ms),
    )
