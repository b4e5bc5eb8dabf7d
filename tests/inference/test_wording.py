"""Wording: facts in plain English."""

from __future__ import annotations

import pytest

from inference.wording import level_of, name_of, ordinal


def test_ordinals_are_english() -> None:
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111)
    assert [ordinal(number) for number in numbers] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "depth", "said"),
    [
        ("Dungeons of Doom 3", 3, "the 3rd level of the Dungeons of Doom"),
        ("Gnomish Mines 1", 3, "the 1st level of the Gnomish Mines"),
        ("The Gnomish Mines", 4, "the 4th level of The Gnomish Mines"),
        ("Sokoban", 5, "the 5th level of Sokoban"),
        ("Vlad's Tower-2", 40, "the 2nd level of Vlad's Tower"),
        ("", 2, "the 2nd level of the dungeon"),
        ("7", 2, "the 7th level of the dungeon"),
    ],
)
def test_a_level_is_named_by_its_place_in_its_zone(zone: str, depth: int, said: str) -> None:
    assert level_of(zone, depth) == said


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("hero-finn-wizard-6-bb1845", "Finn"),
        ("Astrid", "Astrid"),
        ("player:42", "Player:42"),
        ("player/zoë", "Zoë"),
        ("", ""),
    ],
)
def test_a_subject_is_called_by_its_name(subject: str, name: str) -> None:
    assert name_of(subject) == name
