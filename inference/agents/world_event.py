"""World event: every sixth hour something happens to the world, as the power that leads in it would have it.

The spec only names it; here what happens is to the taste of the power that leads.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.complexity import weighed
from inference.lots import one_of, places_of
from inference.reading import asked, choice, crowd, decided, due, last_action, number, toll
from inference.wording import level_of
from schemas import Event, ScheduleDue

EVERY_HOURS, FIRST_HOUR = 6, 3
NONE = "none"
Omen = Literal["bells", "lights", "silence"]
SAYS = {
    "festival": "A festival is held on {}.",
    "market": "Traders from afar set up on {}.",
    "migration": "Beasts on the move pass through {}.",
    "eclipse": "It grows dark over {}.",
    "skirmish": "Blades are drawn on {}.",
    "truce": "A truce is sworn on {}.",
}
# Who leads, and what they would have happen.
POWERS = {
    NONE: ("festival", "market", "migration", "eclipse"),
    "delvers": ("festival", "market", "truce", "skirmish"),
    "miners": ("market", "festival", "truce", "skirmish"),
    "dead": ("eclipse", "migration", "skirmish", "truce"),
}
SYSTEM = "Choose a world event that the leading power wants, and its omen. Many deaths: truce. No eclipse by lights."
SOLVED = (
    ({"leads": "dead", "deaths": "none", "reach": "wide"}, {"action": "eclipse", "omen": "silence"}),
    ({"leads": "miners", "deaths": "none", "reach": "local"}, {"action": "market", "omen": "lights"}),
    ({"leads": "delvers", "deaths": "many", "reach": "wide"}, {"action": "truce", "omen": "bells"}),
    ({"leads": "none", "deaths": "some", "reach": "local"}, {"action": "migration", "omen": "silence"}),
)


class Happening(Content):
    """What happens, and its omen."""

    action: str
    omen: Omen


def _asks(event: Event) -> Context | None:
    told = due(event, "hour")
    if told is None or told["hour"] % EVERY_HOURS != FIRST_HOUR:
        return None
    zone, _ = one_of(places_of(told), "world_event", told["day"], told["hour"])
    gains = {action: times for action, times in decided(told, "faction").items() if action.endswith("_gain")}
    leads = max(gains, key=gains.__getitem__).removesuffix("_gain") if gains else NONE
    says = {action: text.format(level_of(zone, 1)) for action, text in SAYS.items()}
    # What reaches far needs players whom it reaches (spec C.17: content adapts to their number).
    reach = "wide" if crowd(told) in ("some", "many") else "local"
    counts = {**{key: told[key] for key in ("day", "hour", "players", "deaths")}, "reach": reach}
    last = last_action(told, "world_event", list(SAYS), NONE)
    return {**counts, "leads": leads, "last": last, "zone": zone, "hours": EVERY_HOURS, "says": says}


def _signature(context: Context) -> Context:
    leads, reach = choice(context, "leads", list(POWERS)), choice(context, "reach", ("local", "wide"))
    return {"leads": leads, "deaths": toll(context), "reach": reach}


def _legal(context: Context) -> tuple[str, ...]:
    wanted = POWERS[choice(context, "leads", list(POWERS))]
    return tuple(action for action in wanted if action != context.get("last"))


def _do(action: str) -> Answer:
    return Answer(action, Happening(action=action, omen="bells" if action in ("festival", "truce") else "silence"))


def _rules(context: Context) -> Answer:
    legal = _legal(context)
    ends_it = toll(context) == "many" and "truce" in legal
    return _do("truce" if ends_it else legal[(number(context, "day") + number(context, "hour")) % 2])


def _check(context: Context, answer: Answer) -> str:
    is_lit = answer.content.model_dump()["omen"] == "lights"
    return "no eclipse comes with lights" if is_lit and answer.action == "eclipse" else ""


world_event = Agent(
    name="world_event",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Happening,
    check=_check,
    rules=_rules,
    default=lambda context: _do(_legal(context)[0]),
    tier="silver",
    deadline_ms=20_000,
    cost_cap_usd_micros=8_000,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: weighed(
        led=choice(context, "leads", list(POWERS)) != NONE,
        deaths=toll(context) == "many",
        crowd=crowd(context) == "many",
    ),
    impact=lambda context: "medium",
    tells=("day", "hour", "zone", "hours", "reach", "says"),
)
