"""Contexts and schedules that anybody may have written are read as far as they make sense, and no further."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.reading import asked, due, foe, last_action, nearest, number, pairs, text
from tests.inference.asking import shown
from tests.inference.days import of_context

EXAMPLES = (
    ({"gold": "scarce", "players": "few"}, {"action": "a"}),
    ({"gold": "plenty", "players": "few"}, {"action": "b"}),
    ({"gold": "scarce", "players": "many"}, {"action": "c"}),
    ({"gold": "steady", "players": "many"}, {"action": "d"}),
)


def test_an_agents_last_action_is_known_however_many_others_came_after_it() -> None:
    told = {"decided": {"economy": {"raise_prices": 1}, "quest": {"hunt": 90}}, "recent": [["quest", "hunt"]] * 8}
    assert last_action(told, "economy", ("raise_prices", "lower_prices")) == "raise_prices"
    assert (
        last_action({**told, "recent": [["economy", "lower_prices"]]}, "economy", ("lower_prices",)) == "lower_prices"
    )
    assert last_action(told, "economy", ("lower_prices",)) == "none"
    assert last_action({"decided": {"economy": "rubbish"}}, "economy", ("lower_prices",)) == "none"


def test_a_prompt_shows_the_examples_that_are_nearest_and_the_nearest_last() -> None:
    assert [answer["action"] for _, answer in nearest(EXAMPLES, {"gold": "scarce", "players": "many"})] == [
        "d",
        "a",
        "c",
    ]
    asked_for = shown(asked("Choose.", EXAMPLES, {"gold": "plenty", "players": "many"}))
    assert asked_for.index('"b"') > asked_for.index('"d"')


@pytest.mark.parametrize(
    ("value", "read"), [(7, 7), (7.9, 7), ("7", 3), (True, 3), (None, 3), (-5, 0), (10**12, 100), ([7], 3)]
)
def test_a_number_is_read_within_its_bounds(value: object, read: int) -> None:
    assert number({"n": value}, "n", 3, high=100) == read


def test_text_and_rows_are_read_as_far_as_they_are_any() -> None:
    assert text({"a": "Oil\n<b>"}, "a") == "Oil (b)"
    assert text({"a": 5}, "a", default="none") == "none"
    rows = [["Mines", 3], ["Doom", "many"], "Sokoban", [], [3, 3], ["", 3], ["Tower", 2.0]]
    assert pairs({"places": rows}, "places") == [("Mines", 3), ("Doom", 0), ("Tower", 2)]
    assert pairs({"places": "Mines"}, "places") == []


@given(st.text())
def test_a_schedule_due_tells_of_a_whole_world_whatever_is_written(context: str) -> None:
    told = due(of_context("hour", context.encode(errors="ignore").decode()), "hour")
    assert told is not None
    assert set(told) >= {"day", "hour", "players", "deaths", "deepest", "gold", "places", "killers", "decided"}
    assert due(of_context("hour", context.encode(errors="ignore").decode()), "social") is None


@pytest.mark.parametrize(
    ("killer", "kind"), [("", "nobody"), ("a newt", "monster"), ("fainted from lack of food", "hunger")]
)
def test_a_foe_is_known_by_name(killer: str, kind: str) -> None:
    assert foe(killer) == kind
