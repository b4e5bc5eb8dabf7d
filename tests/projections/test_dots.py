"""Dots: each event once, whatever comes twice, late or never."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from projections.dots import HOLES_MAX, Dots, Origin

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


def test_a_copy_changes_apart_and_tells_what_changed() -> None:
    before = Dots()
    before.admit("quiet", 1)
    before.admit("busy", 1)
    after = before.copy()
    after.admit("busy", 2)
    after.admit("new", 1)
    assert after.changed_since(before) == {"busy": Origin(2), "new": Origin(1)}
    assert before.origins["busy"] == Origin(1)


def test_the_oldest_holes_are_given_up_past_the_limit() -> None:
    origin = Origin()
    for sequence in range(2, 2 * HOLES_MAX + 12, 2):
        origin.admit(sequence)
    assert len(origin.holes) == HOLES_MAX
    assert not origin.admit(1)
    assert origin.admit(2 * HOLES_MAX + 1)
