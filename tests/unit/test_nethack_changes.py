"""What is told of a hero adds up to what is seen of the hero: on made-up looks, and over real games of NetHack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from examples.nethack.belongings import Belongings, exchanged
from examples.nethack.changes import Told, changes, unknown
from examples.nethack.observation import Item, Observation, Prompt
from examples.nethack.server import Player
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
    fact_name,
)

KEYS = 2_000
HEROES = 8

START = Observation(
    zone="Dungeons of Doom 1",
    depth=1,
    x=10,
    y=5,
    turn=1,
    health=16,
    health_max=16,
    gold=0,
    experience_level=1,
    score=0,
    hunger=1,
    items=(),
    message="",
    prompt=Prompt.NONE,
    glyphs=np.zeros((21, 79), dtype=np.int16),
)
DAGGERS = Item("a", "dagger", 3, "3 daggers (in quiver)", object_class=2, glyph=1924)


@dataclass
class Folded:
    """What a reader of the facts, and of nothing else, knows of a hero."""

    place: tuple[str, float, float] = ("", 0, 0)
    zone: str = ""
    gold: int = 0
    score: int = 0
    level: int = 0
    deepest: int = 1
    health: tuple[int, int] = (0, 0)
    items: Counter[str] = field(default_factory=Counter)
    deaths: int = 0
    objectives: set[str] = field(default_factory=set)

    def apply(self, fact: Message) -> None:
        match fact:
            case PlayerMoved():
                self.place = (fact.zone, fact.x, fact.y)
            case PlaceEntered():
                self.zone = fact.zone
            case GoldGained():
                self.gold += fact.amount
            case GoldSpent():
                self.gold -= fact.amount
            case PlayerScored():
                self.score += fact.points
            case PlayerLevelled():
                self.level = max(self.level, fact.level)
            case DepthReached():
                self.deepest = max(self.deepest, fact.depth)
            case HealthChanged():
                self.health = (fact.health, fact.health_max)
            case ItemGained():
                self.items[fact.item_id] += fact.quantity
            case ItemLost():
                self.items[fact.item_id] -= fact.quantity
                assert self.items[fact.item_id] >= 0, "more was lost than was had"
            case PlayerDied():
                self.deaths += 1
            case ObjectiveCompleted():
                assert fact.objective not in self.objectives, "an objective is completed once"
                self.objectives.add(fact.objective)

    def differences(self, seen: list[Observation]) -> list[str]:
        """Where this is not what the looks at the hero show."""
        last = seen[-1]
        stacks = sorted(quantity for quantity in self.items.values() if quantity)
        agree = {
            "place": self.place == (last.zone, last.x, last.y),
            "zone": self.zone == last.zone,
            "gold": self.gold == last.gold,
            "score": self.score == max(look.score for look in seen),
            "level": self.level == max(look.experience_level for look in seen),
            "deepest": self.deepest == max(look.depth for look in seen),
            "health": self.health == (last.health, last.health_max),
            "items": stacks == sorted(item.quantity for item in last.items),
            "deaths": self.deaths == bool(last.killer),
        }
        return [name for name, holds in agree.items() if not holds]


@cache
def games() -> list[list[tuple[Observation, list[Message]]]]:
    """Some heroes' whole games, or their first keys: every look, and what was told after it."""
    return [list(game(number)) for number in range(1, HEROES + 1)]


def game(number: int) -> Iterator[tuple[Observation, list[Message]]]:
    player = Player(number, seed=3, life="")
    yield player.now, player.begin()
    for _ in range(KEYS):
        facts = player.press()
        yield player.now, facts
        if player.now.over:
            break
    player.close()


def told(*looks: Observation) -> list[Message]:
    """What is told of the last look, after all the others."""
    state = unknown("hero-x")
    facts: list[Message] = []
    for look in looks:
        facts, state = changes(state, look)
    return facts


def test_after_every_key_the_facts_add_up_to_what_is_seen() -> None:
    for played in games():
        folded, seen = Folded(), []
        for at, (look, facts) in enumerate(played):
            for fact in facts:
                folded.apply(fact)
            seen.append(look)
            assert folded.differences(seen) == [], f"after {at} keys, told {facts}"


def test_the_heroes_of_these_games_do_enough_to_test_with() -> None:
    happened = Counter(fact_name(fact) for played in games() for _, facts in played for fact in facts)
    wanted = {
        "player_moved": 4_000, "health_changed": 200, "player_said": 500, "player_scored": 100, "item_gained": 80,
        "item_lost": 30, "gold_gained": 10, "player_levelled": 15, "depth_reached": 10, "place_entered": 15,
        "objective_completed": 15, "flag_set": 10, "player_died": 2,
    }  # fmt: skip
    assert {name: happened[name] for name, least in wanted.items() if happened[name] < least} == {}


