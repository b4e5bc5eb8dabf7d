"""Agent: the declaration of one AI agent. Everything in it is pure, so a decision is replayed from the log alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict

from inference.prompts import Turn, canonical
from schemas import TIERS, Event, fact_name

#: Everything an agent may know about one decision: a JSON object.
Context = Mapping[str, Any]


class Content(BaseModel):
    """The shape of an agent's output.

    A field named `action` is the agent's choice among the legal actions; without one, the only legal action is meant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class Answer:
    """What an agent decides: one of the legal actions, and its content."""

    action: str
    content: Content

    def json(self) -> str:
        """The content as canonical JSON."""
        return canonical(self.content.model_dump(mode="json"))


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One AI agent.

    trigger: the facts that may call for it. asks: the context of a decision, or None when the event calls for none.
    legal_actions: what it may do. prompt: what a model is shown. output: what a model must return; its JSON schema
    binds the engine. check: why an answer that has the right shape is still not good enough, or "". rules: the answer
    without a model, or None when there is no rule. default: an answer that can always be given, whatever the context.
    tier: the topic its requests go to. deadline_ms: how long after the event an answer is still of use.
    cost_cap_usd_micros: what one answer may cost. max_tokens: the most a model may write.
    """

    name: str
    trigger: tuple[type[Message], ...]
    asks: Callable[[Event], Context | None]
    legal_actions: Callable[[Context], tuple[str, ...]]
    prompt: Callable[[Context], tuple[Turn, ...]]
    output: type[Content]
    check: Callable[[Context, Answer], str]
    rules: Callable[[Context], Answer | None]
    default: Callable[[Context], Answer]
    tier: str
    deadline_ms: int
    cost_cap_usd_micros: int
    max_tokens: int

    def __post_init__(self) -> None:
        if self.tier not in TIERS:
            raise ValueError(f"agent {self.name}: the tier is one of {', '.join(TIERS)}, not {self.tier!r}")
        if not self.triggers:
            raise ValueError(f"agent {self.name}: name at least one fact as its trigger")

    @cached_property
    def triggers(self) -> frozenset[str]:
        """The trigger's facts by name. Raises UnknownFact for a message that is not a fact."""
        return frozenset(fact_name(fact) for fact in self.trigger)

    def schema(self, legal_actions: tuple[str, ...]) -> Mapping[str, Any]:
        """The JSON schema of the output, its action bound to those that are legal here."""
        properties = self._schema["properties"]
        if "action" not in properties:
            return self._schema
        return {**self._schema, "properties": {**properties, "action": {"enum": list(legal_actions)}}}

    @cached_property
    def _schema(self) -> Mapping[str, Any]:
        return self.output.model_json_schema()
