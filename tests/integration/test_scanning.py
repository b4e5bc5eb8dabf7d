"""Scanning a real log: losses, repeats and rubbish are told apart, and what was there from what came after."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from schemas import Event, PlayerMoved, Topic
from streams.admin import create_topics, log_sizes
from streams.reconcile import Scan
from streams.scanning import Place, Scanned, scan


def event(origin: str, sequence: int) -> bytes:
    found = Event(id=bytes(16), subject="p1", origin=origin, sequence=sequence, player_moved=PlayerMoved(zone="Mines"))
    return found.SerializeToString()


@pytest.fixture
def topic(kafka: str, fresh_name: Callable[[str], str]) -> Topic:
    made = Topic(fresh_name("scan"), (), partitions=2)
    create_topics(kafka, [made])
    return made


def write(kafka: str, topic: Topic, partition: int, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for value in values:
        producer.produce(topic.name, value, partition=partition)
    assert producer.flush(30) == 0


def scanned(kafka: str, topic: Topic, since: dict[Place, int] | None = None) -> Scanned:
    return scan(kafka, log_sizes(kafka, [topic]), since or {})


def test_an_empty_log_is_read_at_once(kafka: str, topic: Topic) -> None:
    found = scanned(kafka, topic)
    assert set(found.partitions.values()) == {Scan()}
    assert found.before == 0


def test_losses_repeats_and_rubbish_are_told_apart(kafka: str, topic: Topic) -> None:
    write(kafka, topic, 0, [event("a", n) for n in (1, 2, 3, 2, 6)] + [b"\xff\xff rubbish", b""])
    write(kafka, topic, 1, [event("a", n) for n in (1, 2)] + [event("b", 1)])
    found = scanned(kafka, topic)
    assert found.partitions[topic.name, 0] == Scan(events=4, repeats=1, missing=2, unreadable=2)
    assert found.partitions[topic.name, 1] == Scan(events=3)
    assert found.by_origin == {"a": 6, "b": 1}


def test_an_origin_whose_first_events_are_missing_is_seen(kafka: str, topic: Topic) -> None:
    write(kafka, topic, 0, [event("a", n) for n in (3, 4)])
    assert scanned(kafka, topic).partitions[topic.name, 0] == Scan(events=2, missing=2)


def test_what_was_there_before_does_not_count_repeats_that_came_after(kafka: str, topic: Topic) -> None:
    write(kafka, topic, 0, [event("a", n) for n in range(1, 2001)])
    before = {place: end for place, (_, end) in log_sizes(kafka, [topic]).items()}
    write(kafka, topic, 0, [event("a", n) for n in (1999, 2000, 2001, 2002)])
    found = scanned(kafka, topic, before)
    assert found.before == 2000
    assert found.partitions[topic.name, 0] == Scan(events=2002, repeats=2)
