"""When a benchmark's reader has caught up."""

from __future__ import annotations

from benchmarks.ground import behind


def test_a_reader_at_the_end_of_every_partition_is_not_behind() -> None:
    assert behind({0: 10, 1: 0}, {0: 10}) == 0


def test_a_partition_of_which_nothing_is_stored_counts_whole() -> None:
    assert behind({0: 10, 1: 7}, {0: 4}) == 13


def test_what_was_written_since_the_end_was_asked_for_makes_up_for_no_other_partition() -> None:
    assert behind({0: 10, 1: 7}, {0: 15, 1: 5}) == 2