@pytest.mark.parametrize(
    "kind",
    [
        PlayerMoved,
        PlaceEntered,
        GoldGained,
        PlayerScored,
        PlayerLevelled,
        DepthReached,
        HealthChanged,
        ItemGained,
        PlayerDied,
    ],
)  # fmt: skip
def test_a_kind_of_fact_that_is_never_told_is_missed(kind: type[Message]) -> None:
    def differs(played: list[tuple[Observation, list[Message]]]) -> bool:
        folded = Folded()
        for _, facts in played:
            for fact in facts:
                if type(fact) is not kind and not (kind is ItemGained and isinstance(fact, ItemLost)):
                    folded.apply(fact)
        return bool(folded.differences([look for look, _ in played]))

    assert any(map(differs, games()))


def test_a_second_look_at_the_same_thing_tells_nothing() -> None:
    for played in games():
        state = unknown("hero-x")
        for look, _ in played[:200]:
            _, state = changes(state, look)
            assert changes(state, look)[0] == []


def test_a_game_that_is_played_again_is_told_again_word_for_word() -> None:
    again = list(game(1))
    assert [facts for _, facts in again] == [facts for _, facts in games()[0]]


def test_a_newborn_hero_is_somewhere_has_things_and_has_achieved_nothing() -> None:
    look = replace(START, gold=12, items=(DAGGERS,), message="Hello x, welcome to NetHack!")
    assert told(look) == [
        PlaceEntered(zone="Dungeons of Doom 1", depth=1),
        PlayerMoved(zone="Dungeons of Doom 1", x=10, y=5),
        GoldGained(amount=12, reason="inheritance"),
        ItemGained(item_id="hero-x:1", kind="dagger", quantity=3),
        HealthChanged(health=16, health_max=16),
        PlayerLevelled(level=1),
        PlayerSaid(text="Hello x, welcome to NetHack!", channel="message"),
    ]


def test_a_step_is_one_fact() -> None:
    assert told(START, replace(START, x=11, turn=2)) == [PlayerMoved(zone="Dungeons of Doom 1", x=11, y=5)]


def test_a_deeper_level_is_entered_reached_and_set_as_the_deepest() -> None:
    below = replace(START, zone="Dungeons of Doom 5", depth=5)
    assert told(replace(START, depth=4), below) == [
        PlaceEntered(zone="Dungeons of Doom 5", depth=5),
        PlayerMoved(zone="Dungeons of Doom 5", x=10, y=5),
        DepthReached(zone="Dungeons of Doom 5", depth=5),
        FlagSet(quest="descent", flag="deepest", value=5),
        ObjectiveCompleted(quest="descent", objective="depth-5"),
    ]


def test_a_level_seen_before_is_entered_and_no_achievement() -> None:
    below = replace(START, zone="Dungeons of Doom 2", depth=2)
    assert [type(fact) for fact in told(START, below, START, below)] == [PlaceEntered, PlayerMoved]


def test_a_fall_past_several_levels_completes_what_lies_between() -> None:
    fallen = told(START, replace(START, zone="Dungeons of Doom 6", depth=6))
    assert [fact.objective for fact in fallen if isinstance(fact, ObjectiveCompleted)] == [
        "depth-2",
        "depth-3",
        "depth-5",
    ]


def test_an_experience_level_that_was_drained_and_won_back_is_told_once() -> None:
    second = replace(START, experience_level=2)
    assert PlayerLevelled(level=2) in told(START, second)
    assert told(START, second, START, second) == []


def test_a_score_that_falls_and_recovers_is_not_scored_twice() -> None:
    rich, poor = replace(START, score=50), replace(START, score=20)
    assert told(START, rich, poor) == []
    assert told(START, rich, poor, replace(START, score=60)) == [PlayerScored(points=10, reason="experience")]


@pytest.mark.parametrize(
    ("before", "after", "message", "fact"),
    [
        (0, 30, "$ - 30 gold pieces.", GoldGained(amount=30, reason="found")),
        (0, 30, "You sold a dagger for 30 gold pieces.", GoldGained(amount=30, reason="sold")),
        (30, 10, "You bought a scroll for 20 gold pieces.", GoldSpent(amount=20, reason="bought")),
        (30, 0, "Your purse feels lighter.", GoldSpent(amount=30, reason="stolen")),
        (30, 0, "The coins roll away.", GoldSpent(amount=30, reason="lost")),
    ],
)
def test_gold_comes_and_goes_for_a_reason(before: int, after: int, message: str, fact: Message) -> None:
    facts = told(replace(START, gold=before), replace(START, gold=after, message=message))
    assert [each for each in facts if not isinstance(each, PlayerSaid)] == [fact]


