"""Dots: each event once, whatever comes twice, late or never."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.dots import HOLES_MAX, Dots, Origin
from projections.errors import DotUnknown

sequences = st.lists(st.integers(1, 40), max_size=80)


@given(sequences)
def test_an_event_is_admitted_the_first_time_and_never_again(arrivals: list[int]) -> None:
    origin, seen = Origin(), set()
    for sequence in arrivals:
        assert origin.admit(sequence) == (sequence not in seen)
        seen.add(sequence)


@given(sequences)
def test_what_is_missing_and_what_came_twice_are_counted(arrivals: list[int]) -> None:
    origin = Origin()
    for sequence in arrivals:
        origin.admit(sequence)
    assert origin.missing == max(arrivals, default=0) - len(set(arrivals))
    assert origin.duplicates == len(arrivals) - len(set(arrivals))


@given(sequences, st.integers(0, 80))
def test_a_run_is_admitted_as_its_events_one_by_one_are(arrivals: list[int], cut: int) -> None:
    whole, single = Dots(), Dots()
    expected = [single.admit("a", sequence) for sequence in arrivals]
    parts = [np.array(part, dtype=np.uint64) for part in (arrivals[:cut], arrivals[cut:])]
    assert [bool(new) for part in parts for new in whole.admit_run("a", part)] == expected
    assert not arrivals or whole.origins["a"] == single.origins["a"]


@given(st.integers(1, 50), st.integers(0, 50))
def test_a_dense_run_leaves_no_hole(first: int, second: int) -> None:
    dots = Dots()
    dots.admit_run("a", np.arange(1, first + 1, dtype=np.uint64))
    dots.admit_run("a", np.arange(first + 1, first + second + 1, dtype=np.uint64))
    assert (dots.missing, dots.duplicates, dots.origins["a"].last) == (0, 0, first + second)


def test_origins_are_told_apart() -> None:
    dots = Dots()
    assert dots.admit("a", 1)
    assert dots.admit("b", 1)
    assert not dots.admit("a", 1)
    assert dots.duplicates == 1


def test_what_begins_as_dots_changes_apart_until_it_is_taken_over() -> None:
    before = Dots()
    before.admit("quiet", 1)
    before.admit("busy", 1)
    after = before.begin()
    assert after.admit("busy", 2)
    assert not after.admit("busy", 1)
    assert after.admit("new", 1)
    assert after.origins == {"busy": Origin(2, duplicates=1), "new": Origin(1)}
    assert before.origins == {"quiet": Origin(1), "busy": Origin(1)}
    before.take_over(after)
    assert list(before.origins) == ["quiet", "busy", "new"]
    assert before.origins["busy"] == Origin(2, duplicates=1)


def test_a_batch_looks_at_its_own_origins_alone() -> None:
    many = Dots({f"life-{number}": Origin(1) for number in range(10_000)})
    batch = many.begin()
    batch.admit("life-7", 2)
    assert list(batch.origins) == ["life-7"]


def with_given_up_gaps() -> Dots:
    dots = Dots()
    for sequence in range(2, 2 * HOLES_MAX + 12, 2):
        dots.admit("o", sequence)
    return dots


def test_past_the_limit_the_oldest_gaps_are_given_up_and_what_lies_there_cannot_be_told_from_a_repeat() -> None:
    dots = with_given_up_gaps()
    assert len(dots.origins["o"].holes) == HOLES_MAX
    for sequence in (1, 2, 9):
        with pytest.raises(DotUnknown):
            dots.admit("o", sequence)
        with pytest.raises(DotUnknown):
            dots.admit_run("o", np.array([sequence], np.uint64))
    assert dots.duplicates == 0
    assert dots.admit("o", 2 * HOLES_MAX + 1)
    assert not dots.admit("o", 2 * HOLES_MAX + 2)
