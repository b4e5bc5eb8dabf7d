"""What is read off NetHack's screen."""

from __future__ import annotations

import pytest

from examples.nethack.game import Game
from examples.nethack.observation import Prompt, amount, killer_on, zone_of
from examples.nethack.roster import character

TOMBSTONE = """
                       ----------
                      /          \\
                     /    REST    \\
                    /      IN      \\
                   /     PEACE      \\
                  /                  \\
                  |      Astrid      |
                  |       12 Au      |
                  |   {}   |
                  |   {}   |
                  |                  |
                  |                  |
                  |       2026       |
                 *|     *  *  *      | *
        _________)/\\\\_//(\\/(/\\)/\\//\\/|_)_______
"""


def carve(first: str, second: str = "") -> list[bytes]:
    return [row.encode() for row in TOMBSTONE.format(first.center(12), second.center(12)).splitlines()]


@pytest.mark.parametrize(
    ("name", "quantity", "kind"),
    [
        ("a +1 long sword (weapon in hand)", 1, "long sword"),
        ("3 daggers (in quiver)", 3, "dagger"),
        ("an uncursed +3 small shield (being worn)", 1, "small shield"),
        ("2 uncursed food rations", 2, "food ration"),
        ("4 potions of holy water", 4, "potion of holy water"),
        ("a scroll labeled NR 9 (unpaid, 20 zorkmids)", 1, "scroll labeled NR 9"),
        ("2 scrolls labeled NR 9", 2, "scroll labeled NR 9"),
        ("2 cloves of garlic", 2, "clove of garlic"),
        ("a very rusty two-handed sword", 1, "two-handed sword"),
        ("3 blessed poisoned +0 knives", 3, "knife"),
        ("23 +2 ya (in quiver)", 23, "ya"),
        ("an empty uncursed sack", 1, "sack"),
        ("a dagger named Sting", 1, "dagger"),
        ("the blessed Orb of Fate", 1, "Orb of Fate"),
        ("12 flint stones (in quiver pouch)", 12, "flint stone"),
        ("a partly eaten cram ration", 1, "cram ration"),
        ("Excalibur", 1, "Excalibur"),
    ],
)
def test_a_name_says_how_many_of_what(name: str, quantity: int, kind: str) -> None:
    assert amount(name) == (quantity, kind)


@pytest.mark.parametrize(
    ("stone", "killer"),
    [
        (carve("killed by", "a newt"), "a newt"),
        (carve("killed by a", "jackal"), "a jackal"),
        (carve("died of", "starvation"), "starvation"),
        (carve("drowned in", "a moat"), "drowned in a moat"),
    ],
)
def test_a_tombstone_names_the_killer(stone: list[bytes], killer: str) -> None:
    assert killer_on(stone) == killer


def test_a_map_is_no_tombstone() -> None:
    assert killer_on([b"  |                  |  "] * 8) == ""


@pytest.mark.parametrize(
    ("dungeon", "level", "zone"), [(0, 3, "Dungeons of Doom 3"), (2, 1, "Gnomish Mines 1"), (4, 4, "Sokoban 4")]
)
def test_a_zone_is_a_dungeon_and_a_level_of_it(dungeon: int, level: int, zone: str) -> None:
    assert zone_of(dungeon, level) == zone


def test_a_valkyrie_is_born_with_what_valkyries_carry() -> None:
    with Game(character(1), seed=7) as game:
        now = game.last
    assert (now.zone, now.depth, now.turn, now.health, now.gold) == ("Dungeons of Doom 1", 1, 1, 16, 0)
    assert [(item.letter, item.kind, item.quantity) for item in now.items][:4] == [
        ("a", "long sword", 1), ("b", "dagger", 1), ("c", "small shield", 1), ("d", "food ration", 1),
    ]  # fmt: skip
    assert "welcome to NetHack" in now.message


@pytest.mark.parametrize(
    ("keys", "prompt"), [("i", Prompt.MORE), ("e", Prompt.KEY), ("E- ", Prompt.LINE), ("s", Prompt.NONE)]
)
def test_the_game_says_what_it_waits_for(keys: str, prompt: Prompt) -> None:
    with Game(character(1), seed=7) as game:
        for key in keys:
            game.press(ord(key))
        assert game.last.prompt is prompt


def test_an_observation_does_not_change_when_the_game_goes_on() -> None:
    with Game(character(1), seed=7) as game:
        before = game.last
        drawn = before.glyphs.copy()
        for key in b"hhhhjjjj":
            game.press(key)
        assert (before.glyphs == drawn).all()
        assert not (game.last.glyphs == drawn).all()
