"""What heroes say aloud: a line now and then, for a reason when there is one. The same seed says the same things."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from google.protobuf.message import Message

from examples.nethack.observation import Observation
from examples.nethack.roster import NAMES
from schemas import DepthReached, HealthChanged, PlayerLevelled, PlayerSaid

# About one line in 200 keys: a while of silence, and then the next occasion, or any line if there is none for long.
_SILENCE_KEYS = (90, 190)
_OCCASION_WAIT_KEYS = 100

# What the game tells that makes a hero speak, and of what; the first that fits is the occasion.
_HEARD: Mapping[str, tuple[str, ...]] = {
    "sad feeling": ("mourn",),
    "is killed": ("mourn",),
    "for sale": ("ask_price", "buy", "sell", "refuse_deal"),
    "shopkeeper": ("ask_price", "buy", "sell", "refuse_deal", "threat", "peace"),
    "Welcome to": ("greeting", "ask_price", "buy", "sell"),
    "hungry": ("ask_food",),
    "You begin praying": ("ask_blessing",),
    "You feel much better": ("thanks", "decline_healing"),
    "peacefully": ("peace", "threat"),
    "trap": ("warn", "all_clear"),
}
_LEVELLED = ("boast", "ask_training", "ask_quest", "decline_quest")
_HURT = ("ask_healing", "decline_healing", "ask_way_up")
_DEEPER = ("ask_danger", "warn", "all_clear", "ask_way_down", "ask_company", "go_alone")
_IDLE = ("greeting", "farewell", "rumour", "ask_way_down", "ask_way_up", "ask_company", "ask_quest", "ask_blessing")
# Hurt is who has less than this share of all health left.
_HURT_SHARE = 1 / 3
# What heroes say to a shopkeeper is said to nobody else.
_TO_SHOPKEEPERS = frozenset({"ask_price", "buy", "sell", "refuse_deal"})


@cache
def sayings() -> Mapping[str, Sequence[str]]:
    """The lines by what is meant, with {name}, {place} and {number} where those of the moment go."""
    return MappingProxyType(json.loads(Path(__file__).with_name("sayings.json").read_text(encoding="utf-8")))


class Speech:
    """One hero's voice."""

    def __init__(self, name: str, seed: int) -> None:
        self._random = random.Random(f"speech-{seed}")
        self._others = [other.title() for other in NAMES if other != name]
        self._keys = 0
        self._silent_until = self._silence()

    def say(self, facts: Sequence[Message], now: Observation) -> PlayerSaid | None:
        """What the hero says after a key that led to these facts; mostly nothing, and nothing once it is over."""
        self._keys += 1
        if now.over or self._keys < self._silent_until:
            return None
        meant = _occasion(facts, now)
        if not meant:
            if self._keys < self._silent_until + _OCCASION_WAIT_KEYS:
                return None
            meant = _IDLE
        self._silent_until = self._keys + self._silence()
        intent = self._random.choice(meant)
        line = self._random.choice(sayings()[intent])
        text = line.format(name=self._random.choice(self._others), place=now.zone, number=_number(intent, now))
        return PlayerSaid(text=text, channel="whisper:shopkeeper" if intent in _TO_SHOPKEEPERS else "say")

    def _silence(self) -> int:
        return self._random.randint(*_SILENCE_KEYS)


def _occasion(facts: Sequence[Message], now: Observation) -> Sequence[str]:
    for sign, meant in _HEARD.items():
        if sign in now.message:
            return meant
    for fact in facts:
        match fact:
            case PlayerLevelled():
                return _LEVELLED
            case DepthReached():
                return _DEEPER
            case HealthChanged() if fact.health < fact.health_max * _HURT_SHARE:
                return _HURT
    return ()


def _number(intent: str, now: Observation) -> int:
    match intent:
        case "boast":
            return now.experience_level
        case "ask_training":
            return now.experience_level + 1
        case "ask_healing" | "decline_healing":
            return now.health
        case "ask_danger" | "rumour":
            return now.depth + 1
        case "ask_food":
            return now.turn // 100
        case "warn" | "all_clear" | "ask_company" | "mourn":
            return 2 + now.turn % 7
        case _:
            return max(5, now.gold)
