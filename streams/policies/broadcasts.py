"""Broadcasts: what agents decided for the whole world is told to all players, in the agents' own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from inference.reading import json_object, text
from schemas import Announced, DecisionEffective, Event
from streams.policy import WORLD, Policy, Reaction, State
from streams.seen import seen

# A line on a player's screen, and far less than an event holds.
TEXT_CHARACTERS_MAX = 300


def _says(decision: DecisionEffective, about: Mapping[str, Any]) -> str:
    """What the agent's request says: one sentence, or one for each action; nothing for an action that has none."""
    says = about.get("says")
    told, name = (says, decision.action) if isinstance(says, dict) else (about, "says")
    return text(told, name, TEXT_CHARACTERS_MAX)


def _invites(decision: DecisionEffective, about: Mapping[str, Any]) -> str:
    what, time = decision.action.replace("_", " "), text(json_object(decision.content), "time")
    part = text(about, "for")
    whom = "everybody" if part in ("", "day", "night") else f"the {part}"
    return f"For {whom} this {time or 'day'}: {what}."


#: Whose decisions are for everybody, and how each is put in words.
TOLD: Mapping[str, Callable[[DecisionEffective, Mapping[str, Any]], str]] = {
    "problem": _says,
    "world_event": _says,
    "event_chain": _says,
    "dynamic_boss": _says,
    "social": _invites,
}


def _react(state: State, event: Event) -> Reaction:
    decision = event.decision_effective
    if decision.agent not in TOLD:
        return state, ()
    known = seen(state.get("seen", ()), decision.decision_id)
    words = TOLD[decision.agent](decision, json_object(decision.about))
    if known is None or not words:
        return state, ()
    announced = Announced(text=words, reason=decision.agent, decision_id=decision.decision_id)
    return {**state, "seen": known}, [(WORLD, announced)]


broadcasts = Policy(name="broadcasts", reads=(DecisionEffective,), react=_react)
