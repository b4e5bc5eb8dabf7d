"""Treasure: at 01:00 eight to twelve treasures, the more in a place the more it is visited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.lots import activity, between, by_activity, one_of, places_of, scaled, tiered
from inference.reading import asked, due, number, toll, wealth
from schemas import Event, ScheduleDue

TREASURES_MIN, TREASURES_MAX = 8, 12
WORTH_MIN, WORTH_MAX = 20, 200
Place = Literal["open", "hidden", "locked"]
ACTIONS = ("gold", "gems", "weapon", "armour", "potion", "scroll")
LIES: dict[str, Place] = {"quiet": "open", "busy": "hidden", "crowded": "locked"}
SYSTEM = "Choose a treasure and how it lies: open, hidden or locked. In a crowded place it is not open."
SOLVED = (
    ({"visits": "quiet", "gold": "scarce", "deaths": "none"}, {"action": "gems", "lies": "open"}),
    ({"visits": "crowded", "gold": "plenty", "deaths": "some"}, {"action": "scroll", "lies": "locked"}),
    ({"visits": "busy", "gold": "steady", "deaths": "many"}, {"action": "potion", "lies": "hidden"}),
)


class Trove(Content):
    """What it is, and how it lies."""

    action: str
    lies: Place


def _asks(event: Event) -> Sequence[Context]:
    told = due(event, "treasure")
    if told is None:
        return ()
    day, shares = told["day"], by_activity(places_of(told, 3), scaled(TREASURES_MIN, TREASURES_MAX, told))
    shared = {key: told[key] for key in ("day", "players", "deaths", "gold")}
    return [
        {**shared, "number": n, "zone": zone, "visits": visits, "worth": between(WORTH_MIN, WORTH_MAX, "worth", day, n)}
        for n, (zone, visits) in enumerate(shares, start=1)
    ]


def _signature(context: Context) -> Context:
    return {"visits": activity(number(context, "visits")), "gold": wealth(context), "deaths": toll(context)}


def _rules(context: Context) -> Answer:
    signature = _signature(context)
    kinds = ACTIONS[:2] if signature["gold"] == "scarce" else ACTIONS[2:5] if signature["deaths"] == "many" else ACTIONS
    action = one_of(kinds, "treasure", number(context, "day"), number(context, "number"))
    return Answer(action, Trove(action=action, lies=LIES[signature["visits"]]))


def _check(context: Context, answer: Answer) -> str:
    is_open = answer.content.model_dump()["lies"] == "open"
    return "in a crowded place nothing lies open" if is_open and _signature(context)["visits"] == "crowded" else ""


treasure = Agent(
    name="treasure",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=lambda context: ACTIONS,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Trove,
    check=_check,
    rules=_rules,
    default=lambda context: Answer("gold", Trove(action="gold", lies="hidden")),
    tier="bronze",
    deadline_ms=30_000,
    cost_cap_usd_micros=12_500,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: tiered({0.2: 0.90, 0.5: 0.10}, context, "treasure", "day", "number"),
    tells=("day", "number", "zone", "worth"),
)
