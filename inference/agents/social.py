"""Social: at 07:00 a task for each guild and two events for everybody, each with its time of the day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.complexity import weighed
from inference.reading import asked, choice, crowd, due, number, toll
from schemas import Event, ScheduleDue

Time = Literal["morning", "noon", "evening"]
# What each guild may be set to, and what is held for everybody by day and by night.
LEGAL = {
    "delvers": ("map_together", "rescue_together"),
    "hunters": ("hunt_together", "train_together"),
    "traders": ("gather_together", "trade_together"),
    "day": ("contest", "market", "parade"),
    "night": ("feast", "tales", "vigil"),
}
TIMES: dict[str, Time] = {"day": "noon", "night": "evening"}
SYSTEM = "Plan a day for the players of a game: choose a guild's task or an event, and its time."
SOLVED = (
    ({"for": "hunters", "deaths": "many", "players": "few"}, {"action": "train_together", "time": "morning"}),
    ({"for": "hunters", "deaths": "none", "players": "few"}, {"action": "hunt_together", "time": "noon"}),
    ({"for": "traders", "deaths": "none", "players": "few"}, {"action": "gather_together", "time": "noon"}),
    ({"for": "delvers", "deaths": "many", "players": "few"}, {"action": "rescue_together", "time": "morning"}),
    ({"for": "delvers", "deaths": "none", "players": "few"}, {"action": "map_together", "time": "noon"}),
    ({"for": "night", "deaths": "none", "players": "some"}, {"action": "feast", "time": "evening"}),
    ({"for": "night", "deaths": "many", "players": "some"}, {"action": "vigil", "time": "evening"}),
    ({"for": "day", "deaths": "many", "players": "some"}, {"action": "parade", "time": "noon"}),
    ({"for": "day", "deaths": "some", "players": "few"}, {"action": "market", "time": "noon"}),
    ({"for": "day", "deaths": "none", "players": "many"}, {"action": "contest", "time": "noon"}),
)


class Plan(Content):
    """What is done together, and when."""

    action: str
    time: Time


def _asks(event: Event) -> Sequence[Context]:
    today = due(event, "social")
    if today is None:
        return ()
    told = {key: today[key] for key in ("day", "players", "deaths")}
    # A guild's task is for a part of the players, an event for as many as will come.
    return [{**told, "for": part, "goal": max(3, today["players"] // (1 + len(part) // 6))} for part in LEGAL]


def _signature(context: Context) -> Context:
    return {"for": choice(context, "for", tuple(LEGAL)), "deaths": toll(context), "players": crowd(context)}


def _legal(context: Context) -> tuple[str, ...]:
    return LEGAL[choice(context, "for", tuple(LEGAL))]


def _do(action: str, time: Time) -> Answer:
    return Answer(action, Plan(action=action, time=time))


def _rules(context: Context) -> Answer:
    # The last of what is open helps where many died, or mourns them; else tasks and events take turns by the day.
    legal, day = _legal(context), number(context, "day")
    is_hard = toll(context) == "many" and context.get("for") != "day"
    return _do(legal[-1 if is_hard else day % 2], TIMES.get(str(context.get("for")), "morning"))


def _check(context: Context, answer: Answer) -> str:
    if answer.action == "vigil" and toll(context) == "none":
        return "nobody died, so there is nobody to hold a vigil for"
    is_evening = answer.content.model_dump()["time"] == "evening"
    return "" if is_evening == (context.get("for") == "night") else "what is for the night is held in the evening"


social = Agent(
    name="social",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Plan,
    check=_check,
    rules=_rules,
    default=lambda context: _do(_legal(context)[0], TIMES.get(str(context.get("for")), "noon")),
    tier="bronze",
    deadline_ms=60_000,
    cost_cap_usd_micros=25_000,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: weighed(
        deaths=toll(context) == "many",
        crowd=crowd(context) == "many",
        event=context.get("for") in ("day", "night"),
    ),
    tells=("day", "for", "goal"),
)
