"""The ground of benchmarks: a worker is measured once it has taken up all that was written before."""

from __future__ import annotations

from benchmarks.ground import is_caught_up

ENDS = {("players.actions.v1", 0): 10, ("players.actions.v1", 1): 0}


def test_a_group_that_has_not_begun_has_not_caught_up() -> None:
    assert not is_caught_up({}, ENDS)


def test_a_group_that_is_one_record_behind_has_not_caught_up() -> None:
    assert not is_caught_up({("players.actions.v1", 0): 9, ("players.actions.v1", 1): 0}, ENDS)


def test_a_group_at_every_end_has_caught_up_and_an_empty_partition_need_not_be_claimed() -> None:
    assert is_caught_up({("players.actions.v1", 0): 10}, ENDS)