def test_a_message_is_told_once_and_a_question_never() -> None:
    said = replace(START, message="You hear bubbling water.")
    asked = replace(START, message="In what direction?", prompt=Prompt.KEY)
    assert told(START, said) == [PlayerSaid(text="You hear bubbling water.", channel="message")]
    assert told(START, said, said) == []
    assert told(START, asked) == []


def test_death_comes_last_with_its_killer_and_its_place() -> None:
    dead = replace(START, health=0, over=True, killer="a newt", message="You die...")
    assert told(START, dead)[-1] == PlayerDied(zone="Dungeons of Doom 1", depth=1, killer="a newt")


def test_a_game_left_alive_is_no_death() -> None:
    assert told(START, replace(START, over=True)) == []


def test_a_hero_grows_old_by_thousands_of_turns() -> None:
    facts = told(replace(START, turn=998), replace(START, turn=1003))
    assert facts == [ObjectiveCompleted(quest="survivor", objective="turn-1000")]


def test_a_stack_keeps_its_id_while_it_grows_and_shrinks() -> None:
    state = unknown("hero-x")
    for quantity, expected in [
        (3, ItemGained(item_id="hero-x:1", kind="dagger", quantity=3)),
        (1, ItemLost(item_id="hero-x:1", kind="dagger", quantity=2)),
        (2, ItemGained(item_id="hero-x:1", kind="dagger", quantity=1)),
    ]:
        assert expected in step(state, replace(DAGGERS, quantity=quantity))[0]
        state = step(state, replace(DAGGERS, quantity=quantity))[1]


def test_a_thing_taken_up_again_is_another_gain() -> None:
    facts = told(replace(START, items=(DAGGERS,)), START, replace(START, items=(DAGGERS,)))
    assert facts == [ItemGained(item_id="hero-x:2", kind="dagger", quantity=3)]


def test_a_thing_that_is_recognised_is_still_the_same_thing() -> None:
    unread = Item("k", "scroll labeled NR 9", 1, "a scroll labeled NR 9", object_class=9, glyph=2200)
    known = replace(unread, kind="scroll of identify", name="a scroll of identify")
    assert told(replace(START, items=(unread,)), replace(START, items=(known,))) == []


def test_another_thing_under_the_same_letter_is_an_exchange() -> None:
    ring = Item("a", "ring", 1, "an opal ring", object_class=4, glyph=2090)
    assert told(replace(START, items=(DAGGERS,)), replace(START, items=(ring,))) == [
        ItemLost(item_id="hero-x:1", kind="dagger", quantity=3),
        ItemGained(item_id="hero-x:2", kind="ring", quantity=1),
    ]


def step(state: Told, *items: Item) -> tuple[list[Message], Told]:
    return changes(state, replace(START, items=items))


ITEMS = st.builds(
    Item,
    letter=st.sampled_from("abcd"),
    kind=st.sampled_from(["dagger", "ring", "potion"]),
    quantity=st.integers(1, 5),
    name=st.just("a thing"),
    object_class=st.integers(2, 3),
    glyph=st.integers(-1, 2),
)
PACKS = st.lists(ITEMS, max_size=4, unique_by=lambda item: item.letter).map(tuple)


@given(st.lists(PACKS, max_size=12))
def test_whatever_happens_to_a_pack_gains_less_losses_is_what_is_in_it(packs: list[tuple[Item, ...]]) -> None:
    had = Belongings("hero-x")
    bag: Counter[str] = Counter()
    for pack in packs:
        facts, had = exchanged(had, pack)
        carry(bag, facts)
        assert +bag == Counter({thing.item_id: thing.item.quantity for thing in had.by_letter.values()})
        assert sorted((thing.item.letter, thing.item.quantity) for thing in had.by_letter.values()) == sorted(
            (item.letter, item.quantity) for item in pack
        )


def carry(bag: Counter[str], facts: Iterable[ItemGained | ItemLost]) -> None:
    for fact in facts:
        assert fact.quantity > 0
        bag[fact.item_id] += fact.quantity if isinstance(fact, ItemGained) else -fact.quantity
        assert bag[fact.item_id] >= 0
