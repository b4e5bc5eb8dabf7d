"""Reading a level's map, and finding the way on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Set

import numpy as np
from nle import nethack
from numpy.typing import NDArray

from examples.nethack.observation import Glyphs

#: Cells are numbered row by row with a border of one unknown cell all round, so that a step never leaves the map.
ROWS: int
COLUMNS: int
ROWS, COLUMNS = nethack.DUNGEON_SHAPE
WIDTH = COLUMNS + 2

#: The eight ways to go: NetHack's key, and what it adds to a cell's number.
STEPS = {
    ord("h"): -1, ord("l"): 1, ord("k"): -WIDTH, ord("j"): WIDTH,
    ord("y"): -WIDTH - 1, ord("u"): -WIDTH + 1, ord("b"): WIDTH - 1, ord("n"): WIDTH + 1,
}  # fmt: skip
_STEPS = tuple(STEPS.items())
_STRAIGHT = _STEPS[:4]

#: One number of Place a cell, and one yes or no a cell.
Places = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class Place:
    """What a cell of the map means to one who walks: plain numbers, since a map is an array of bytes."""

    UNKNOWN = 0
    BLOCKED = 1
    FLOOR = 2
    CORRIDOR = 3
    DOOR = 4
    CLOSED_DOOR = 5
    WAY_DOWN = 6
    WAY_UP = 7
    TREASURE = 8
    TRAP = 9
    PET = 10
    MONSTER = 11
    BOULDER = 12


# Where a hero may set foot; a closed door opens when walked into.
_WALKABLE = np.zeros(Place.BOULDER + 1, dtype=np.bool_)
_WALKABLE[
    [
        Place.FLOOR, Place.CORRIDOR, Place.DOOR, Place.CLOSED_DOOR, Place.WAY_DOWN, Place.WAY_UP, Place.TREASURE,
        Place.PET,
    ]
] = True  # fmt: skip

_FEATURES = {
    "doorway": Place.CORRIDOR,
    "open door": Place.DOOR,
    "closed door": Place.CLOSED_DOOR,
    "floor of a room": Place.FLOOR,
    "dark part of a room": Place.FLOOR,
    "corridor": Place.CORRIDOR,
    "lit corridor": Place.CORRIDOR,
    "staircase up": Place.WAY_UP,
    "ladder up": Place.WAY_UP,
    "staircase down": Place.WAY_DOWN,
    "ladder down": Place.WAY_DOWN,
    "hole": Place.WAY_DOWN,
    "trap door": Place.WAY_DOWN,
    "altar": Place.FLOOR,
    "grave": Place.FLOOR,
    "opulent throne": Place.FLOOR,
    "sink": Place.FLOOR,
    "fountain": Place.FLOOR,
    "ice": Place.FLOOR,
    "lowered drawbridge": Place.FLOOR,
}
_STONE = nethack.GLYPH_CMAP_OFF  # Drawn as, and here told apart from, the dark part of a room.
_TREASURES = frozenset(
    {
        nethack.COIN_CLASS, nethack.POTION_CLASS, nethack.SCROLL_CLASS, nethack.SPBOOK_CLASS, nethack.WAND_CLASS,
        nethack.RING_CLASS, nethack.AMULET_CLASS,
    }
)  # fmt: skip


def _place_of(glyph: int) -> int:
    if nethack.glyph_is_pet(glyph):
        return Place.PET
    if nethack.glyph_is_monster(glyph) or nethack.glyph_is_invisible(glyph) or nethack.glyph_is_warning(glyph):
        return Place.MONSTER
    if nethack.glyph_is_body(glyph):
        return Place.FLOOR
    if nethack.glyph_is_statue(glyph):
        return Place.BLOCKED
    if nethack.glyph_is_object(glyph):
        thing = nethack.objclass(nethack.glyph_to_obj(glyph))
        if ord(thing.oc_class) == nethack.ROCK_CLASS:
            return Place.BOULDER
        return Place.TREASURE if ord(thing.oc_class) in _TREASURES else Place.FLOOR
    if nethack.glyph_is_cmap(glyph) and glyph != _STONE:
        feature = nethack.symdef.from_idx(nethack.glyph_to_cmap(glyph)).explanation
        return _FEATURES.get(feature, Place.TRAP if nethack.glyph_is_trap(glyph) else Place.BLOCKED)
    return Place.UNKNOWN


_PLACES = np.array([_place_of(glyph) for glyph in range(nethack.MAX_GLYPH)], dtype=np.uint8)


def places(glyphs: Glyphs) -> Places:
    """The map as places, in cells: `places(...)[cell_at(x, y)]`."""
    bordered = np.zeros((ROWS + 2, WIDTH), dtype=np.uint8)
    bordered[1:-1, 1:-1] = _PLACES[glyphs]
    return bordered.reshape(-1)


def cell_at(x: int, y: int) -> int:
    """The number of a cell, from NetHack's column and row."""
    return (y + 1) * WIDTH + x + 1


def at(cell: int) -> tuple[int, int]:
    """The column and row of a cell."""
    return cell % WIDTH - 1, cell // WIDTH - 1


def cells(start: int, step: int, count: int) -> Iterator[int]:
    """The next cells in one direction, up to the map's border."""
    cell = start
    for _ in range(count):
        cell += step
        x, y = at(cell)
        if not (0 <= x < COLUMNS and 0 <= y < ROWS):
            return
        yield cell


def walkable(here: Places) -> Mask:
    """The cells that can be walked on."""
    walked: Mask = _WALKABLE[here]
    return walked


def edges(here: Places) -> Mask:
    """The cells with something unknown next to them."""
    unknown: Mask = here == Place.UNKNOWN
    return _beside(unknown) > 0


def dead_ends(here: Places) -> Mask:
    """The cells of corridors that lead no further: good places to look for what is hidden."""
    ends: Mask = (here == Place.CORRIDOR) & (_beside(walkable(here)) <= 1)
    return ends


def way(start: int, wanted: bytes, passable: bytes, doors: Set[int]) -> list[int]:
    """The keys of a shortest walk to the nearest wanted cell over passable cells; none where no such cell is reached.

    `wanted` and `passable` hold a 0 or a 1 for every cell. A step into or out of one of the `doors` is never askew.
    """
    came = {start: 0}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        for key, step in _STRAIGHT if cell in doors else _STEPS:
            following = cell + step
            if not passable[following] or following in came:
                continue
            if following in doors and (key, step) not in _STRAIGHT:
                continue
            came[following] = key
            if wanted[following]:
                return _trace(came, start, following)
            queue.append(following)
    return []


def _beside(cells: Mask) -> Places:
    """How many of its eight neighbours each cell has among some cells; the border's own are not counted."""
    grid = cells.reshape(ROWS + 2, WIDTH).astype(np.uint8)
    three = grid[:-2] + grid[1:-1] + grid[2:]
    count = np.zeros_like(grid)
    count[1:-1, 1:-1] = three[:, :-2] + three[:, 1:-1] + three[:, 2:] - grid[1:-1, 1:-1]
    return count.reshape(-1)


def _trace(came: dict[int, int], start: int, cell: int) -> list[int]:
    keys = []
    while cell != start:
        keys.append(came[cell])
        cell -= STEPS[keys[-1]]
    return keys[::-1]
