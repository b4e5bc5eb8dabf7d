"""Memory: what NPCs keep in mind of a hero's growth and death, and whether a new arc carries on the one before.

The spec only names it: context retention, and continuity when an arc is written. Here heroes' great moments are kept
the longer the greater they are; an arc that carries on begins with how the last one ended, and in its tone.
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.arc import begun
from inference.buckets import bucket
from inference.complexity import weighed
from inference.reading import asked, choice, foe, number, text
from inference.wording import name_of
from schemas import DecisionEffective, Event, PlayerDied, PlayerLevelled

Tone = Literal["proud", "sad", "wary"]
# A hero's level is worth a memory every so often.
LEVELS = 4
SYSTEM = "Choose what the world remembers of an event, and in which tone."
SOLVED = (
    ({"greatness": "small", "event": "growth", "by": "nobody"}, {"action": "remember", "tone": "proud"}),
    ({"greatness": "small", "event": "death", "by": "monster"}, {"action": "forget", "tone": "sad"}),
    ({"greatness": "fair", "event": "growth", "by": "nobody"}, {"action": "remember", "tone": "proud"}),
    ({"greatness": "fair", "event": "death", "by": "monster"}, {"action": "remember", "tone": "sad"}),
    ({"greatness": "great", "event": "arc", "by": "nobody"}, {"action": "carry_on", "tone": "wary"}),
    ({"greatness": "great", "event": "growth", "by": "nobody"}, {"action": "engrave", "tone": "proud"}),
    ({"greatness": "great", "event": "death", "by": "monster"}, {"action": "engrave", "tone": "sad"}),
)


class Kept(Content):
    """What is kept: engraved for ever, remembered for days or forgotten; a thread carried on or laid to rest."""

    action: str
    tone: Tone


def _asks(event: Event) -> Context | None:
    arc = begun(event)
    if arc is not None:
        return {"event": "arc", **arc}
    hero = name_of(event.subject)
    if event.HasField("player_died"):
        died = event.player_died
        return {"event": "death", "hero": hero, "zone": died.zone, "depth": died.depth, "killer": died.killer}
    level = event.player_levelled.level
    return {"event": "growth", "hero": hero, "level": level} if level and level % LEVELS == 0 else None


def _signature(context: Context) -> Context:
    event = choice(context, "event", ("death", "growth", "arc"))
    deed = {"death": number(context, "depth"), "growth": number(context, "level"), "arc": LEVELS * LEVELS}[event]
    greatness = bucket(deed, (LEVELS + 1, 2 * LEVELS + 1), ("small", "fair", "great"))
    by = foe(text(context, "killer")) if event == "death" else "nobody"
    return {"greatness": greatness, "event": event, "by": by}


def _legal(context: Context) -> tuple[str, ...]:
    return ("carry_on", "lay_to_rest") if context.get("event") == "arc" else ("engrave", "remember", "forget")


def _do(action: str, tone: Tone) -> Answer:
    return Answer(action, Kept(action=action, tone=tone))


def _rules(context: Context) -> Answer:
    greatness, event, _ = _signature(context).values()
    if event == "arc":
        return _do("carry_on", "wary")
    action = {"small": "forget", "fair": "remember"}.get(greatness, "engrave")
    return _do(action, "sad" if event == "death" else "proud")


def _check(context: Context, answer: Answer) -> str:
    if _signature(context)["event"] == "death" and answer.content.model_dump()["tone"] == "proud":
        return "nobody is proud of a death"
    is_great = _signature(context)["greatness"] == "great"
    return "what is great is not forgotten" if is_great and answer.action == "forget" else ""


memory = Agent(
    name="memory",
    trigger=(PlayerDied, PlayerLevelled, DecisionEffective),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Kept,
    check=_check,
    rules=_rules,
    default=lambda context: _do(_legal(context)[1], "wary"),
    tier="silver",
    deadline_ms=10_000,
    cost_cap_usd_micros=5_000,
    max_tokens=24,
    signature=_signature,
    blurs=("by",),
    complexity=lambda context: weighed(
        great=_signature(context)["greatness"] == "great",
        fair=_signature(context)["greatness"] != "small",
        strange=_signature(context)["by"] in ("keeper", "hunger"),
    ),
    tells=("event", "hero", "zone", "depth", "level", "killer", "title", "theme"),
)
