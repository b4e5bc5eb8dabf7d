"""Weather: each hour over the most visited places, one step at most from what it was the hour before.

The spec only names it; here it is told place by place, so that players may see it coming.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.complexity import weighed
from inference.lots import between, places_of
from inference.reading import asked, choice, due
from schemas import Event, ScheduleDue

PLACES = 3
Strength = Literal["light", "heavy"]
SKIES = ("clear", "mist", "drizzle", "rain", "storm")
# Every so many hours the sky of a place is drawn, and it moves evenly from one to the next: in two hours one step at
# most. So whichever of two hours' skies a decision takes, the next hour's is beside it.
KNOT_HOURS = 2 * (len(SKIES) - 1)
SYSTEM = "Choose the weather over a place: as it was, or as it is coming. A storm is heavy."
SOLVED = (
    ({"was": "mist", "coming": "drizzle"}, {"action": "drizzle", "strength": "light"}),
    ({"was": "clear", "coming": "clear"}, {"action": "clear", "strength": "light"}),
    ({"was": "rain", "coming": "storm"}, {"action": "storm", "strength": "heavy"}),
)


class Sky(Content):
    """The weather, and its strength."""

    action: str
    strength: Strength


def sky(zone: str, hour: int) -> str:
    """The sky over a place that comes at an hour, counted from the world's first."""
    knot, past = divmod(hour, KNOT_HOURS)
    before, after = (between(0, len(SKIES) - 1, "sky", zone, knot + step) for step in (0, 1))
    return SKIES[(2 * (before * (KNOT_HOURS - past) + after * past) + KNOT_HOURS) // (2 * KNOT_HOURS)]


def _asks(event: Event) -> Sequence[Context]:
    told = due(event, "hour")
    if told is None:
        return ()
    hour, shared = told["day"] * 24 + told["hour"], {key: told[key] for key in ("day", "hour")}
    return [
        {**shared, "zone": zone, "was": sky(zone, hour - 1), "coming": sky(zone, hour)}
        for zone, _ in places_of(told)[:PLACES]
    ]


def _signature(context: Context) -> Context:
    return {when: choice(context, when, SKIES) for when in ("was", "coming")}


def _legal(context: Context) -> tuple[str, ...]:
    return tuple(dict.fromkeys(choice(context, when, SKIES) for when in ("coming", "was")))


def _do(action: str) -> Answer:
    return Answer(action, Sky(action=action, strength="heavy" if action in SKIES[-2:] else "light"))


def _check(context: Context, answer: Answer) -> str:
    is_light = answer.content.model_dump()["strength"] == "light"
    return "no storm is light" if answer.action == "storm" and is_light else ""


weather = Agent(
    name="weather",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Sky,
    check=_check,
    rules=lambda context: _do(_legal(context)[0]),
    default=lambda context: _do(_legal(context)[0]),
    tier="bronze",
    deadline_ms=20_000,
    cost_cap_usd_micros=8_000,
    max_tokens=24,
    signature=_signature,
    # A storm that comes or goes is worth a thought; the rest follows.
    complexity=lambda context: weighed(storm="storm" in _legal(context), turns=0.5 * (len(_legal(context)) > 1)),
    tells=("day", "hour", "zone"),
)
