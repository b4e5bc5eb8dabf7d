"""Days of the world for the tests: what schedules tell, and the contexts that agents make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.agent import Agent, Context
from inference.agents import AGENTS
from inference.agents.problem import SAYS as PROBLEMS
from inference.agents.world_event import SAYS as WORLD_EVENTS
from inference.prompts import canonical
from schemas import DecisionEffective, DepthReached, Event, ScheduleDue
from tests.inference.asking import happened

DAILY = ("problem", "adaptive_dungeon", "map_hazard", "treasure", "archaeology", "dynamic_npc")
SCHEDULED = {
    **{name: name for name in DAILY},
    "weather": "hour",
    "world_event": "hour",
    "storyline": "arc",
    "story_teller": "story",
}
NAMES = (*SCHEDULED, "dynamic_boss", "event_chain")
PLACES = [
    ["Dungeons of Doom 1", 90],
    ["Dungeons of Doom 2", 60],
    ["Gnomish Mines 3", 20],
    ["Sokoban 1", 4],
    ["Dungeons of Doom 3", 2],
]
TOLD: Mapping[str, Any] = {
    "day": 3, "hour": 9, "players": 8, "deaths": 5, "deepest": 6, "gold": 120, "said": 3, "places": PLACES,
    "killers": [["a jackal", 3]], "decided": {"faction": {"dead_gain": 3, "hold": 9}}, "recent": [["problem", "raid"]],
}  # fmt: skip


def due(schedule: str, **told: object) -> Event:
    """A schedule is due, with the world as it is told, and changes."""
    return of_context(schedule, canonical({**TOLD, **told}))


def of_context(schedule: str, context: str) -> Event:
    """A schedule is due, with a context that may be any text."""
    return happened(ScheduleDue(schedule=schedule, due_ms=1, day=3, context=context), subject="world")


def contexts(name: str, **told: object) -> tuple[Context, ...]:
    """The contexts that an agent makes of its schedule."""
    return AGENTS[name].contexts(due(SCHEDULED[name], **told))


def effective(agent: str, action: str, **fields: str) -> Event:
    """An agent's decision took effect."""
    return happened(DecisionEffective(decision_id="d", agent=agent, action=action, **fields))


def every_context() -> list[tuple[Agent, Context]]:
    """Contexts of all the agents, of worlds at peace and in need, with nobody there and with a full house."""
    worlds = [
        {"day": day, "players": players, "deaths": deaths, "decided": decided}
        for day in range(3)
        for players, deaths in ((0, 0), (1, 1), (8, 0), (30, 20))
        for decided in ({}, TOLD["decided"])
    ]
    depths = [
        DepthReached(zone=f"{zone} {depth}", depth=depth)
        for zone in ("Dungeons of Doom", "Gnomish Mines")
        for depth in (4, 8)
    ]
    causes = [
        effective(agent, action, about=f'{{"severity":"{severity}"}}')
        for agent, actions in (("problem", PROBLEMS), ("world_event", WORLD_EVENTS))
        for action in actions
        for severity in ("mild", "grave")
    ]
    calls = {
        **{name: [due(schedule, **world) for world in worlds] for name, schedule in SCHEDULED.items()},
        "dynamic_boss": list(map(happened, depths)),
        "event_chain": causes,
    }
    return [
        (AGENTS[name], context)
        for name, events in calls.items()
        for event in events
        for context in AGENTS[name].contexts(event)
    ]
