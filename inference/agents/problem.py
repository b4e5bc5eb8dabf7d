"""Problem: at 00:00 the world's trouble of the day, told to everybody; the better players fared, the worse it is.

It is met when as many heroes as its goal have come to its place before the next one. That is all that is measured: the
spec leaves open what completes a problem, and the log does not tell what heroes do there.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.lots import one_of, places_of, tiered
from inference.reading import asked, choice, crowd, due, json_object, last_action, number, toll
from inference.wording import level_of
from schemas import Event, ScheduleDue

Blame = Literal["nature", "magic", "greed"]
SAYS = {
    "infestation": "Vermin swarm over {}.",
    "raid": "Raiders hold {}.",
    "plague": "A sickness spreads from {}.",
    "famine": "All food rots on {}.",
    "haunting": "The dead walk on {}.",
    "collapse": "Tunnels cave in on {}.",
}
BLAMES: dict[str, Blame] = {"raid": "greed", "haunting": "magic"}
NONE = "none"
# Trouble escalates with the players' response (spec B.14, C.17): the fewer died, the worse it is, and a step worse than
# that after one that was met, a step milder after one that was not.
SEVERITIES, TOLLS = ("mild", "serious", "grave"), ("many", "some", "none")
SYSTEM = "Choose a new trouble for a fantasy world, and what is to blame for it: nature, magic or greed."
SOLVED = (
    ({"severity": "mild", "players": "few", "last": "raid"}, {"action": "famine", "blame": "nature"}),
    ({"severity": "grave", "players": "many", "last": "plague"}, {"action": "raid", "blame": "greed"}),
    ({"severity": "serious", "players": "few", "last": "none"}, {"action": "haunting", "blame": "magic"}),
)


class Trouble(Content):
    """The trouble, and what is to blame for it."""

    action: str
    blame: Blame


def _asks(event: Event) -> Context | None:
    told = due(event, "problem")
    if told is None:
        return None
    zone, _ = one_of(places_of(told), "problem", told["day"])
    # Half of those who play are needed to end it.
    place, goal = level_of(zone, 1), max(1, told["players"] // 2)
    says = {action: text.format(place) for action, text in SAYS.items()}
    met = _completion_percent(json_object(event.schedule_due.context))
    counts = {"day": told["day"], "players": told["players"], "goal": goal, "completion_percent": met}
    last = last_action(told, "problem", list(SAYS), NONE)
    return {**counts, "severity": _severity(told, met), "last": last, "zone": zone, "says": says}


def _completion_percent(told: Context) -> int | None:
    """Of the heroes that the last problem wanted, how many of a hundred came; None when there was none."""
    goal = number(told, "goal")
    return min(100, 100 * number(told, "came") // goal) if goal else None


def _severity(told: Context, met: int | None) -> str:
    if not told["players"]:
        return SEVERITIES[0]
    step = 0 if met is None else 1 if met == 100 else -1
    return SEVERITIES[min(len(SEVERITIES) - 1, max(0, TOLLS.index(toll(told)) + step))]


def _signature(context: Context) -> Context:
    severity, last = choice(context, "severity", SEVERITIES), choice(context, "last", (NONE, *SAYS))
    return {"severity": severity, "players": crowd(context), "last": last}


def _legal(context: Context) -> tuple[str, ...]:
    return tuple(action for action in SAYS if action != context.get("last"))


def _do(action: str) -> Answer:
    return Answer(action, Trouble(action=action, blame=BLAMES.get(action, "nature")))


def _check(context: Context, answer: Answer) -> str:
    is_natural = answer.content.model_dump()["blame"] == "nature"
    return "nature neither raids nor haunts" if is_natural and answer.action in BLAMES else ""


problem = Agent(
    name="problem",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Trouble,
    check=_check,
    rules=lambda context: _do(one_of(_legal(context), "problem", number(context, "day"))),
    default=lambda context: _do(_legal(context)[0]),
    tier="silver",
    deadline_ms=30_000,
    cost_cap_usd_micros=12_500,
    max_tokens=32,
    signature=_signature,
    complexity=lambda context: tiered({0.2: 0.90, 0.9: 0.10}, context, "problem", "day"),
    impact=lambda context: "medium",
    tells=("day", "zone", "severity", "goal", "completion_percent", "says"),
    changes_world=tuple(SAYS),
)
