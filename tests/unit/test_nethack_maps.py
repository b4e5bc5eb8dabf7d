"""Finding the way on a level's map."""

from __future__ import annotations

import numpy as np
import pytest
from nle import nethack

from examples.nethack.maps import COLUMNS, ROWS, STEPS, Place, Places, at, cell_at, dead_ends, edges, places, way

LEGEND = {
    " ": Place.UNKNOWN,
    "-": Place.BLOCKED,
    "|": Place.BLOCKED,
    ".": Place.FLOOR,
    "#": Place.CORRIDOR,
    "+": Place.DOOR,
    "$": Place.TREASURE,
    ">": Place.WAY_DOWN,
    "0": Place.BOULDER,
    "@": Place.FLOOR,
}


def draw(*rows: str) -> tuple[Places, int]:
    """A map from a drawing of its upper left corner, and the cell of the @ on it."""
    here = np.zeros((ROWS + 2) * (COLUMNS + 2), dtype=np.uint8)
    start = 0
    for y, row in enumerate(rows):
        for x, drawn in enumerate(row):
            here[cell_at(x, y)] = LEGEND[drawn]
            if drawn == "@":
                start = cell_at(x, y)
    return here, start


def walk(*rows: str, to: int) -> str:
    here, start = draw(*rows)
    passable = (here != Place.UNKNOWN) & (here != Place.BLOCKED) & (here != Place.BOULDER)
    doors = {*np.flatnonzero(here == Place.DOOR).tolist()}
    return bytes(way(start, (here == to).tobytes(), passable.tobytes(), doors)).decode()


def test_a_way_is_as_short_as_can_be() -> None:
    assert walk("@....", ".....", "....>", to=Place.WAY_DOWN) in ("llnn", "lnln", "lnnl", "nlln", "nlnl", "nnll")


def test_a_way_leads_round_a_wall() -> None:
    assert walk("@|>", ".|.", "...", to=Place.WAY_DOWN) == "jnuk"


def test_a_way_leads_to_the_nearest() -> None:
    assert walk("$..@.$", to=Place.TREASURE) == "ll"


def test_nobody_goes_askew_through_a_door() -> None:
    assert walk("---", "@+$", "---", to=Place.TREASURE) == "ll"
    assert walk("@--", "-+$", "---", to=Place.TREASURE) == ""
    assert walk("@--", ".+$", "---", to=Place.TREASURE) == "jll"


def test_there_is_no_way_through_a_wall_a_boulder_or_the_unknown() -> None:
    for between in "-0 ":
        assert walk(f"@{between}>", to=Place.WAY_DOWN) == ""


def test_an_edge_is_next_to_the_unknown() -> None:
    here, start = draw("-----", "|.@.|", "|... ", "-----")
    assert edges(here)[cell_at(3, 1)]
    assert not edges(here)[start - 1]


def test_a_dead_end_has_one_way_out() -> None:
    here, _ = draw("##### ", "    # ", "    # ")
    assert [at(cell) for cell in np.flatnonzero(dead_ends(here)).tolist()] == [(0, 0), (4, 2)]


def test_cells_and_places_on_the_map_are_one_to_one() -> None:
    assert len({cell_at(x, y) for x in range(COLUMNS) for y in range(ROWS)}) == COLUMNS * ROWS
    assert all(at(cell_at(x, y)) == (x, y) for x in range(COLUMNS) for y in range(ROWS))


@pytest.mark.parametrize("cell", [cell_at(0, 0), cell_at(COLUMNS - 1, ROWS - 1)])
def test_a_step_never_leaves_the_array(cell: int) -> None:
    here = places(np.full((ROWS, COLUMNS), nethack.GLYPH_CMAP_OFF, dtype=np.int16))
    assert all(0 <= cell + step < here.size for step in STEPS.values())


@pytest.mark.parametrize(
    ("glyph", "place"),
    [
        (nethack.GLYPH_CMAP_OFF + 24, Place.WAY_DOWN),
        (nethack.GLYPH_CMAP_OFF + 15, Place.CLOSED_DOOR),
        (nethack.GLYPH_CMAP_OFF + 52, Place.TRAP),
        (nethack.GLYPH_CMAP_OFF + 1, Place.BLOCKED),
        (nethack.GLYPH_CMAP_OFF, Place.UNKNOWN),
        (nethack.GLYPH_MON_OFF + 3, Place.MONSTER),
        (nethack.GLYPH_PET_OFF + 3, Place.PET),
        (nethack.GLYPH_BODY_OFF + 3, Place.FLOOR),
    ],
)
def test_a_glyph_is_a_place(glyph: int, place: int) -> None:
    drawn = np.full((ROWS, COLUMNS), nethack.GLYPH_CMAP_OFF, dtype=np.int16)
    drawn[4, 7] = glyph
    assert places(drawn)[cell_at(7, 4)] == place
