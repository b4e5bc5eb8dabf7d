"""World: keeps the state of the world fit to live in, by making it kinder or wilder, four times a day.

The spec only names its purpose, "state management". When it eases or stirs, the world is another for everybody: no
answer from before is used after it. When it keeps the world as it is, answers stay good.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.buckets import depth_of
from inference.complexity import weighed
from inference.reading import asked, crowd, due, last_action, number, toll
from schemas import Event, ScheduleDue

Reach = Literal["upper", "lower", "everywhere"]
ACTIONS = ("keep", "ease", "stir")
# A change ends the use of cached answers: often enough to be felt, seldom enough to leave the cache its use.
EVERY_HOURS = 6
SYSTEM = "You keep a game world in balance. Many deaths: ease. No deaths: stir. Else keep. Then say which levels."
SOLVED = (
    ({"deaths": "some", "depth": "middle", "players": "many", "last": "stir"}, {"action": "keep", "reach": "upper"}),
    ({"deaths": "none", "depth": "shallow", "players": "some", "last": "keep"}, {"action": "stir", "reach": "upper"}),
    ({"deaths": "none", "depth": "deep", "players": "some", "last": "keep"}, {"action": "stir", "reach": "lower"}),
    ({"deaths": "many", "depth": "deep", "players": "some", "last": "ease"}, {"action": "ease", "reach": "everywhere"}),
    ({"deaths": "many", "depth": "shallow", "players": "few", "last": "none"}, {"action": "ease", "reach": "upper"}),
)


class State(Content):
    """Whether the world grows kinder (ease) or wilder (stir), and on which of its levels."""

    action: str
    reach: Reach


def _asks(event: Event) -> Context | None:
    context = due(event, "hour")
    return context if context and context["hour"] % EVERY_HOURS == 0 else None


def _signature(context: Context) -> Context:
    depth, last = depth_of(number(context, "deepest")), last_action(context, "world", ACTIONS)
    return {"deaths": toll(context), "depth": depth, "players": crowd(context), "last": last}


def _do(action: str, reach: Reach) -> Answer:
    return Answer(action, State(action=action, reach=reach))


def _rules(context: Context) -> Answer:
    match _signature(context):
        case {"deaths": "many", "last": last, "depth": depth}:
            return _do("ease", "everywhere" if last == "ease" else "lower" if depth == "deep" else "upper")
        case {"deaths": "none", "players": "some" | "many", "depth": depth}:
            return _do("stir", "lower" if depth == "deep" else "upper")
    return _do("keep", "everywhere")


def _check(context: Context, answer: Answer) -> str:
    deaths = toll(context)
    if answer.action == "stir" and deaths == "many":
        return "where many die nothing is stirred up"
    return "where nobody dies nothing is eased" if answer.action == "ease" and deaths == "none" else ""


world = Agent(
    name="world",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=lambda context: ACTIONS,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=State,
    check=_check,
    rules=_rules,
    default=lambda context: _do("keep", "everywhere"),
    tier="bronze",
    deadline_ms=60_000,
    cost_cap_usd_micros=25_000,
    max_tokens=24,
    signature=_signature,
    blurs=("players",),
    complexity=lambda context: weighed(
        deaths=toll(context) == "many",
        crowd=crowd(context) == "many",
        deep=depth_of(number(context, "deepest")) == "deep",
        again=last_action(context, "world", ACTIONS) != "none",
    ),
    impact=lambda context: "medium",
    tells=("day", "hour"),
    changes_world=("ease", "stir"),
)
