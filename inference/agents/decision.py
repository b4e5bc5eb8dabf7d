"""Decision: how the NPCs of a place behave when a hero comes in, from looking away to lying in wait.

The spec only names its purpose, "NPC behaviour". A hero does not stand still for an answer: the model only chooses, and
the manner follows from what it chose and where.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.buckets import depth_of
from inference.complexity import weighed
from inference.reading import asked, branch, number, text
from schemas import Event, PlaceEntered

Manner = Literal["calm", "wary", "hostile"]
# Who looks away is calm anywhere; all others are calm where heroes are not feared yet, and wary below.
MANNERS: dict[str, Manner] = {"ignore": "calm", "flee": "wary", "ambush": "hostile"}
# Below these levels a hero has learnt to look out for an ambush.
AMBUSH_DEPTH, DEEP_DEPTH = 4, 9
SYSTEM = "A hero enters a place. Choose how those who live there behave."
SOLVED = (
    ({"depth": "surface", "branch": "main"}, {"action": "greet"}),
    ({"depth": "shallow", "branch": "mines"}, {"action": "greet"}),
    ({"depth": "shallow", "branch": "main"}, {"action": "watch"}),
    ({"depth": "middle", "branch": "mines"}, {"action": "flee"}),
    ({"depth": "middle", "branch": "main"}, {"action": "watch"}),
    ({"depth": "deep", "branch": "main"}, {"action": "ambush"}),
)


class Behaviour(Content):
    """What the NPCs do, and in which manner."""

    action: str
    manner: Manner


def _asks(event: Event) -> Context:
    return {"zone": event.place_entered.zone, "depth": event.place_entered.depth}


def _signature(context: Context) -> Context:
    return {"depth": depth_of(number(context, "depth")), "branch": branch(text(context, "zone"))}


def _legal(context: Context) -> tuple[str, ...]:
    actions = ("ignore", "watch", "greet")
    return (*actions, "flee", "ambush") if number(context, "depth") >= AMBUSH_DEPTH else actions


def _do(context: Context, action: str) -> Answer:
    usual: Manner = "wary" if number(context, "depth") >= AMBUSH_DEPTH else "calm"
    return Answer(action, Behaviour(action=action, manner=MANNERS.get(action, usual)))


def _rules(context: Context) -> Answer:
    match _signature(context):
        case {"depth": "deep"}:
            return _do(context, "ambush")
        case {"branch": "mines", "depth": "shallow"}:
            return _do(context, "greet")
    return _do(context, "watch")


decision = Agent(
    name="decision",
    trigger=(PlaceEntered,),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Behaviour,
    check=lambda context, answer: "",
    rules=_rules,
    default=lambda context: _do(context, "ignore"),
    tier="gold",
    deadline_ms=2_000,
    cost_cap_usd_micros=1_000,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: weighed(
        deep=number(context, "depth") >= DEEP_DEPTH,
        ambush=number(context, "depth") >= AMBUSH_DEPTH,
        branch=branch(text(context, "zone")) != "main",
    ),
    tells=("zone", "depth"),
    chosen=_do,
)
