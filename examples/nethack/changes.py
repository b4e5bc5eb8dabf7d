"""What happened to a hero between one look at the game and the next, as facts. Pure: looks in, facts out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from google.protobuf.message import Message

from examples.nethack.belongings import Belongings, exchanged
from examples.nethack.observation import Observation, Prompt
from schemas import (
    DepthReached,
    FlagSet,
    GoldGained,
    GoldSpent,
    HealthChanged,
    ObjectiveCompleted,
    PlaceEntered,
    PlayerDied,
    PlayerLevelled,
    PlayerMoved,
    PlayerSaid,
    PlayerScored,
)

#: Quests and their milestones: what each objective is called, and what must be reached for it.
DEPTHS = {f"depth-{depth}": depth for depth in (2, 3, 5, 7, 10, 15, 20, 30, 40, 50)}
TURNS = {f"turn-{turn}": turn for turn in (1_000, 2_000, 5_000, 10_000, 20_000)}
LEVELS = {f"experience-level-{level}": level for level in (2, 3, 5, 8, 10, 14, 20, 30)}

# Why gold came or went, by what the game says about it; the first that fits is the reason.
_GAINED = {"You sold": "sold", "You sell": "sold", "credit": "credit"}
_SPENT = {"You bought": "bought", "stole": "stolen", "steal": "stolen", "purse": "stolen", "takes all": "taken"}


@dataclass(frozen=True)
class Told:
    """What has been told of a hero so far: the last look, and the best that was ever reached."""

    belongings: Belongings
    last: Observation | None = None
    depth: int = 0
    experience_level: int = 0
    score: int = 0


def unknown(subject: str) -> Told:
    """A hero of whom nothing has been told."""
    return Told(Belongings(subject))


def changes(told: Told, now: Observation) -> tuple[list[Message], Told]:
    """The facts that bring what has been told up to a new look, in the order to tell them; and what is then told."""
    items, belongings = exchanged(told.belongings, now.items)
    facts = [*_travelled(told, now), *_prospered(told, now), *items, *_grew(told, now), *_spoke(told, now)]
    if now.killer:
        facts.append(PlayerDied(zone=now.zone, depth=now.depth, killer=now.killer))
    return facts, replace(
        told,
        belongings=belongings,
        last=now,
        depth=max(told.depth, now.depth),
        experience_level=max(told.experience_level, now.experience_level),
        score=max(told.score, now.score),
    )


def _travelled(told: Told, now: Observation) -> Iterator[Message]:
    last = told.last
    if last is None or last.zone != now.zone:
        yield PlaceEntered(zone=now.zone, depth=now.depth)
    if last is None or (last.zone, last.x, last.y) != (now.zone, now.x, now.y):
        yield PlayerMoved(zone=now.zone, x=now.x, y=now.y)
    # Everybody is born somewhere: the first level is no achievement.
    if last is not None and now.depth > told.depth:
        yield DepthReached(zone=now.zone, depth=now.depth)
        yield FlagSet(quest="descent", flag="deepest", value=now.depth)
        yield from _milestones("descent", DEPTHS, told.depth, now.depth)


def _prospered(told: Told, now: Observation) -> Iterator[Message]:
    last = told.last
    gained = now.gold - (last.gold if last else 0)
    if gained > 0:
        yield GoldGained(amount=gained, reason=_reason(_GAINED, now.message, "found") if last else "inheritance")
    elif gained < 0:
        yield GoldSpent(amount=-gained, reason=_reason(_SPENT, now.message, "lost"))
    if now.score > told.score:
        # NetHack's score is gold, experience and depth in one; in one step hardly more than one of them grows.
        reason = "descent" if now.depth > told.depth else "gold" if gained > 0 else "experience"
        yield PlayerScored(points=now.score - told.score, reason=reason)


def _grew(told: Told, now: Observation) -> Iterator[Message]:
    last = told.last
    if last is None or (last.health, last.health_max) != (now.health, now.health_max):
        yield HealthChanged(health=now.health, health_max=now.health_max)
    if now.experience_level > told.experience_level:
        yield PlayerLevelled(level=now.experience_level)
        yield from _milestones("apprentice", LEVELS, told.experience_level, now.experience_level)
    if last is not None:
        yield from _milestones("survivor", TURNS, last.turn, now.turn)


def _spoke(told: Told, now: Observation) -> Iterator[Message]:
    # A question is put to the player, not told of the hero.
    is_told = now.prompt in (Prompt.NONE, Prompt.MORE)
    if is_told and now.message and (told.last is None or told.last.message != now.message):
        yield PlayerSaid(text=now.message, channel="message")


def _milestones(quest: str, objectives: Mapping[str, int], before: int, now: int) -> Iterator[ObjectiveCompleted]:
    for objective, needed in objectives.items():
        if before < needed <= now:
            yield ObjectiveCompleted(quest=quest, objective=objective)


def _reason(reasons: Mapping[str, str], message: str, otherwise: str) -> str:
    return next((reason for sign, reason in reasons.items() if sign in message), otherwise)
