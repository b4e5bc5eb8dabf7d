"""Archaeology: at 02:00 fifteen to twenty places to dig, each of them gone after 48 hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from inference.agent import Agent, Answer, Content, Context
from inference.buckets import depth_of
from inference.lots import between, one_of, places_of, scaled, tiered
from inference.reading import asked, branch, due, number, text
from schemas import Event, ScheduleDue

SPOTS_MIN, SPOTS_MAX = 15, 20
SPOT_HOURS = 48
# A level of the game, without its walls.
WIDTH, HEIGHT = 78, 20
State = Literal["whole", "broken", "cursed"]
# The deeper, the older.
FINDS = {
    "surface": ("bones", "coins"),
    "shallow": ("bones", "coins", "blade"),
    "middle": ("blade", "tablet", "idol"),
    "deep": ("idol", "fossil", "crown"),
}
SYSTEM = "Choose what lies buried in a dungeon, and its state: whole, broken or cursed. Cursed is only what lies deep."
SOLVED = (
    ({"branch": "main", "depth": "deep"}, {"action": "idol", "state": "cursed"}),
    ({"branch": "mines", "depth": "shallow"}, {"action": "coins", "state": "whole"}),
    ({"branch": "main", "depth": "middle"}, {"action": "tablet", "state": "broken"}),
)


class Find(Content):
    """What is found by digging, and its state."""

    action: str
    state: State


def _asks(event: Event) -> Sequence[Context]:
    told = due(event, "archaeology")
    if told is None:
        return ()
    day, places = told["day"], places_of(told, 5)
    count, deepest = scaled(SPOTS_MIN, SPOTS_MAX, told), max(1, told["deepest"])
    return [
        {
            "day": day,
            "number": n,
            "zone": one_of(places, "zone", day, n)[0],
            "x": between(1, WIDTH, "x", day, n),
            "y": between(1, HEIGHT, "y", day, n),
            "hours": SPOT_HOURS,
            # What lies there has come up from somewhere between the first level and the deepest.
            "depth": between(1, deepest, "depth", day, n),
        }
        for n in range(1, count + 1)
    ]


def _signature(context: Context) -> Context:
    return {"branch": branch(text(context, "zone")), "depth": depth_of(number(context, "depth"))}


def _legal(context: Context) -> tuple[str, ...]:
    return FINDS[depth_of(number(context, "depth"))]


def _rules(context: Context) -> Answer:
    day, spot = number(context, "day"), number(context, "number")
    action, state = one_of(_legal(context), "find", day, spot), one_of(get_args(State)[:2], "state", day, spot)
    return Answer(action, Find(action=action, state=state))


def _check(context: Context, answer: Answer) -> str:
    is_cursed = answer.content.model_dump()["state"] == "cursed"
    return "what lies so high is not cursed" if is_cursed and _legal(context) != FINDS["deep"] else ""


archaeology = Agent(
    name="archaeology",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Find,
    check=_check,
    rules=_rules,
    default=lambda context: Answer(_legal(context)[0], Find(action=_legal(context)[0], state="broken")),
    tier="bronze",
    deadline_ms=30_000,
    cost_cap_usd_micros=12_500,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: tiered({0.2: 0.95, 0.5: 0.05}, context, "archaeology", "day", "number"),
    tells=("day", "number", "zone", "x", "y", "hours"),
)
