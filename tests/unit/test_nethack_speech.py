"""What heroes say: whole lines, for a reason, seldom, and the same ones for the same seed."""

from __future__ import annotations

import string
from dataclasses import replace

import numpy as np
import pytest
from google.protobuf.message import Message

from examples.nethack.observation import Observation, Prompt
from examples.nethack.server import Player
from examples.nethack.speech import Speech, sayings
from schemas import DepthReached, HealthChanged, PlayerLevelled, PlayerSaid

KEYS = 6_000
NOW = Observation(
    zone="Gnomish Mines 3",
    depth=3,
    x=1,
    y=1,
    turn=500,
    health=9,
    health_max=20,
    gold=70,
    experience_level=4,
    score=0,
    hunger=1,
    items=(),
    message="",
    prompt=Prompt.NONE,
    glyphs=np.zeros((21, 79), dtype=np.int16),
)


def spoken(facts: list[Message], now: Observation = NOW, keys: int = KEYS, seed: int = 3) -> list[PlayerSaid]:
    speech = Speech("finn", seed)
    return [said for _ in range(keys) if (said := speech.say(facts, now))]


def meant(said: PlayerSaid) -> set[str]:
    """The intents with a line that this can be."""
    return {intent for intent, lines in sayings().items() for line in lines if fits(line, said.text)}


def fits(line: str, text: str) -> bool:
    pieces = [literal for literal, *_ in string.Formatter().parse(line)]
    return text.startswith(pieces[0]) and all(piece in text for piece in pieces)


def test_there_are_many_lines_and_none_is_said_in_two_senses() -> None:
    lines = [line for lines in sayings().values() for line in lines]
    assert len(sayings()) >= 20
    assert len(lines) == len(set(lines)) >= 120
    assert all(len(lines) >= 5 for lines in sayings().values())


@pytest.mark.parametrize("intent", sorted(sayings()))
def test_a_line_has_no_blank_that_nobody_fills_in(intent: str) -> None:
    for line in sayings()[intent]:
        assert {name for _, name, *_ in string.Formatter().parse(line) if name} <= {"name", "place", "number"}
        assert len(line) <= 100


@pytest.mark.parametrize(
    ("facts", "message", "intents"),
    [
        ([PlayerLevelled(level=4)], "", {"boast", "ask_training", "ask_quest", "decline_quest"}),
        ([HealthChanged(health=3, health_max=20)], "", {"ask_healing", "decline_healing", "ask_way_up"}),
        ([DepthReached(zone="Gnomish Mines 3", depth=3)], "", {"ask_danger", "warn", "ask_company", "go_alone"}),
        ([], "You have a sad feeling for a moment, then it passes.", {"mourn"}),
        ([], "The kitten is killed!", {"mourn"}),
        ([], "You see here a dagger (for sale, 5 zorkmids).", {"buy", "sell", "ask_price", "refuse_deal"}),
        ([], "You are beginning to feel hungry.", {"ask_food"}),
    ],
)
def test_a_hero_speaks_of_what_has_just_happened(facts: list[Message], message: str, intents: set[str]) -> None:
    said = spoken(facts, replace(NOW, message=message))
    assert said
    assert set.union(*map(meant, said)) >= intents
    if len(intents) < 4:
        assert all(meant(each) & intents for each in said)


def test_who_is_well_says_nothing_of_wounds() -> None:
    assert not any(meant(said) & {"ask_healing"} for said in spoken([HealthChanged(health=19, health_max=20)]))


def test_names_places_and_numbers_are_of_the_moment() -> None:
    texts = [said.text for said in spoken([PlayerLevelled(level=4)], keys=40_000)]
    assert "I have reached experience level 4!" in texts
    assert "Nobody on Gnomish Mines 3 can beat me!" in texts
    assert not any("{" in text for text in texts)


def test_a_hero_calls_nobody_by_the_own_name() -> None:
    assert not any("Finn" in said.text for said in spoken([], keys=60_000))


def test_shopkeepers_are_spoken_to_and_everybody_else_overhears_the_rest() -> None:
    shop = replace(NOW, message="You see here a dagger (for sale, 5 zorkmids).")
    assert {said.channel for said in spoken([], shop)} == {"whisper:shopkeeper"}
    assert {said.channel for said in spoken([])} == {"say"}


def test_a_line_in_about_two_hundred_keys() -> None:
    assert KEYS / 300 < len(spoken([])) < len(spoken([PlayerLevelled(level=4)])) < KEYS / 120


def test_the_dead_say_nothing() -> None:
    assert spoken([PlayerLevelled(level=4)], replace(NOW, over=True)) == []


def test_the_same_seed_says_the_same() -> None:
    assert spoken([]) == spoken([])
    assert spoken([]) != spoken([], seed=4)


def test_a_hero_at_play_speaks_aloud() -> None:
    player = Player(2, seed=9, life="")
    said: list[Message] = []
    for _ in range(900):
        said += [fact for fact in player.press() if isinstance(fact, PlayerSaid) and fact.channel != "message"]
        if player.now.over:
            break
    player.close()
    assert said
