"""Map hazard: at 00:30 three to five much visited maps become dangerous for 6 to 12 hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.lots import activity, between, one_of, places_of, scaled, some_of, tiered
from inference.reading import asked, branch, choice, due, number, text, toll
from schemas import Event, ScheduleDue

MAPS_MIN, MAPS_MAX = 3, 5
HOURS_MIN, HOURS_MAX = 6, 12
HARMS = ("slight", "severe")
Sign = Literal["runes", "sound", "smell"]
ACTIONS = ("flood", "gas", "cave_in", "fire", "darkness", "spikes")
SYSTEM = "Choose a hazard for a map of a dungeon, and the sign by which it is known: runes, sound or smell."
SOLVED = (
    ({"branch": "mines", "harm": "severe"}, {"action": "cave_in", "sign": "sound"}),
    ({"branch": "main", "harm": "slight"}, {"action": "darkness", "sign": "sound"}),
    ({"branch": "puzzle", "harm": "slight"}, {"action": "spikes", "sign": "runes"}),
    ({"branch": "main", "harm": "severe"}, {"action": "fire", "sign": "smell"}),
)


class Hazard(Content):
    """The hazard, and the sign of it."""

    action: str
    sign: Sign


def _asks(event: Event) -> Sequence[Context]:
    told = due(event, "map_hazard")
    if told is None:
        return ()
    day, count = told["day"], scaled(MAPS_MIN, MAPS_MAX, told)
    maps = some_of(places_of(told, MAPS_MAX), count, "map_hazard", day)
    return [
        {
            "day": day,
            "zone": zone,
            "visits": visits,
            "hours": between(HOURS_MIN, HOURS_MAX, "map_hazard", day, zone),
            # Where many died of late no more are to die of this.
            "harm": HARMS[activity(visits) == "crowded" and toll(told) != "many"],
        }
        for zone, visits in maps
    ]


def _signature(context: Context) -> Context:
    return {"branch": branch(text(context, "zone")), "harm": choice(context, "harm", HARMS)}


def _do(action: str) -> Answer:
    sign: Sign = "smell" if action in ("gas", "fire") else "sound"
    return Answer(action, Hazard(action=action, sign=sign))


def _check(context: Context, answer: Answer) -> str:
    is_read = answer.content.model_dump()["sign"] == "runes"
    return "nobody reads runes in the dark" if is_read and answer.action == "darkness" else ""


map_hazard = Agent(
    name="map_hazard",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=lambda context: ACTIONS,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Hazard,
    check=_check,
    rules=lambda context: _do(one_of(ACTIONS, number(context, "day"), text(context, "zone"))),
    default=lambda context: _do("darkness"),
    tier="bronze",
    deadline_ms=30_000,
    cost_cap_usd_micros=12_500,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: tiered({0.2: 0.95, 0.5: 0.05}, context, "map_hazard", "day", "zone"),
    tells=("day", "zone", "hours", "harm"),
)
