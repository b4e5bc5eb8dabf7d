"""Agreement: would the model, asked in full, have decided as the cache or the batch did?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import orjson

from inference.agent import Agent, Answer
from inference.attempt import Question, by_engine, by_rules
from inference.engines import Engine
from inference.prices import LISTED, Prices
from inference.validation import Refused
from schemas import DecisionRequested

# The comparison runs when the world has ended, so nobody waits for an answer; a stuck engine shall still end.
ANSWER_WITHIN_MS = 60_000
# What an answer may cost here: the price is noted, not capped, since no player's budget pays for it.
UNCAPPED_USD_MICROS = 1 << 62


@dataclass(frozen=True, slots=True)
class Reused:
    """A decision that an answer to another request decided; `source` is that other one, where the log tells it."""

    decision_id: str
    agent: str
    context: str
    legal_actions: Sequence[str]
    route: str
    action: str
    content: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of how many in the sample the full answer was the same; `different` names the others, for people to read."""

    sampled: int
    agreed: int
    different: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """The share that agreed; None when there was nothing to compare."""
        return self.agreed / self.sampled if self.sampled else None


async def agreement(
    sample: Iterable[Reused],
    agents: Mapping[str, Agent],
    engines: Mapping[str, Engine | None],
    *,
    now_ms: Callable[[], int],
    told: Callable[[int], None],
    prices: Prices = LISTED,
) -> Agreement:
    """Ask the engine of its tier each of them alone, on its own context, and compare what was decided.

    Compared are the action and every field of the agent's output that is a choice; prose that says the same in other
    words is not a disagreement. Where the engine's answer is not believed, the rules' is the full one, as in a worker.
    A model that draws is asked with the draw of the answer that was used: with another, it would be found to disagree
    with itself.
    """
    sampled, agreed, different = 0, 0, []
    for one in sample:
        question = _question(one, agents)
        if question is None:
            continue
        full = await _full(question, engines.get(question.tier), now_ms, prices)
        sampled += 1
        same = _choices(question.agent, one.action, orjson.loads(one.content)) == _choices(
            question.agent, full.action, full.content.model_dump(mode="json")
        )
        agreed += same
        if not same:
            different.append(f"{one.agent} by {one.route}: {one.action} {one.content}, in full {full.action}")
        told(sampled)
    return Agreement(sampled, agreed, tuple(different))


def _question(one: Reused, agents: Mapping[str, Agent]) -> Question | None:
    request = DecisionRequested(
        # The draw follows from the decision's id.
        decision_id=one.source or one.decision_id,
        agent=one.agent,
        context=one.context,
        legal_actions=one.legal_actions,
        cost_cap_usd_micros=UNCAPPED_USD_MICROS,
    )
    question = Question.of(request, agents)
    return None if isinstance(question, Refused) else question


async def _full(question: Question, engine: Engine | None, now_ms: Callable[[], int], prices: Prices) -> Answer:
    prompt = question.prompt()
    if engine is not None and not isinstance(prompt, Refused):
        # One after the other: nobody else is in a slot.
        attempt = await by_engine(
            engine, question, prompt, slots=nullcontext(), allowed_ms=ANSWER_WITHIN_MS, now_ms=now_ms, prices=prices
        )
        if isinstance(attempt.outcome, Answer):
            return attempt.outcome
    return by_rules(question)[0]


def _choices(agent: Agent, action: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of an answer is a choice: the action, and fields that are one of a list, a whole number, or yes or no."""
    kept = {
        name: content.get(name)
        for name, shape in agent.output.model_json_schema()["properties"].items()
        if "enum" in shape or "const" in shape or "$ref" in shape or shape.get("type") in ("integer", "boolean")
    }
    return {**kept, "action": action}
