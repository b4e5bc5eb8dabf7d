"""The facts of a game in the proportions of a real one, as many and as fast as a benchmark wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random

from google.protobuf.message import Message

from schemas import (
    DepthReached,
    FlagSet,
    GoldGained,
    GoldSpent,
    HealthChanged,
    ItemGained,
    ItemLost,
    ObjectiveCompleted,
    PlaceEntered,
    PlayerDied,
    PlayerLevelled,
    PlayerMoved,
    PlayerSaid,
    PlayerScored,
)

#: The share of each fact among those of examples/nethack: eight worlds of eight heroes, 1,200 keys each, which is a
#: minute at 20 keys a second (79,784 facts, 148 bytes an event on average).
NETHACK_MIX: dict[str, float] = {
    "player_moved": 0.78988,
    "player_said": 0.12045,
    "health_changed": 0.02700,
    "player_scored": 0.02094,
    "item_gained": 0.01314,
    "item_lost": 0.00948,
    "gold_gained": 0.00402,
    "objective_completed": 0.00370,
    "place_entered": 0.00361,
    "depth_reached": 0.00247,
    "flag_set": 0.00247,
    "player_levelled": 0.00244,
    "player_died": 0.00034,
    "gold_spent": 0.00006,
}

# Chance is drawn for this many events at a time, which is many times faster than one at a time.
_DRAWN = 4_096
_LUCK = 1 << 16
_COLUMNS, _ROWS = 79, 21
_DEPTH_MAX, _LEVEL_MAX = 50, 30
_ZONES = tuple(f"Dungeons of Doom {depth}" for depth in range(_DEPTH_MAX + 1))
_STEPS = tuple((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y)
_KINDS = ("dagger", "food ration", "crossbow bolt", "potion of healing", "scroll labeled NR 9", "oak wand", "opal ring")
_KILLERS = ("a newt", "a dwarf", "a giant spider", "starvation", "a gnome lord", "a wand")
_GOLD = (3, 4, 5, 5, 8, 13)
_OBJECTIVES = (
    *(("descent", f"depth-{depth}") for depth in (2, 3, 5, 7, 10)),
    *(("apprentice", f"experience-level-{level}") for level in (2, 3, 5, 8)),
    ("survivor", "turn-1000"),
)
_MESSAGES = (
    "The door opens.", "You kill the newt!", "You descend the stairs.", "This door is locked.", "WHAMMM!!!",
    "You swap places with your kitten.", "You see here a lichen corpse.", "You hear bubbling water.",
    "As you kick the door, it crashes open!", "You hear the footsteps of a guard on patrol.",
    "The goblin hits!  You miss the goblin.", "As you read the scroll, it disappears.", "$ - 13 gold pieces.",
    "You try to move the boulder, but in vain.", "The little dog picks up a lichen corpse.",
)  # fmt: skip


class _Hero:
    """What there is to know of a subject, so that each fact fits those before it."""

    __slots__ = ("depth", "gold", "health", "items", "level", "name", "x", "y")

    def __init__(self, name: str) -> None:
        self.name = name
        self.x, self.y = 40, 10
        self.depth = self.level = 1
        self.health = 16
        self.gold = 0
        self.items = 0


_Held = list[tuple[_Hero, str, str]]


def events(n: int, subjects: int, seed: int) -> Iterator[tuple[str, Message]]:
    """`n` facts of NETHACK_MIX with their subjects; the same arguments give the same facts.

    Steps are by one, items are gained before they are lost and lost by whoever has them, depths and levels rise one by
    one, and no more gold is spent than was gained. A subject that dies goes on as another hero under the same name, so
    that there are never more than `subjects`.
    """
    random = Random(seed)
    heroes = [_Hero(f"hero-{number:06d}") for number in range(subjects)]
    held: _Held = []
    made = tuple(_MAKERS[name] for name in NETHACK_MIX)
    shares = tuple(NETHACK_MIX.values())
    for start in range(0, n, _DRAWN):
        drawn = min(_DRAWN, n - start)
        for make, hero, luck in zip(
            random.choices(made, shares, k=drawn),
            random.choices(heroes, k=drawn),
            random.choices(range(_LUCK), k=drawn),
            strict=True,
        ):
            if make is _item_lost and held:
                # Drawn from all that is held, or few subjects would ever have a thing to lose.
                at = luck % len(held)
                owner, item_id, kind = held[at]
                held[at] = held[-1]
                held.pop()
                yield owner.name, ItemLost(item_id=item_id, kind=kind, quantity=1)
            else:
                yield hero.name, make(hero, luck, held)


def _player_moved(hero: _Hero, luck: int, held: _Held) -> Message:
    x, y = _STEPS[luck & 7]
    hero.x = min(max(hero.x + x, 1), _COLUMNS)
    hero.y = min(max(hero.y + y, 0), _ROWS)
    return PlayerMoved(zone=_ZONES[hero.depth], x=hero.x, y=hero.y)


def _player_said(hero: _Hero, luck: int, held: _Held) -> Message:
    return PlayerSaid(text=_MESSAGES[luck % len(_MESSAGES)], channel="message")


def _health_changed(hero: _Hero, luck: int, held: _Held) -> Message:
    health_max = 12 + 4 * hero.level
    hero.health = min(max(hero.health + luck % 7 - 3, 1), health_max)
    return HealthChanged(health=hero.health, health_max=health_max)


def _player_scored(hero: _Hero, luck: int, held: _Held) -> Message:
    return PlayerScored(points=1 + luck % 50, reason="experience")


def _item_gained(hero: _Hero, luck: int, held: _Held) -> Message:
    hero.items += 1
    item_id, kind = f"{hero.name}:{hero.items}", _KINDS[luck % len(_KINDS)]
    held.append((hero, item_id, kind))
    return ItemGained(item_id=item_id, kind=kind, quantity=1)


def _item_lost(hero: _Hero, luck: int, held: _Held) -> Message:
    """Nothing is held yet by anybody, so something is gained."""
    return _item_gained(hero, luck, held)


def _gold_gained(hero: _Hero, luck: int, held: _Held) -> Message:
    amount = _GOLD[luck % len(_GOLD)]
    hero.gold += amount
    return GoldGained(amount=amount, reason="found")


def _gold_spent(hero: _Hero, luck: int, held: _Held) -> Message:
    if not hero.gold:
        return _gold_gained(hero, luck, held)
    amount = 1 + luck % hero.gold
    hero.gold -= amount
    return GoldSpent(amount=amount, reason="bought")


def _objective_completed(hero: _Hero, luck: int, held: _Held) -> Message:
    quest, objective = _OBJECTIVES[luck % len(_OBJECTIVES)]
    return ObjectiveCompleted(quest=quest, objective=objective)


def _place_entered(hero: _Hero, luck: int, held: _Held) -> Message:
    return PlaceEntered(zone=_ZONES[hero.depth], depth=hero.depth)


def _depth_reached(hero: _Hero, luck: int, held: _Held) -> Message:
    hero.depth = min(hero.depth + 1, _DEPTH_MAX)
    return DepthReached(zone=_ZONES[hero.depth], depth=hero.depth)


def _flag_set(hero: _Hero, luck: int, held: _Held) -> Message:
    return FlagSet(quest="descent", flag="deepest", value=hero.depth)


def _player_levelled(hero: _Hero, luck: int, held: _Held) -> Message:
    hero.level = min(hero.level + 1, _LEVEL_MAX)
    return PlayerLevelled(level=hero.level)


def _player_died(hero: _Hero, luck: int, held: _Held) -> Message:
    return PlayerDied(zone=_ZONES[hero.depth], depth=hero.depth, killer=_KILLERS[luck % len(_KILLERS)])


_MAKERS: Mapping[str, Callable[[_Hero, int, _Held], Message]] = {
    "player_moved": _player_moved,
    "player_said": _player_said,
    "health_changed": _health_changed,
    "player_scored": _player_scored,
    "item_gained": _item_gained,
    "item_lost": _item_lost,
    "gold_gained": _gold_gained,
    "gold_spent": _gold_spent,
    "objective_completed": _objective_completed,
    "place_entered": _place_entered,
    "depth_reached": _depth_reached,
    "flag_set": _flag_set,
    "player_levelled": _player_levelled,
    "player_died": _player_died,
}
