"""The toll of a chaos run: it finds what it is there to find."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streams.chaos.toll import SUBJECTS, Expected, Held, facts, toll

PLACE = ("player.facts.v1", 0)
ACKNOWLEDGED = {PLACE: 10}
SUMS = {"chaos-1": (5, 20)}
WHOLE = Held(rows={PLACE: 10}, distinct={PLACE: 10}, sums=SUMS)


def found(held: Held) -> tuple[int, int]:
    counted = toll(ACKNOWLEDGED, SUMS, {"ClickHouse": held})
    return counted.lost, counted.doubled


def test_a_store_that_has_each_event_once_lost_and_doubled_nothing() -> None:
    assert found(WHOLE) == (0, 0)


def test_a_number_that_a_store_has_not_had_is_lost() -> None:
    assert found(replace(WHOLE, rows={PLACE: 7}, distinct={PLACE: 7})) == (3, 0)


def test_a_store_that_has_nothing_lost_everything() -> None:
    assert found(Held({}, {}, {})) == (10, 0)


def test_an_event_in_two_rows_is_doubled() -> None:
    assert found(replace(WHOLE, rows={PLACE: 12})) == (0, 2)


def test_one_lost_and_another_doubled_do_not_make_up_for_each_other() -> None:
    assert found(replace(WHOLE, rows={PLACE: 10}, distinct={PLACE: 9})) == (1, 1)


def test_an_effect_that_is_missing_though_its_number_was_had_is_lost() -> None:
    assert found(replace(WHOLE, sums={"chaos-1": (4, 20)})) == (1, 0)
    assert found(replace(WHOLE, sums={"chaos-1": (5, 19)})) == (1, 0)


def test_an_effect_taken_up_twice_is_doubled() -> None:
    assert found(replace(WHOLE, sums={"chaos-1": (6, 20)})) == (0, 1)
    assert found(replace(WHOLE, sums={"chaos-1": (5, 23)})) == (0, 1)


def test_the_tolls_of_stores_are_added_and_the_wrong_sums_named() -> None:
    short = replace(WHOLE, rows={PLACE: 9}, distinct={PLACE: 9}, sums={"chaos-1": (4, 20)})
    counted = toll(ACKNOWLEDGED, SUMS, {"Postgres": short, "ClickHouse": short})
    assert (counted.lost, counted.doubled) == (2, 0)
    assert counted.examples[0] == "Postgres: chaos-1 has (4, 20) for (5, 20)"


@given(st.integers(0, 500), st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_facts_and_all_are_expected(count: int, seed: int) -> None:
    made, again = list(facts(count, seed)), list(facts(count, seed))
    assert made == again
    expected = Expected()
    for subject, fact in made:
        expected.add(subject, fact)
    assert expected.points.total() == (count + 1) // 2
    assert expected.gold.total() >= count // 2
    assert len(expected.sums()) <= SUBJECTS
