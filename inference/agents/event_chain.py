"""Event chain: what a world event or the day's problem leads to next, or that it ends there; never what it led to.

The spec only names it; here one thing leads to one more at most, so that no chain runs away.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.complexity import weighed
from inference.lots import between
from inference.reading import asked, choice, json_object, number, text
from inference.wording import level_of
from schemas import DecisionEffective, Event

END = "end"
CAUSES = ("world_event", "problem")
Pace = Literal["soon", "later"]
LINKS = {
    "festival": ("thieves", "new_friends"),
    "market": ("thieves", "price_war"),
    "migration": ("hunt", "stampede"),
    "eclipse": ("prophecy", "nightfall"),
    "skirmish": ("refugees", "reprisal"),
    "truce": ("new_friends", "old_grudge"),
    "infestation": ("hunt", "spoiled_food"),
    "raid": ("refugees", "reprisal"),
    "plague": ("quarantine", "healers_come"),
    "famine": ("price_war", "refugees"),
    "haunting": ("prophecy", "nightfall"),
    "collapse": ("lost_miners", "new_passage"),
}
SAYS = {
    "thieves": "Thieves work the crowd on {}.",
    "new_friends": "Old foes drink together on {}.",
    "price_war": "Prices go mad on {}.",
    "hunt": "A hunt gathers on {}.",
    "stampede": "Beasts stampede over {}.",
    "prophecy": "A prophet cries out on {}.",
    "nightfall": "No torch will burn on {}.",
    "refugees": "People flee from {}.",
    "reprisal": "Blood is paid with blood on {}.",
    "old_grudge": "An old grudge wakes on {}.",
    "spoiled_food": "All stores are spoiled on {}.",
    "quarantine": "Nobody is let out of {}.",
    "healers_come": "Healers come to {}.",
    "lost_miners": "Someone knocks behind the rubble on {}.",
    "new_passage": "The rubble has opened a new way on {}.",
}
SIZES = ("small", "fair", "large")
_SIZE = {"mild": "small", "local": "small", "serious": "fair", "wide": "fair", "grave": "large"}
SYSTEM = "Something happened in a fantasy world. Choose what follows from it, and how soon. If it was small: end."
SOLVED = (
    ({"happened": "raid", "size": "large"}, {"action": "refugees", "comes": "soon"}),
    ({"happened": "market", "size": "small"}, {"action": "end", "comes": "later"}),
    ({"happened": "plague", "size": "fair"}, {"action": "healers_come", "comes": "later"}),
)


class Link(Content):
    """What follows, and how soon."""

    action: str
    comes: Pace


def _asks(event: Event) -> Context | None:
    effective = event.decision_effective
    if effective.agent not in CAUSES or effective.action not in LINKS:
        return None
    about = json_object(effective.about)
    size = _SIZE.get(str(about.get("severity", about.get("reach"))), SIZES[0])
    zone = text(about, "zone", default="Dungeons of Doom 1")
    followed = {"cause": effective.agent, "decision": effective.decision_id[:64], "happened": effective.action}
    says = {link: SAYS[link].format(level_of(zone, 1)) for link in LINKS[effective.action]}
    hours = between(1, 6, "event_chain", effective.decision_id)
    return {**followed, "size": size, "zone": zone, "hours": hours, "says": says}


def _happened(context: Context) -> str:
    return choice(context, "happened", list(LINKS))


def _size(context: Context) -> str:
    return choice(context, "size", SIZES)


def _legal(context: Context) -> tuple[str, ...]:
    # What is large does not just end.
    return (*LINKS[_happened(context)], *(() if _size(context) == "large" else (END,)))


def _do(action: str) -> Answer:
    return Answer(action, Link(action=action, comes="later"))


def _rules(context: Context) -> Answer:
    is_small, link = _size(context) == "small", LINKS[_happened(context)][number(context, "hours") % 2]
    return _do(END if is_small else link)


def _check(context: Context, answer: Answer) -> str:
    is_soon = answer.content.model_dump()["comes"] == "soon"
    return "what ends does not come soon" if is_soon and answer.action == END else ""


event_chain = Agent(
    name="event_chain",
    trigger=(DecisionEffective,),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Link,
    check=_check,
    rules=_rules,
    default=lambda context: _do(_legal(context)[-1]),
    tier="bronze",
    deadline_ms=20_000,
    cost_cap_usd_micros=8_000,
    max_tokens=24,
    signature=lambda context: {"happened": _happened(context), "size": _size(context)},
    complexity=lambda context: weighed(fair=_size(context) != "small", large=_size(context) == "large"),
    impact=lambda context: "medium",
    tells=("cause", "decision", "happened", "zone", "hours", "says"),
)
