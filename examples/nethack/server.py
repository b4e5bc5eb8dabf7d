"""The game server: many heroes in one process, each pressing a key in turn, and every change published as a fact."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import Message

from examples.nethack.changes import changes, unknown
from examples.nethack.game import Game
from examples.nethack.hero import Hero
from examples.nethack.observation import Observation
from examples.nethack.roster import Character, character
from examples.nethack.speech import Speech
from schemas import NornError, fact_name

# Heroes of one world have seeds of their own; those of two worlds with neighbouring seeds do not meet.
_WORLD = 1_000_003
_SEEDS = 2**31
# A server that fell behind, because the machine slept say, does not race to make up for it.
_LATE_MAX_S = 1.0


class Publisher(Protocol):
    """What the server needs of streams.sdk.Producer."""

    def publish(self, fact: Message, *, subject: str) -> bytes:
        """Accept a fact about a subject, without waiting. Raises NornError for one that cannot be accepted."""


class Player:
    """A hero at play: the game, the mind that plays it, and what has been told of it."""

    def __init__(self, number: int, seed: int, life: str) -> None:
        self.character: Character = character(number)
        self.subject = "-".join(filter(None, ("hero", self.character.name, self.character.role, str(number), life)))
        own_seed = (seed * _WORLD + number) % _SEEDS
        self._hero = Hero(own_seed)
        self._speech = Speech(self.character.name, own_seed)
        self._game = Game(self.character, own_seed)
        self._told = unknown(self.subject)

    @property
    def now(self) -> Observation:
        """How things stand with the hero."""
        return self._game.last

    def begin(self) -> list[Message]:
        """What there is to tell of a hero who has just been born."""
        facts, self._told = changes(self._told, self.now)
        return facts

    def press(self) -> list[Message]:
        """Press one key; returns what it changed, and what the hero says to it."""
        facts, self._told = changes(self._told, self._game.press(self._hero.key(self.now)))
        said = self._speech.say(facts, self.now)
        return facts if said is None else [*facts, said]

    def close(self) -> None:
        """End the game, whether or not it is over."""
        self._game.close()


class Server:
    """Some heroes at play at once; whoever dies is replaced by the next hero on the roster.

    life: ends every subject, so that the heroes of two lives of the server are not taken for the same.
    """

    def __init__(self, publisher: Publisher, *, heroes: int, seed: int, life: str = "") -> None:
        self._publisher = publisher
        self._seed = seed
        self._life = life
        #: How many heroes have been born, keys pressed, heroes died, and facts were not accepted.
        self.heroes = 0
        self.steps = 0
        self.deaths = 0
        self.refused = 0
        #: How many facts were published, by name.
        self.by_fact: Counter[str] = Counter()
        self.players = [self._born() for _ in range(heroes)]

    def turn(self) -> None:
        """Let every hero press one key."""
        for at, player in enumerate(self.players):
            self._tell(player, player.press())
            self.steps += 1
            if player.now.over:
                self.deaths += bool(player.now.killer)
                player.close()
                self.players[at] = self._born()

    def close(self) -> None:
        """Send every hero home."""
        for player in self.players:
            player.close()

    def _born(self) -> Player:
        self.heroes += 1
        player = Player(self.heroes, self._seed, self._life)
        self._tell(player, player.begin())
        return player

    def _tell(self, player: Player, facts: list[Message]) -> None:
        for fact in facts:
            try:
                self._publisher.publish(fact, subject=player.subject)
            except NornError:
                # The game goes on: the producer has counted and explained what it could not take.
                self.refused += 1
            else:
                self.by_fact[fact_name(fact)] += 1


def play(
    server: Server,
    stopping: threading.Event,
    *,
    pace: float,
    seconds: float | None,
    each_second: Callable[[], None],
) -> None:
    """Play until told to stop, or for some seconds, at `pace` keys a second for every hero; 0 is as fast as can be."""
    started = turn_due = time.monotonic()
    report_due = started
    while not stopping.is_set():
        now = time.monotonic()
        if now >= report_due:
            report_due = now + 1
            each_second()
        if seconds is not None and now >= started + seconds:
            return
        server.turn()
        if pace:
            turn_due = max(turn_due + 1 / pace, now - _LATE_MAX_S)
            stopping.wait(max(0.0, turn_due - time.monotonic()))
