"""A projection that cannot be folded is refused where it is declared, and the message says what to change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from projections import PROJECTIONS, VIEWS
from projections.catalog.leaderboard import leaderboard
from projections.catalog.players import players
from projections.crdt import Bag, Balance, First, Grow, Highest, Keyed, Latest, Progress, Status
from projections.errors import DeclarationRefused
from projections.projection import OrderedView, Projection, tables
from schemas import (
    DecisionRequested,
    Event,
    FlagSet,
    GoldGained,
    GoldSpent,
    HealthChanged,
    ItemGained,
    ItemLost,
    ObjectiveCompleted,
    PlaceEntered,
    PlayerDied,
    PlayerMoved,
    PlayerScored,
    UnknownFact,
)


def bag() -> Bag:
    return Bag(add=(ItemGained, "item_id"), remove=(ItemLost, "item_id"))


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a field that the fact has not": (lambda: Latest(PlayerMoved, "z"), "PlayerMoved has no field 'z'; it has zone"),
    "no field": (lambda: Latest(PlayerMoved), "name at least one"),
    "a repeated field": (lambda: First(DecisionRequested, "legal_actions"), "neither one text nor one number"),
    "a count of text": (lambda: Grow(PlayerMoved, "zone"), "needs a whole number"),
    "a count of reals": (lambda: Highest(PlayerMoved, "x"), "needs a whole number"),
    "a count that may fall": (lambda: Grow(HealthChanged, "health"), "must be unsigned"),
    "a balance that may fall by itself": (
        lambda: Balance(plus=(HealthChanged, "health"), minus=(GoldSpent, "amount")),
        "must be unsigned",
    ),
    "a bag of one fact": (
        lambda: Bag(add=(ItemGained, "item_id"), remove=(ItemGained, "item_id")),
        "another that removes",
    ),
    "a bag of numbers": (
        lambda: Bag(add=(ItemGained, "quantity"), remove=(ItemLost, "quantity")),
        "quantity must be a text",
    ),
    "a map of nothing": (lambda: Keyed(entry="zone"), "at least one CRDT"),
    "a map of maps": (lambda: Keyed(entry="kind", items=bag()), "holds single values, not Bag"),
    "a map by a field that a fact has not": (lambda: Keyed(entry="zone", a=Grow(PlayerScored)), "no field 'zone'"),
    "progress of one fact": (
        lambda: Progress(objectives=(FlagSet, "flag"), flags=(FlagSet, "flag", "value")),
        "one fact for objectives and another for flags",
    ),
    "no rank": (Status, "ranks from low to high"),
    "a rank twice": (lambda: Status(a=PlayerDied, b=PlayerDied), "names one twice"),
    "no CRDT": (lambda: Projection("empty", key="subject"), "has no CRDT"),
    "a key that a fact has not": (
        lambda: Projection("places", key="zone", score=Grow(PlayerScored)),
        "cannot be kept by 'zone': PlayerScored has no field",
    ),
    "a key of two types": (
        lambda: Projection("odd", key="health", health=Latest(HealthChanged, "health_max"), zone=Grow(PlayerDied)),
        "no field 'health'",
    ),
    "a real key": (lambda: Projection("x", key="x", moves=Grow(PlayerMoved)), "a text or a whole number"),
    "a bag that is not kept by subject": (
        lambda: Projection("kinds", key="kind", items=bag()),
        "must be kept by subject",
    ),
    "two columns of one name": (
        lambda: Projection("heroes", key="subject", here=Latest(PlayerMoved, "zone"), died=Latest(PlayerDied, "zone")),
        "two columns called zone",
    ),
    "a column called as the key": (
        lambda: Projection("places", key="zone", here=Latest(PlaceEntered, "zone")),
        "two columns called zone",
    ),
    "a column from others that there are not": (
        lambda: Projection("heroes", key="subject", either={"best": ("level",)}, deaths=Grow(PlayerDied)),
        "heroes.best: there is no level to take it from",
    ),
    "a column from two of different types": (
        lambda: Projection(
            "heroes",
            key="subject",
            either={"best": ("zone", "deaths")},
            here=Latest(PlayerMoved, "zone"),
            deaths=Grow(PlayerDied),
        ),
        "best is of one type: zone is text, deaths is whole",
    ),
    "a name that is none": (
        lambda: Projection("Players", key="subject", deaths=Grow(PlayerDied)),
        "'Players' is no name",
    ),
    "a ranking by a column that is not there": (
        lambda: OrderedView("board", of=players, columns=("score",), by="fame"),
        "players has no 'fame'",
    ),
    "two tables of one name": (lambda: tables([players, players]), "two tables are called players"),
}


@pytest.mark.parametrize(("declare", "message"), REFUSED.values(), ids=REFUSED)
def test_a_declaration_that_cannot_hold_is_refused(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(DeclarationRefused, match=message):
        declare()


def test_a_message_that_is_no_fact_is_refused() -> None:
    with pytest.raises(UnknownFact, match="is not a fact"):
        Grow(Event)


def test_a_key_may_be_a_field_of_another_fact_by_the_same_name() -> None:
    places = Projection("places", key="zone", visits=Grow(PlaceEntered), deaths=Grow(PlayerDied))
    assert [field.path for field in places.keys[0].fields] == ["place_entered.zone", "player_died.zone"]


def test_the_players_are_the_tables_that_they_are_declared_to_be() -> None:
    own, inventory = players.tables
    assert [column.name for column in own.columns] == [
        "subject", "region", "position_stamp", "zone", "x", "y", "level", "score", "gold_plus", "gold_minus",
        "health_stamp", "health", "health_max", "version", "stamp",
    ]  # fmt: skip
    assert [value.name for value in own.values] == [
        "zone", "x", "y", "level", "score", "gold", "health", "health_max", "version", "stamp",
    ]  # fmt: skip
    assert [column.name for column in inventory.columns] == ["subject", "item_id", "kind", "region", "quantity"]
    assert inventory.facts == ("item_gained", "item_lost")


def test_nothing_in_the_catalog_is_called_as_something_else_is() -> None:
    names = [table.name for table in tables(PROJECTIONS)] + [view.name for view in VIEWS]
    assert len(names) == len(set(names))
    assert leaderboard in VIEWS


def test_progress_names_its_tables_by_what_they_hold() -> None:
    quests = Projection(
        "quests",
        key=("subject", "quest"),
        progress=Progress(objectives=(ObjectiveCompleted, "objective"), flags=(FlagSet, "flag", "value")),
    )
    assert [table.name for table in quests.tables] == ["quests", "quests_objectives", "quests_flags"]
    assert set(quests.entries()) == {"objectives", "flags"}


def test_a_balance_of_two_facts_grows_in_two_columns() -> None:
    purse = Projection("purse", key="subject", gold=Balance(plus=(GoldGained, "amount"), minus=(GoldSpent, "amount")))
    assert [part.name for part in purse.tables[0].aggregates] == ["gold_plus", "gold_minus", "version", "stamp"]
