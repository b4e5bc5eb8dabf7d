"""EconomySocial: where the market meets the guilds: each hour who is helped by whose gold, or that trade goes on.

The spec only names it; here guilds and market help each other out when gold runs short or piles up.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.complexity import weighed
from inference.reading import asked, crowd, due, toll, wealth
from schemas import ScheduleDue

Guild = Literal["delvers", "hunters", "traders"]
ACTIONS = ("keep_trading", "guild_discount", "guild_levy", "open_fair")
SYSTEM = "A market meets the guilds. Gold scarce: discount. Gold plenty: levy or fair. Else keep trading."
SOLVED = (
    ({"gold": "scarce", "deaths": "many", "players": "few"}, {"action": "guild_discount", "guild": "hunters"}),
    ({"gold": "plenty", "deaths": "none", "players": "many"}, {"action": "open_fair", "guild": "traders"}),
    ({"gold": "steady", "deaths": "some", "players": "some"}, {"action": "keep_trading", "guild": "traders"}),
    ({"gold": "plenty", "deaths": "many", "players": "some"}, {"action": "guild_levy", "guild": "hunters"}),
    ({"gold": "scarce", "deaths": "none", "players": "some"}, {"action": "guild_discount", "guild": "delvers"}),
)


class Terms(Content):
    """What market and guilds agree on, and which guild it is for."""

    action: str
    guild: Guild


def _signature(context: Context) -> Context:
    return {"gold": wealth(context), "deaths": toll(context), "players": crowd(context)}


def _do(action: str, guild: Guild) -> Answer:
    return Answer(action, Terms(action=action, guild=guild))


def _rules(context: Context) -> Answer:
    match _signature(context):
        case {"gold": "scarce", "deaths": deaths}:
            return _do("guild_discount", "hunters" if deaths == "many" else "delvers")
        case {"gold": "plenty", "deaths": "many"}:
            return _do("guild_levy", "hunters")
        case {"gold": "plenty", "players": "some" | "many"}:
            return _do("open_fair", "traders")
    return _do("keep_trading", "traders")


def _check(context: Context, answer: Answer) -> str:
    gold = wealth(context)
    if (gold, answer.action) in (("scarce", "guild_levy"), ("scarce", "open_fair"), ("plenty", "guild_discount")):
        return f"{answer.action} is out of place where gold is {gold}"
    return ""


economy_social = Agent(
    name="economy_social",
    trigger=(ScheduleDue,),
    asks=lambda event: due(event, "hour"),
    legal_actions=lambda context: ACTIONS,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Terms,
    check=_check,
    rules=_rules,
    default=lambda context: _do("keep_trading", "traders"),
    tier="bronze",
    deadline_ms=60_000,
    cost_cap_usd_micros=25_000,
    max_tokens=24,
    signature=_signature,
    blurs=("players",),
    complexity=lambda context: weighed(
        unsteady=wealth(context) != "steady",
        deaths=toll(context) == "many",
        crowd=crowd(context) == "many",
    ),
    impact=lambda context: "medium",
    tells=("day", "hour"),
)
