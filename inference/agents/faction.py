"""Faction: which of three powers gains ground each hour: the heroes' delvers, the folk of the mines, or the dead.

The spec only names it. Who has gained most is the faction dominance that a story arc is written from.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.buckets import bucket, depth_of
from inference.complexity import weighed
from inference.reading import asked, branch, decided, due, number, pairs, toll
from schemas import ScheduleDue

By = Literal["deeds", "trade", "fear"]
ACTIONS = ("hold", "delvers_gain", "miners_gain", "dead_gain")
WAYS: dict[str, By] = {"hold": "trade", "delvers_gain": "deeds", "miners_gain": "trade", "dead_gain": "fear"}
SYSTEM = "Choose which power gains. Many deaths: the dead. Much visited mines: miners. Great depth: delvers. Else hold."
SOLVED = (
    ({"deaths": "none", "mines": "many", "depth": "shallow"}, "miners_gain"),
    ({"deaths": "none", "mines": "few", "depth": "deep"}, "delvers_gain"),
    ({"deaths": "none", "mines": "none", "depth": "shallow"}, "hold"),
    ({"deaths": "some", "mines": "many", "depth": "shallow"}, "miners_gain"),
    ({"deaths": "some", "mines": "few", "depth": "middle"}, "delvers_gain"),
    ({"deaths": "some", "mines": "none", "depth": "shallow"}, "hold"),
    ({"deaths": "many", "mines": "none", "depth": "middle"}, "dead_gain"),
)


class Shift(Content):
    """Who gains, and by what."""

    action: str
    by: By


def _signature(context: Context) -> Context:
    return {"deaths": toll(context), "mines": _mines(context), "depth": _depth(context)}


def _mines(context: Context) -> str:
    visits = [(branch(zone), times) for zone, times in pairs(context, "places")]
    share = sum(times for name, times in visits if name == "mines") / max(1, sum(times for _, times in visits))
    return bucket(share, (0.01, 0.5), ("none", "few", "many"))


def _depth(context: Context) -> str:
    return depth_of(number(context, "deepest"))


def _do(action: str) -> Answer:
    return Answer(action, Shift(action=action, by=WAYS[action]))


def _rules(context: Context) -> Answer:
    if toll(context) == "many":
        return _do("dead_gain")
    if _mines(context) == "many":
        return _do("miners_gain")
    return _do("delvers_gain" if _depth(context) in ("middle", "deep") else "hold")


def _check(context: Context, answer: Answer) -> str:
    gained = {"dead_gain": toll(context), "miners_gain": _mines(context), "delvers_gain": _depth(context)}
    return "nobody gains by what nobody did" if gained.get(answer.action) in ("none", "surface") else ""


faction = Agent(
    name="faction",
    trigger=(ScheduleDue,),
    asks=lambda event: due(event, "hour"),
    legal_actions=lambda context: ACTIONS,
    prompt=lambda signature: asked(SYSTEM, [(state, {"action": a, "by": WAYS[a]}) for state, a in SOLVED], signature),
    output=Shift,
    check=_check,
    rules=_rules,
    default=lambda context: _do("hold"),
    tier="bronze",
    deadline_ms=60_000,
    cost_cap_usd_micros=25_000,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: weighed(
        deaths=toll(context) == "many",
        mines=_mines(context) == "many",
        depth=_depth(context) == "deep",
        ruled=any(action in ACTIONS[1:] for action in decided(context, "faction")),
    ),
    tells=("day", "hour"),
)
