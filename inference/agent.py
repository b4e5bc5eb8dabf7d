"""Agent: the declaration of one AI agent. Everything in it is pure, so a decision is replayed from the log alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict

from inference.asking import ALWAYS, Asking
from inference.prompts import Turn, canonical
from schemas import TIERS, Event, fact_name

#: Everything an agent may know about one decision: a JSON object.
Context = Mapping[str, Any]
#: What is at stake (spec B.1): dialogue variations, quest modifications, story branches, game-changing events.
Impact = Literal["low", "medium", "high", "critical"]
IMPACTS: tuple[Impact, ...] = ("low", "medium", "high", "critical")
#: Under this name an agent's impact finds the chosen action in the context; before one is chosen it is "".
CHOSEN = "chosen"
# Without a measure of its own every decision of an agent is a hard one.
COMPLEX = 1.0
# Spec C.8: a decision may be used again for an hour.
CACHED_S = 3_600


class Content(BaseModel):
    """The shape of an agent's output.

    A field named `action` is the agent's choice among the legal actions; without one, the only legal action is meant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Choice(Content):
    """A choice among the legal actions, and nothing else."""

    action: str


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

    trigger: the facts that may call for it. asks: the context of a decision, one for each of several, or None when the
    event calls for none. legal_actions: what it may do. prompt: what a model is shown. output: what a model must
    return; its JSON schema binds the engine. check: why an answer that has the right shape is still not good enough,
    or "". rules: the answer without a model, or None when there is no rule. default: an answer that can always be
    given, whatever the context. tier: the topic its requests go to. deadline_ms: how long after the event an answer is
    still of use. cost_cap_usd_micros: what one answer may cost. max_tokens: the most a model may write.

    signature: the canonical, bucketed state that a decision depends on; then it is all that the prompt is made from,
    so that one answer is as good for every context of that signature. None: each context is its own.
    blurs: those fields of the signature in which similar requests may differ and still be answered in one call.
    free_text: the field of the context that holds a player's own words, by which similar requests are found; such an
    agent has no signature. complexity: how hard a decision is, 0 to 1 (inference/complexity.py); easy ones are left to
    the rules. impact: what is at stake, of an action once one is CHOSEN; an agent of high stakes has a default of low
    ones, for when a person says no. tells: the fields of the context that the game is given with the decision.
    cached_s: for how long an answer may be used again, 0 for never. ensemble: several models vote on it.
    chosen: the whole answer that an action comes to, written by code; then a model chooses an action and writes nothing
    else, which takes it one forward pass. changes_world: the actions after which the world is another for everybody, so
    that nothing decided before is used again. asking: whether it is asked at all, and how often; the settings say so.
    """

    name: str
    trigger: tuple[type[Message], ...]
    asks: Callable[[Event], Context | Sequence[Context] | None]
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
    signature: Callable[[Context], Context] | None = None
    blurs: tuple[str, ...] = ()
    free_text: str = ""
    complexity: Callable[[Context], float] = lambda context: COMPLEX
    impact: Callable[[Context], Impact] = lambda context: "low"
    tells: tuple[str, ...] = ()
    cached_s: int = CACHED_S
    ensemble: bool = False
    chosen: Callable[[Context, str], Answer] | None = None
    changes_world: tuple[str, ...] = ()
    asking: Asking = ALWAYS

    def __post_init__(self) -> None:
        if self.signature is not None and self.free_text:
            raise ValueError(f"agent {self.name}: it has a signature or free text, not both")
        if self.tier not in TIERS:
            raise ValueError(f"agent {self.name}: the tier is one of {', '.join(TIERS)}, not {self.tier!r}")
        if not self.triggers:
            raise ValueError(f"agent {self.name}: name at least one fact as its trigger")

    @cached_property
    def triggers(self) -> frozenset[str]:
        """The trigger's facts by name. Raises UnknownFact for a message that is not a fact."""
        return frozenset(fact_name(fact) for fact in self.trigger)

    def contexts(self, event: Event) -> tuple[Context, ...]:
        """The contexts of all the decisions that an event calls for."""
        asked = self.asks(event)
        if asked is None:
            return ()
        return (asked,) if isinstance(asked, Mapping) else tuple(asked)

    def shown(self, context: Context) -> Context:
        """What of the context the prompt is made from."""
        return context if self.signature is None else self.signature(context)

    @property
    def written(self) -> type[Content]:
        """The shape of what a model writes: the output, or a choice where code writes the rest."""
        return self.output if self.chosen is None else Choice

    def schema(self, legal_actions: tuple[str, ...]) -> Mapping[str, Any]:
        """The JSON schema of what a model writes, its action bound to those that are legal here."""
        properties = self._schema["properties"]
        if "action" not in properties:
            return self._schema
        return {**self._schema, "properties": {**properties, "action": {"enum": list(legal_actions)}}}

    @cached_property
    def _schema(self) -> Mapping[str, Any]:
        return self.written.model_json_schema()
