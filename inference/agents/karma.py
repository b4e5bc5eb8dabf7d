"""Karma: what the world owes a hero for how it went: for a death, and for gold that was paid, lost or stolen.

The spec only names it. Its actions, counted, are the world's karma that a story arc is written from.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.complexity import weighed
from inference.reading import asked, choice, foe, number, text
from inference.wording import name_of
from schemas import Event, GoldSpent, PlayerDied

Sign = Literal["dream", "omen", "silence"]
ACTIONS = ("reward", "leave", "punish")
WHYS = ("monster", "keeper", "hunger", "nobody", "bought", "stolen", "lost")
UNJUST = (("stolen", "punish"), ("keeper", "reward"), ("hunger", "punish"))
# Less gold than this is small change, which no god counts; a death below this depth weighs more.
GOLD_MIN, DEEP = 50, 6
SYSTEM = "Choose what happens to a hero's karma, and the sign of it. Wronged: reward. Wrongdoer: punish. Else: leave."
SOLVED = (
    ({"why": "lost", "event": "gold"}, {"action": "leave", "sign": "silence"}),
    ({"why": "stolen", "event": "gold"}, {"action": "reward", "sign": "dream"}),
    ({"why": "bought", "event": "gold"}, {"action": "leave", "sign": "silence"}),
    ({"why": "keeper", "event": "death"}, {"action": "punish", "sign": "omen"}),
    ({"why": "hunger", "event": "death"}, {"action": "reward", "sign": "dream"}),
    ({"why": "monster", "event": "death"}, {"action": "leave", "sign": "silence"}),
)


class Balance(Content):
    """What happens to the hero's karma, and by which sign it is felt."""

    action: str
    sign: Sign


def _asks(event: Event) -> Context | None:
    hero = name_of(event.subject)
    if event.HasField("player_died"):
        died = event.player_died
        return {"hero": hero, "event": "death", "why": foe(died.killer), "size": died.depth}
    spent = event.gold_spent
    told = {"hero": hero, "event": "gold", "why": spent.reason, "size": spent.amount}
    return told if spent.amount >= GOLD_MIN and spent.reason in WHYS else None


def _signature(context: Context) -> Context:
    why = text(context, "why") if context.get("why") in WHYS else "monster"
    return {"why": why, "event": choice(context, "event", ("death", "gold"))}


def _is_large(context: Context) -> bool:
    return number(context, "size") >= (5 * GOLD_MIN if context.get("event") == "gold" else DEEP)


def _do(action: str, sign: Sign) -> Answer:
    return Answer(action, Balance(action=action, sign=sign))


def _rules(context: Context) -> Answer:
    match _signature(context):
        case {"why": "keeper"}:
            return _do("punish", "omen")
        case {"why": "stolen" | "hunger"}:
            return _do("reward", "dream")
    return _do("leave", "silence")


def _check(context: Context, answer: Answer) -> str:
    if (_signature(context)["why"], answer.action) in UNJUST:
        return f"{answer.action} is unjust to this hero"
    is_silent = answer.content.model_dump()["sign"] == "silence"
    return "" if is_silent == (answer.action == "leave") else "silence is the sign that nothing has changed"


karma = Agent(
    name="karma",
    trigger=(PlayerDied, GoldSpent),
    asks=_asks,
    legal_actions=lambda context: ACTIONS,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Balance,
    check=_check,
    rules=_rules,
    default=lambda context: _do("leave", "silence"),
    tier="silver",
    deadline_ms=10_000,
    cost_cap_usd_micros=5_000,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: weighed(
        judged=_signature(context)["why"] not in ("monster", "bought", "lost"),
        large=_is_large(context),
        gold=0.6 * (context.get("event") == "gold"),
    ),
    tells=("hero", "event", "why", "size"),
)
