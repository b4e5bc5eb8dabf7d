"""Adaptive dungeon: at 00:15 the day's dungeon, floor by floor, easier where many died and harder where none did.

One dungeon in five is of one piece: a model thinks it up, and all its floors share the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.buckets import depth_of
from inference.lots import between, one_of, scaled, tiered
from inference.reading import asked, choice, due, number, toll
from schemas import Event, ScheduleDue

FLOORS_MIN, FLOORS_MAX = 4, 6
ROOMS_MIN, ROOMS_MAX = 4, 9
Light = Literal["lit", "dim", "dark"]
DANGERS = {"some": "same", "many": "easier", "none": "harder"}
LAYOUTS = {
    "easier": ("halls", "caverns", "gardens"),
    "same": ("caverns", "waterways", "crypt"),
    "harder": ("maze", "crypt", "fortress"),
}
SYSTEM = "Choose the layout of a dungeon's floor, and its light: lit, dim or dark. An easier floor is not dark."
SOLVED = (
    ({"danger": "harder", "reached": "deep"}, {"action": "maze", "light": "dark"}),
    ({"danger": "easier", "reached": "shallow"}, {"action": "halls", "light": "lit"}),
    ({"danger": "same", "reached": "middle"}, {"action": "waterways", "light": "dim"}),
)


class Floor(Content):
    """How a floor is laid out, and how well one sees there."""

    action: str
    light: Light


def _asks(event: Event) -> Sequence[Context]:
    told = due(event, "adaptive_dungeon")
    if told is None:
        return ()
    day, floors = told["day"], scaled(FLOORS_MIN, FLOORS_MAX, told)
    shared = {"day": day, "danger": DANGERS[toll(told)], "deepest": told["deepest"], "floors": floors}
    return [
        {**shared, "floor": floor, "rooms": between(ROOMS_MIN, ROOMS_MAX, "rooms", day, floor)}
        for floor in range(1, floors + 1)
    ]


def _signature(context: Context) -> Context:
    return {"danger": _danger(context), "reached": depth_of(number(context, "deepest"))}


def _danger(context: Context) -> str:
    return choice(context, "danger", tuple(DANGERS.values()))


def _do(context: Context, action: str) -> Answer:
    return Answer(action, Floor(action=action, light="dark" if _danger(context) == "harder" else "dim"))


def _rules(context: Context) -> Answer:
    return _do(context, one_of(LAYOUTS[_danger(context)], number(context, "day"), number(context, "floor")))


def _check(context: Context, answer: Answer) -> str:
    is_dark = answer.content.model_dump()["light"] == "dark"
    return "what is to be easier is not dark" if is_dark and _danger(context) == "easier" else ""


adaptive_dungeon = Agent(
    name="adaptive_dungeon",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=lambda context: LAYOUTS[_danger(context)],
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Floor,
    check=_check,
    rules=_rules,
    default=lambda context: _do(context, LAYOUTS[_danger(context)][0]),
    tier="bronze",
    deadline_ms=30_000,
    cost_cap_usd_micros=12_500,
    max_tokens=24,
    signature=_signature,
    # Drawn for the day and not for the floor, or a call would seldom have two floors to answer (docs/adr/0008).
    complexity=lambda context: tiered({0.2: 0.80, 0.5: 0.20}, context, "adaptive_dungeon", "day"),
    impact=lambda context: "medium",
    tells=("day", "floor", "floors", "rooms", "danger"),
)
