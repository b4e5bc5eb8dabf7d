"""Quest: a quest of one's own for a hero who has grown, and an objective for each chapter of a new story arc.

The spec only names it: dynamic quests, and that it designs an arc's objectives. It chooses kind and reward;
how many are wanted, and down to which level, follows from the hero or the chapter: the last asks for half as deep as
anybody has come of late. `inference/arc.py` makes the chapters' objectives of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.arc import CHAPTERS, THEMES, begun
from inference.buckets import bucket
from inference.complexity import weighed
from inference.reading import asked, choice, json_object, number
from inference.wording import name_of
from schemas import DecisionEffective, Event, PlayerLevelled

Reward = Literal["gold", "gear", "lore"]
STAGES, PARTS = ("novice", "skilled", "veteran"), ("opening", "middle", "final")
LEGAL = {
    "novice": ("hunt", "explore", "fetch"),
    "skilled": ("hunt", "explore", "fetch", "escort"),
    "veteran": ("hunt", "explore", "escort", "guard"),
    "opening": ("explore", "fetch", "rally"),
    "middle": ("hunt", "escort", "rally"),
    "final": ("guard", "rally"),
}
SYSTEM = "Choose a quest and its reward for a hero of a level, or for all heroes in a story of a theme."
SOLVED = (
    ({"stage": "veteran", "for": "hero", "theme": "none"}, {"action": "guard", "reward": "gear"}),
    ({"stage": "skilled", "for": "hero", "theme": "none"}, {"action": "escort", "reward": "gear"}),
    ({"stage": "novice", "for": "hero", "theme": "none"}, {"action": "hunt", "reward": "gold"}),
    ({"stage": "opening", "for": "all", "theme": "plague"}, {"action": "fetch", "reward": "gear"}),
    ({"stage": "opening", "for": "all", "theme": "awakening"}, {"action": "explore", "reward": "lore"}),
    ({"stage": "middle", "for": "all", "theme": "treasure"}, {"action": "escort", "reward": "gold"}),
    ({"stage": "middle", "for": "all", "theme": "invasion"}, {"action": "hunt", "reward": "gold"}),
    ({"stage": "final", "for": "all", "theme": "invasion"}, {"action": "guard", "reward": "gear"}),
    ({"stage": "final", "for": "all", "theme": "betrayal"}, {"action": "rally", "reward": "lore"}),
)


class Quest(Content):
    """What is to be done, and what for."""

    action: str
    reward: Reward


def _asks(event: Event) -> Sequence[Context]:
    arc = begun(event)
    if arc is not None:
        deepest = number(json_object(event.decision_effective.about), "deepest", 2 * CHAPTERS)
        depths = [max(1, deepest * n // (2 * CHAPTERS)) for n in range(1, CHAPTERS + 1)]
        return [{**arc, "chapter": n, "count": 5 * n, "depth": depth} for n, depth in enumerate(depths, start=1)]
    level = event.player_levelled.level
    if level < 2 or level % 2:
        return ()
    return [{"hero": name_of(event.subject), "level": level, "count": 2 + level, "depth": 1 + level // 2}]


def _signature(context: Context) -> Context:
    chapter = number(context, "chapter")
    if chapter:
        return {"stage": bucket(chapter, (2, CHAPTERS), PARTS), "for": "all", "theme": choice(context, "theme", THEMES)}
    return {"stage": bucket(number(context, "level"), (4, 9), STAGES), "for": "hero", "theme": "none"}


def _legal(context: Context) -> tuple[str, ...]:
    return LEGAL[_signature(context)["stage"]]


def _do(action: str, reward: Reward) -> Answer:
    return Answer(action, Quest(action=action, reward=reward))


def _rules(context: Context) -> Answer:
    # Quests change from one to the next, a hero's as a story's, so that nobody hunts for ever.
    legal, turn = _legal(context), number(context, "level") // 2 or max(0, number(context, "chapter") - 1)
    action = legal[turn % len(legal)]
    return _do(action, "lore" if action == "explore" else "gear" if action in ("escort", "guard") else "gold")


def _check(context: Context, answer: Answer) -> str:
    reward = answer.content.model_dump()["reward"]
    return "nothing is learnt from a hunt" if (answer.action, reward) == ("hunt", "lore") else ""


quest = Agent(
    name="quest",
    trigger=(PlayerLevelled, DecisionEffective),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Quest,
    check=_check,
    rules=_rules,
    default=lambda context: _do(_legal(context)[0], "gold"),
    tier="silver",
    deadline_ms=10_000,
    cost_cap_usd_micros=5_000,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: weighed(
        grown=number(context, "level") > 2,
        veteran=number(context, "level") > 8,
        arc=number(context, "chapter") > 0,
        final=number(context, "chapter") >= CHAPTERS,
    ),
    impact=lambda context: "medium",
    tells=("hero", "level", "title", "theme", "chapter", "count", "depth"),
)
