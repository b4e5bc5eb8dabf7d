"""What a hero remembers, and how an observation looks in the light of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from nle import nethack

from examples.nethack.maps import STEPS, Mask, Place, at, cell_at, places, walkable, way
from examples.nethack.observation import Item, Observation

#: Whom it is worse to strike than to leave be: those whose touch harms, and those who keep the peace.
UNTOUCHABLE = frozenset(
    {
        "floating eye", "acid blob", "gas spore", "blue jelly", "brown mold", "yellow mold", "green mold", "red mold",
        "cockatrice", "chickatrice",
        "shopkeeper", "watchman", "watch captain", "aligned priest", "guard", "Oracle",
    }
)  # fmt: skip


@dataclass
class Level:
    """What a hero remembers of one level; places are numbered cells of its map."""

    arrived_turn: int
    visited: set[int] = field(default_factory=set)
    doors: set[int] = field(default_factory=set)
    shut: set[int] = field(default_factory=set)
    bumps: Counter[int] = field(default_factory=Counter)
    kicks: Counter[int] = field(default_factory=Counter)
    #: Glyphs of those who turned out to be peaceful.
    spared: set[int] = field(default_factory=set)
    #: Where somebody was killed, and in which turn.
    kills: dict[int, int] = field(default_factory=dict)
    way_down: int = 0
    searches: Counter[int] = field(default_factory=Counter)


@dataclass
class Memory:
    """What a hero remembers of a life."""

    random: random.Random
    #: How long this hero looks around a level before going down.
    patience_turns: int
    levels: dict[str, Level] = field(default_factory=dict)
    #: The keys of the walk the hero is on, next first.
    walk: list[int] = field(default_factory=list)
    #: Where the last step led, and with which key; 0 when the last key was no step.
    stepping_to: int = 0
    heading: int = 0
    #: The glyph last struck at, and its cell.
    foe: int = 0
    foe_cell: int = 0
    prayed_turn: int | None = None


class View:
    """An observation as a map with a hero on it."""

    def __init__(self, now: Observation, memory: Memory) -> None:
        self.now = now
        self.cell = cell_at(now.x, now.y)
        self.level = memory.levels.setdefault(now.zone, Level(now.turn))
        self.here = places(now.glyphs)
        # Bytes are far quicker than an array to look at one by one.
        self.places = self.here.tobytes()

    def glyph(self, cell: int) -> int:
        """What is drawn on a cell."""
        x, y = at(cell)
        return int(self.now.glyphs[y, x])

    def is_foe(self, cell: int) -> bool:
        """Whether something on the cell ought to be fought."""
        if self.places[cell] != Place.MONSTER:
            return False
        glyph = self.glyph(cell)
        if nethack.glyph_is_monster(glyph) and nethack.permonst(nethack.glyph_to_mon(glyph)).mname in UNTOUCHABLE:
            return False
        return glyph not in self.level.spared

    def corpse(self, cell: int) -> str:
        """Whose corpse is drawn on a cell, or nothing."""
        glyph = self.glyph(cell)
        return nethack.permonst(glyph - nethack.GLYPH_BODY_OFF).mname if nethack.glyph_is_body(glyph) else ""

    @cached_property
    def foes(self) -> list[int]:
        """The cells of all who ought to be fought; the hero is drawn as a monster too."""
        monsters = np.flatnonzero(self.here == Place.MONSTER).tolist()
        return [cell for cell in monsters if cell != self.cell and self.is_foe(cell)]

    def beside(self, is_wanted: Callable[[int], bool]) -> int:
        """The key that points to the first neighbouring cell that is wanted, or 0."""
        return next((key for key, step in STEPS.items() if is_wanted(self.cell + step)), 0)

    def carried(self, is_wanted: Callable[[Item], bool]) -> Item | None:
        """The first thing in the pack that is wanted."""
        return next((item for item in self.now.items if is_wanted(item)), None)

    def way(self, wanted: Mask) -> list[int]:
        """The keys that lead to the nearest wanted cell, or none; the last may lead into a monster, or a boulder."""
        if not wanted.any():
            return []
        level = self.level
        level.doors.update(np.flatnonzero((self.here == Place.DOOR) | (self.here == Place.CLOSED_DOOR)).tolist())
        passable = walkable(self.here) | wanted
        passable[list(level.shut)] = False
        return way(self.cell, wanted.tobytes(), passable.tobytes(), level.doors)
