"""Decision: how the NPCs of a place behave when a hero comes in, from looking away to lying in wait."""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.buckets import depth_of
from inference.complexity import weighed
from inference.reading import asked, branch, number, text
from schemas import Event, PlaceEntered

Manner = Literal["calm", "wary", "hostile"]
# Below these levels a hero has learnt to look out for an ambush.
AMBUSH_DEPTH, DEEP_DEPTH = 4, 9
SYSTEM = "A hero enters a place. Choose how those who live there behave."
SOLVED = (
    ({"depth": "surface", "branch": "main"}, {"action": "greet", "manner": "calm"}),
    ({"depth": "shallow", "branch": "mines"}, {"action": "greet", "manner": "calm"}),
    ({"depth": "shallow", "branch": "main"}, {"action": "watch", "manner": "calm"}),
    ({"depth": "middle", "branch": "mines"}, {"action": "flee", "manner": "wary"}),
    ({"depth": "middle", "branch": "main"}, {"action": "watch", "manner": "wary"}),
    ({"depth": "deep", "branch": "main"}, {"action": "ambush", "manner": "hostile"}),
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


def _do(action: str, manner: Manner) -> Answer:
    return Answer(action, Behaviour(action=action, manner=manner))


def _rules(context: Context) -> Answer:
    match _signature(context):
        case {"depth": "deep"}:
            return _do("ambush", "hostile")
        case {"branch": "mines", "depth": "shallow"}:
            return _do("greet", "calm")
        case {"depth": "surface" | "shallow"}:
            return _do("watch", "calm")
    return _do("watch", "wary")


def _check(context: Context, answer: Answer) -> str:
    if (answer.action == "ambush") != (answer.content.model_dump()["manner"] == "hostile"):
        return "hostile is who lies in wait, and nobody else"
    return ""


decision = Agent(
    name="decision",
    trigger=(PlaceEntered,),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Behaviour,
    check=_check,
    rules=_rules,
    default=lambda context: _do("ignore", "calm"),
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
)
