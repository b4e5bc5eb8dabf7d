"""Dynamic boss: at every fourth level down a foe rises to meet the hero who has never been so deep.

The spec only names it; here its kind, health and reward grow with the depth, as heroes expect of a boss.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.buckets import depth_of
from inference.complexity import weighed
from inference.lots import one_of
from inference.prompts import as_data
from inference.reading import NAME_MAX, asked, branch, number, text
from inference.wording import level_of, name_of
from schemas import DepthReached, Event

EVERY_LEVELS = 4
# A boss of so many points of health for each level, and a reward in gold for beating it.
HEALTH, GOLD = 12, 25
Tactic = Literal["charge", "ambush", "summon"]
BOSSES: dict[str, dict[str, Tactic]] = {
    "surface": {"rat_king": "charge"},
    "shallow": {"rat_king": "summon", "jackal_lord": "charge"},
    "middle": {"orc_warlord": "charge", "ghoul_queen": "ambush", "ettin": "charge"},
    "deep": {"vampire_count": "ambush", "black_dragon": "charge", "lich": "summon", "balrog": "charge"},
}
EPITHETS = ("Unburied", "Cruel", "Sleepless", "Old", "Hungry", "Crowned")
SYSTEM = "Choose the boss that meets a hero in a dungeon, and its tactic: charge, ambush or summon."
SOLVED = (
    ({"depth": "shallow", "branch": "main"}, {"action": "rat_king", "tactic": "summon"}),
    ({"depth": "middle", "branch": "mines"}, {"action": "orc_warlord", "tactic": "charge"}),
    ({"depth": "deep", "branch": "main"}, {"action": "vampire_count", "tactic": "ambush"}),
)


class Boss(Content):
    """Which boss, and how it fights."""

    action: str
    tactic: Tactic


def _asks(event: Event) -> Context | None:
    reached = event.depth_reached
    if not reached.depth or reached.depth % EVERY_LEVELS:
        return None
    hero, zone = name_of(event.subject), as_data(reached.zone, NAME_MAX)
    named = f"{one_of(('Grim', 'Skar', 'Ulf', 'Morg', 'Vex'), hero, zone)} the {one_of(EPITHETS, zone, hero)}"
    says = f"{named} rises on {level_of(zone, reached.depth)}."
    size = {"depth": reached.depth, "health": HEALTH * reached.depth, "reward": GOLD * reached.depth}
    return {"hero": as_data(hero, NAME_MAX), "zone": zone, "name": named, **size, "says": says}


def _signature(context: Context) -> Context:
    return {"depth": depth_of(number(context, "depth")), "branch": branch(text(context, "zone"))}


def _bosses(context: Context) -> dict[str, Tactic]:
    return BOSSES[depth_of(number(context, "depth"))]


def _do(context: Context, action: str) -> Answer:
    return Answer(action, Boss(action=action, tactic=_bosses(context)[action]))


def _check(context: Context, answer: Answer) -> str:
    is_summoner = answer.content.model_dump()["tactic"] == "summon"
    return "a beast summons nobody" if is_summoner and answer.action in ("ettin", "black_dragon") else ""


dynamic_boss = Agent(
    name="dynamic_boss",
    trigger=(DepthReached,),
    asks=_asks,
    legal_actions=lambda context: tuple(_bosses(context)),
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Boss,
    check=_check,
    rules=lambda context: _do(context, one_of(list(_bosses(context)), text(context, "hero"), text(context, "zone"))),
    default=lambda context: _do(context, next(iter(_bosses(context)))),
    tier="silver",
    deadline_ms=10_000,
    cost_cap_usd_micros=5_000,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: weighed(
        deep=number(context, "depth") > EVERY_LEVELS, side=branch(text(context, "zone")) != "main"
    ),
    impact=lambda context: "medium",
    tells=("hero", "zone", "depth", "name", "health", "reward", "says"),
)
