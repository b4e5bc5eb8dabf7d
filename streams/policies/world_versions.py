"""World versions: counts what has changed the world for everybody, so that no answer from before is used after it."""

from __future__ import annotations

from inference.agents import AGENTS
from schemas import ClockTicked, DecisionEffective, Event, WorldChanged
from schemas.topics import DAY_MS
from streams.policy import WORLD, Policy, Reaction, State
from streams.seen import seen

_CHANGING = frozenset((agent.name, action) for agent in AGENTS.values() for action in agent.changes_world)


def _react(state: State, event: Event) -> Reaction:
    if event.HasField("clock_ticked"):
        day, before = event.clock_ticked.time_ms // DAY_MS, state.get("day")
        if before is not None and day <= before:
            return state, ()
        state = {**state, "day": day}
        return (state, ()) if before is None else _changed(state, "a new day")
    decision = event.decision_effective
    if (decision.agent, decision.action) not in _CHANGING:
        return state, ()
    known = seen(state.get("seen", ()), decision.decision_id)
    if known is None:
        return state, ()
    return _changed({**state, "seen": known}, f"{decision.agent}: {decision.action}")


def _changed(state: State, reason: str) -> Reaction:
    version = state.get("version", 0) + 1
    return {**state, "version": version}, [(WORLD, WorldChanged(version=version, reason=reason))]


world_versions = Policy(name="world_versions", reads=(ClockTicked, DecisionEffective), react=_react)
