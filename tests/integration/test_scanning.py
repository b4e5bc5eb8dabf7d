"""Scanning a real log: losses, repeats and rubbish are told apart, and what was there from what came after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas import Event, PlayerMoved, Topic
from schemas.limits import ORIGIN_BYTES_MAX, SEQUENCE_MAX
from schemas.stamps import pack
from streams.admin import create_topics, log_sizes
from streams.embedded import Servers
from streams.reconcile import Log, PartitionCount, Scan, Store, reconcile
from streams.scanning import Place, Scanned, scan
from streams.statements import statement
from tests.waiting import WITHIN_S
from tests.workers import Workers, rows, standing


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


def transactional(kafka: str, topic: Topic) -> Producer:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic.name})
    producer.init_transactions(WITHIN_S)
    return producer


def write_transaction(producer: Producer, topic: Topic, values: list[bytes], *, commit: bool) -> None:
    producer.begin_transaction()
    for value in values:
        producer.produce(topic.name, value, partition=0)
    if commit:
        producer.commit_transaction(WITHIN_S)
    else:
        assert producer.flush(WITHIN_S) == 0
        producer.abort_transaction(WITHIN_S)


def test_aborted_records_do_not_count_and_a_marker_at_the_end_is_no_stall(kafka: str, topic: Topic) -> None:
    writer = transactional(kafka, topic)
    write_transaction(writer, topic, [event("a", 1)], commit=True)
    write_transaction(writer, topic, [event("a", 2), event("a", 7)], commit=False)
    write_transaction(writer, topic, [event("a", 2)], commit=True)
    assert scanned(kafka, topic).partitions[topic.name, 0] == Scan(events=2, passed=5)


def test_a_log_of_nothing_but_aborted_records_is_read(kafka: str, topic: Topic) -> None:
    write_transaction(transactional(kafka, topic), topic, [event("a", 1)], commit=False)
    assert scanned(kafka, topic).partitions[topic.name, 0] == Scan(passed=2)


def test_a_transaction_that_is_still_open_is_not_waited_for(kafka: str, topic: Topic) -> None:
    write(kafka, topic, 0, [event("a", 1)])
    writer = transactional(kafka, topic)
    writer.begin_transaction()
    writer.produce(topic.name, event("a", 2), partition=0)
    assert writer.flush(WITHIN_S) == 0
    write(kafka, topic, 0, [event("a", 3)])
    assert scanned(kafka, topic).partitions[topic.name, 0] == Scan(events=1)
    writer.abort_transaction(WITHIN_S)
    assert scanned(kafka, topic).partitions[topic.name, 0] == Scan(events=2, missing=1, passed=2)


NO_DOTS = [
    b"",
    event("", 1),
    event("a", 0),
    event("a", SEQUENCE_MAX + 1),
    event("a", 2**64 - 1),
    event("a\0b", 1),
    event("o" * (ORIGIN_BYTES_MAX + 1), 1),
]


def test_a_record_without_a_dot_is_no_event(kafka: str, topic: Topic) -> None:
    write(kafka, topic, 0, [event("a", 1), *NO_DOTS])
    assert scanned(kafka, topic).partitions[topic.name, 0] == Scan(events=1, unreadable=len(NO_DOTS))


@pytest.fixture
async def workers(
    servers: Servers, migrated: str, topic: Topic, fresh_name: Callable[[str], str], tmp_path: Path
) -> Iterator[Workers]:
    started = Workers(replace(servers, postgres=migrated), tmp_path, topic.name, fresh_name("group"))
    yield started
    started.close()


def stamped(origin: str, sequence: int, stamp_ms: int) -> bytes:
    found = Event.FromString(event(origin, sequence))
    found.stamp = pack(stamp_ms)
    return found.SerializeToString()


async def test_the_log_and_the_fold_agree_over_all_that_is_no_event(workers: Workers, kafka: str, topic: Topic) -> None:
    now_ms = time.time_ns() // 1_000_000
    writer = transactional(kafka, topic)
    write_transaction(writer, topic, [event("t", 1)], commit=True)
    write_transaction(writer, topic, [event("t", 2)], commit=False)
    future = stamped("a", 2, now_ms + 10 * 86_400_000)
    unknown = Event(id=bytes(16), subject="p1", origin="a", sequence=3).SerializeToString()
    values = [event("a", 1), future, future, unknown, event("a", 6), event("a", 5), event("a", 1), *NO_DOTS]
    write(kafka, topic, 0, values)
    write_transaction(writer, topic, [event("t", 2), event("t", 3)], commit=False)
    workers.start()
    end = log_sizes(kafka, [topic])[topic.name, 0][1]

    async def there() -> bool:
        return bool((await standing(workers.servers.postgres, workers.group))["offsets"] == end)

    await workers.until(there)
    found = await rows(workers.servers.postgres, statement("count_group"), workers.group, "fold")
    [row] = [row for row in found if row["partition"] == 0]
    store = Store(**{name: row[name] for name in Store.__slots__})
    scanned_there = scanned(kafka, topic).partitions[topic.name, 0]
    assert scanned_there == Scan(events=6, repeats=2, missing=1, unreadable=len(NO_DOTS), passed=6)
    verdict = reconcile([PartitionCount(topic.name, 0, Log(0, end, scanned_there), store, store)])
    # The one that never came is said; all else agrees.
    assert verdict.differences == (f"{topic.name}/0: 1 events that were numbered never arrived",)
    assert store.missing == verdict.holes == 1
