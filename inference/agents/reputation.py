"""Reputation: with every second level of depth and fourth of experience a hero's name grows, and among whom.

The spec only names it; here feats alone make a name, and a title is for the greatest of them.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.buckets import bucket
from inference.complexity import weighed
from inference.reading import asked, choice, number
from inference.wording import name_of
from schemas import DepthReached, Event, PlayerLevelled

Among = Literal["guild", "temple", "townsfolk"]
FEATS = ("depth", "level")
SYSTEM = "A hero did a feat. Choose how the hero's name grows, and among whom."
SOLVED = (
    ({"greatness": "small", "feat": "level"}, {"action": "raise_a_little", "among": "temple"}),
    ({"greatness": "small", "feat": "depth"}, {"action": "raise_a_little", "among": "townsfolk"}),
    ({"greatness": "fair", "feat": "level"}, {"action": "raise_much", "among": "temple"}),
    ({"greatness": "fair", "feat": "depth"}, {"action": "raise_much", "among": "guild"}),
    ({"greatness": "great", "feat": "level"}, {"action": "grant_title", "among": "temple"}),
    ({"greatness": "great", "feat": "depth"}, {"action": "grant_title", "among": "guild"}),
)


class Renown(Content):
    """By how much a hero's name grows, and among whom."""

    action: str
    among: Among


def _asks(event: Event) -> Context | None:
    is_level = event.HasField("player_levelled")
    reached, every = (event.player_levelled.level, 4) if is_level else (event.depth_reached.depth, 2)
    if not reached or reached % every:
        return None
    return {"hero": name_of(event.subject), "feat": "level" if is_level else "depth", "reached": reached}


def _signature(context: Context) -> Context:
    greatness = bucket(number(context, "reached"), (5, 10), ("small", "fair", "great"))
    return {"greatness": greatness, "feat": choice(context, "feat", FEATS)}


def _legal(context: Context) -> tuple[str, ...]:
    actions = ("keep", "raise_a_little", "raise_much")
    return (*actions, "grant_title") if _signature(context)["greatness"] == "great" else actions


def _do(action: str, among: Among) -> Answer:
    return Answer(action, Renown(action=action, among=among))


def _rules(context: Context) -> Answer:
    signature = _signature(context)
    action = {"small": "raise_a_little", "fair": "raise_much"}.get(signature["greatness"], "grant_title")
    return _do(action, "temple" if signature["feat"] == "level" else "guild")


def _check(context: Context, answer: Answer) -> str:
    greatness = _signature(context)["greatness"]
    if (greatness, answer.action) in (("small", "raise_much"), ("great", "keep")):
        return f"a {greatness} feat is not worth {answer.action}"
    return ""


reputation = Agent(
    name="reputation",
    trigger=(DepthReached, PlayerLevelled),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Renown,
    check=_check,
    rules=_rules,
    default=lambda context: _do("keep", "townsfolk"),
    tier="silver",
    deadline_ms=10_000,
    cost_cap_usd_micros=5_000,
    max_tokens=24,
    signature=_signature,
    blurs=("feat",),
    complexity=lambda context: weighed(
        fair=number(context, "reached") > 4,
        great=number(context, "reached") > 9,
        title=len(_legal(context)) > 3,
    ),
    tells=("hero", "feat", "reached"),
)
