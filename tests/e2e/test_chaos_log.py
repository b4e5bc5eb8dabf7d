"""A hostile log, small: no worker stops, and each record is in exactly one account."""

from __future__ import annotations

from streams.chaos.hostile_log import run


def test_each_of_300_hostile_records_is_folded_a_repeat_or_a_dead_letter() -> None:
    said: list[str] = []
    found = run(300, seed=7, say=said.append)
    assert found.stopped == 0
    assert found.differences == ()
    assert found.records == found.folded + found.dead_letters + found.duplicates >= found.written >= 300
    assert {"no_dot", "undecodable", "future_stamp", "foreign_fact", "unknown_fact"} <= set(found.reasons)
    assert found.holds
