"""The hostile log is the same for a seed, holds every kind, and leaves no gap that is not filled late."""

from __future__ import annotations

from collections import defaultdict

import pytest

from schemas import TOPICS, NoDot, UndecodableEvent
from streams.chaos.hostile import KINDS, WITHOUT_DOT, Batch, hostile
from streams.processors.record_rules import read_event
from streams.records import Record

NOW_MS = 1_800_000_000_000


def log(records: int, seed: int = 7) -> list[Batch]:
    return list(hostile(records, seed, NOW_MS))


def test_a_seed_gives_the_same_log_and_another_seed_another() -> None:
    assert log(300) == log(300)
    assert log(300) != log(300, seed=8)


def test_every_kind_is_there_on_every_topic() -> None:
    batches = log(10_000)
    assert {kind for batch in batches for kind, _ in batch.records} == {*KINDS, "aborted", "late"}
    assert {batch.topic for batch in batches} == set(TOPICS)
    assert {batch.commits for batch in batches} == {True, False, None}


def test_every_gap_is_filled_by_what_is_committed() -> None:
    numbers = defaultdict(set)
    for batch in log(3_000):
        for kind, value in batch.records if batch.commits is not False else ():
            if kind not in WITHOUT_DOT:
                event = read_event(Record(0, NOW_MS, None, value))
                numbers[batch.topic, batch.partition, event.origin].add(event.sequence)
    assert all(found == set(range(1, len(found) + 1)) for found in numbers.values())


def test_what_has_no_dot_is_no_event() -> None:
    for batch in log(3_000):
        for kind, value in batch.records:
            if kind in WITHOUT_DOT:
                with pytest.raises((NoDot, UndecodableEvent)):
                    read_event(Record(0, NOW_MS, None, value))
