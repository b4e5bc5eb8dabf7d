"""Dynamic NPC: at 06:00 twenty-five to forty people arrive, each with a personality and a behaviour of its own.

Some days those of one role have heard the same news and are all about the same: a model thinks it up once for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.complexity import FULL_MIN
from inference.lots import between, one_of, places_of, scaled, tiered
from inference.reading import asked, choice, due, text
from schemas import Event, ScheduleDue

NPCS_MIN, NPCS_MAX = 25, 40
# Of all NPCs so many are left to the rules, share an answer, and are thought about alone (spec A.14).
RULED, SHARED, OWN = 0.60, 0.35, 0.05
Wish = Literal["nothing", "gold", "news", "help"]
# What each role may be about, by temper: the first when gentle, the second when shrewd, the third when gruff.
ROLES = {
    "merchant": ("trade", "bargain", "hoard"),
    "healer": ("heal", "teach", "rest"),
    "guard": ("escort", "patrol", "challenge"),
    "scholar": ("teach", "ask", "study"),
    "wanderer": ("tell", "ask", "wander"),
}
TEMPERS = ("gentle", "shrewd", "gruff")
# Nobody does these for nothing.
PAID = ("trade", "bargain")
PERSONALITIES = {
    **dict.fromkeys(("kind", "cheerful", "patient", "shy", "honest"), "gentle"),
    **dict.fromkeys(("curious", "vain", "sly", "greedy", "witty"), "shrewd"),
    **dict.fromkeys(("proud", "grim", "hasty", "stubborn", "weary"), "gruff"),
}
_FIRST = ("As", "Bor", "Dag", "Ei", "Fri", "Gud", "Hal", "Ing", "Jor", "Ket", "Lo", "Mag", "Os")
_LAST = ("gar", "mund", "dis", "rik", "hild", "vald", "run")
DEEDS = ("lost a fortune", "saw a dragon", "fled a war", "broke an oath", "found a grave", "owes a life")
SYSTEM = "Choose what a person in a fantasy town does today, and what they want of heroes: nothing, gold, news or help."
SOLVED = (
    ({"role": "merchant"}, {"action": "bargain", "wants": "gold"}),
    (
        {"role": "guard", "temper": "gruff", "name": "Dagrun", "past": "a war"},
        {"action": "patrol", "wants": "help"},
    ),
    ({"role": "scholar"}, {"action": "ask", "wants": "news"}),
    (
        {"role": "healer", "temper": "gentle", "name": "Asdis", "past": "a debt"},
        {"action": "heal", "wants": "news"},
    ),
)


class Behaviour(Content):
    """What the NPC is about today, and what it wants of heroes."""

    action: str
    wants: Wish


def _asks(event: Event) -> Sequence[Context]:
    told = due(event, "dynamic_npc")
    if told is None:
        return ()
    day, places = told["day"], places_of(told, 5)
    names, offset = [first + last for last in _LAST for first in _FIRST], between(0, 90, "names", day)
    return [
        {
            "day": day,
            "number": n,
            # A step that shares no factor with their number leads through all the names before one comes again.
            "name": names[(offset + 17 * n) % len(names)],
            "personality": one_of(list(PERSONALITIES), "personality", day, n),
            "role": one_of(list(ROLES), "role", day, n),
            "deed": one_of(DEEDS, "deed", day, n),
            "zone": one_of(places, "home", day, n)[0],
        }
        for n in range(1, scaled(NPCS_MIN, NPCS_MAX, told) + 1)
    ]


def _complexity(context: Context) -> float:
    own = tiered({0.9: OWN, 0.0: 1 - OWN}, context, "dynamic_npc", "day", "number")
    # Drawn for the role and not for each, or a call would seldom have three to answer (docs/adr/0008).
    return own or tiered({0.5: SHARED / (1 - OWN), 0.2: RULED / (1 - OWN)}, context, "dynamic_npc", "day", "role")


def _temper(context: Context) -> str:
    return PERSONALITIES[choice(context, "personality", list(PERSONALITIES))]


def _signature(context: Context) -> Context:
    role = choice(context, "role", list(ROLES))
    # Who is thought about alone is somebody, and like nobody else; the others of a role are about the same.
    own = {"temper": _temper(context), "name": text(context, "name"), "past": text(context, "deed")}
    return {"role": role, **own} if _complexity(context) >= FULL_MIN else {"role": role}


def _rules(context: Context) -> Answer:
    action = ROLES[choice(context, "role", list(ROLES))][TEMPERS.index(_temper(context))]
    return Answer(action, Behaviour(action=action, wants="gold" if action in PAID else "nothing"))


def _check(context: Context, answer: Answer) -> str:
    is_free = answer.content.model_dump()["wants"] == "nothing"
    return "who trades wants something" if is_free and answer.action in PAID else ""


dynamic_npc = Agent(
    name="dynamic_npc",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=lambda context: ROLES[choice(context, "role", list(ROLES))],
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Behaviour,
    check=_check,
    rules=_rules,
    default=_rules,
    tier="silver",
    deadline_ms=30_000,
    cost_cap_usd_micros=12_500,
    max_tokens=24,
    signature=_signature,
    complexity=_complexity,
    tells=("day", "number", "name", "personality", "role", "deed", "zone"),
)
