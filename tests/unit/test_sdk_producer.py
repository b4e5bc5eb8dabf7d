"""The producer while no broker is there: what it refuses, counts, keeps on disk, and never waits for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException

from schemas import (
    TOPICS,
    DecisionRequested,
    Event,
    EventRefused,
    GoldGained,
    PlaceEntered,
    PlayerMoved,
    PlayerSaid,
    UnknownFact,
    decode,
)
from schemas.partitions import partition_of
from streams.sdk import BufferFull, Producer, SpillInUse
from streams.sdk.spill import Spill
from tests.sdk import WAIT_S, nobody_listens, wait_for

GOLD = GoldGained(amount=3, reason="floor")


@contextmanager
def producer(folder: Path, **settings: Any) -> Iterator[Producer]:
    made = Producer(nobody_listens(), spill=folder, **{"away_s": 0.1, **settings})
    try:
        yield made
    finally:
        made.close(timeout_s=0)


def on_disk(folder: Path) -> dict[tuple[str, int], list[Event]]:
    """The events of a folder that no producer has, by topic and partition."""
    found: dict[tuple[str, int], list[Event]] = {}
    spilled = Spill(folder)
    while (batch := spilled.peek()) is not None:
        found.setdefault((batch.topic, batch.partition), []).extend(decode(value) for _, value in batch.events)
        assert all(key.decode() == decode(value).subject for key, value in batch.events)
        spilled.advance()
    spilled.close()
    return found


def test_what_is_published_while_the_broker_is_away_is_on_disk_after_the_close(tmp_path: Path) -> None:
    with producer(tmp_path, region="eu", origin="server-1") as publishing:
        ids = [publishing.publish(GOLD, subject=f"hero-{n % 9}") for n in range(100)]
        ids += [publishing.publish(PlaceEntered(zone="Oracle"), subject="hero-1", cause=ids[0], trace="00-ab-01")]
        origin = publishing.origin
        assert publishing.counters.sent == 0
        assert publishing.flush(0) == 101
        assert publishing.close(timeout_s=0) == 101
        assert publishing.counters.spilled == 101
    found = on_disk(tmp_path)
    written = [event for events in found.values() for event in events]
    assert {event.id for event in written} == set(ids)
    assert {(event.origin, event.region) for event in written} == {(origin, "eu")}
    assert origin.startswith("server-1-")
    (entered,) = (event for event in written if event.WhichOneof("fact") == "place_entered")
    assert (entered.cause, entered.trace) == (ids[0], "00-ab-01")
    for (topic, partition), events in found.items():
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert {partition_of(event.subject, TOPICS[topic].partitions) for event in events} == {partition}


def test_events_go_to_disk_when_the_broker_stays_away_and_the_trouble_is_told(tmp_path: Path) -> None:
    with producer(tmp_path) as publishing:
        publishing.publish(GOLD, subject="hero-1")
        wait_for(lambda: publishing.counters.spilled == 1)
        assert publishing.counters.queued == 0
        assert publishing.trouble
        publishing.publish(GOLD, subject="hero-1")
        wait_for(lambda: publishing.counters.spilled == 2)


def test_the_next_life_has_another_origin_and_counts_what_the_last_one_left(tmp_path: Path) -> None:
    with producer(tmp_path) as first:
        first.publish(GOLD, subject="hero-1")
    with producer(tmp_path) as second:
        assert second.origin != first.origin
        assert second.counters.spilled == 1
        second.publish(GOLD, subject="hero-1")
    (events,) = on_disk(tmp_path).values()
    assert [(event.origin, event.sequence) for event in events] == [(first.origin, 1), (second.origin, 1)]


def test_publishing_never_waits_though_memory_and_disk_are_full(tmp_path: Path) -> None:
    """Not a timed test: a second is what a wait for a network or a disk in trouble takes, a call takes microseconds."""
    with producer(tmp_path, buffer_events_max=2000, spill_bytes_max=1_000_000) as publishing:
        accepted = refused = 0
        slowest_s = 0.0
        until = time.monotonic() + WAIT_S
        while (refused < 1000 or publishing.counters.spilled == 0) and time.monotonic() < until:
            began = time.perf_counter()
            try:
                publishing.publish(PlayerSaid(text="x" * 1000), subject="hero-1")
                accepted += 1
            except BufferFull:
                refused += 1
            slowest_s = max(slowest_s, time.perf_counter() - began)
        counters = publishing.counters
        assert counters.spilled > 0
        assert counters.refused == refused >= 1000
        assert counters.queued + counters.spilled == accepted
        assert slowest_s < 1
    (events,) = on_disk(tmp_path).values()
    assert [event.sequence for event in events] == list(range(1, accepted + 1))


def test_the_spill_stays_near_its_limit(tmp_path: Path) -> None:
    with producer(tmp_path, buffer_events_max=500, spill_bytes_max=200_000, away_s=0.05) as publishing:
        until = time.monotonic() + WAIT_S
        # A probe of the broker tells of its own trouble in between.
        while "spill files have" not in (trouble := publishing.trouble) and time.monotonic() < until:
            try:
                publishing.publish(PlayerSaid(text="x" * 1000), subject="hero-1")
            except BufferFull:
                time.sleep(0.01)
        assert "spill files have" in trouble
        assert sum(file.stat().st_size for file in tmp_path.glob("*.spill")) < 200_000 + 500 * 1100


@pytest.mark.parametrize(
    ("fact", "subject", "error"),
    [
        (GOLD, "", EventRefused),
        (GOLD, "x" * 257, EventRefused),
        (GOLD, 7, EventRefused),
        (PlayerMoved(x=float("nan")), "hero-1", EventRefused),
        (PlayerSaid(text="x" * 20_000), "hero-1", EventRefused),
        ("player moved", "hero-1", EventRefused),
        ({"amount": 3}, "hero-1", EventRefused),
        (GoldGained, "hero-1", EventRefused),
        (Event(), "hero-1", UnknownFact),
        (DecisionRequested(tier="platinum"), "hero-1", EventRefused),
    ],
)
def test_what_may_not_be_written_is_refused_at_once_and_spends_no_dot(
    tmp_path: Path, fact: Any, subject: Any, error: type[Exception]
) -> None:
    with producer(tmp_path) as publishing:
        publishing.publish(GOLD, subject="hero-1")
        with pytest.raises(error):
            publishing.publish(fact, subject=subject)
        publishing.publish(GOLD, subject="hero-1")
        assert publishing.counters.refused == 1
    (events,) = on_disk(tmp_path).values()
    assert [event.sequence for event in events] == [1, 2]


def test_a_request_goes_to_the_topic_of_its_tier(tmp_path: Path) -> None:
    with producer(tmp_path) as publishing:
        for tier in ("gold", "bronze", "gold"):
            asked = DecisionRequested(tier=tier, decision_id="d", agent="guard", legal_actions=["greet"])
            publishing.publish(asked, subject="hero-1")
    found = {topic: [event.sequence for event in events] for (topic, _), events in on_disk(tmp_path).items()}
    assert found == {"ai.requests.gold.v1": [1, 2], "ai.requests.bronze.v1": [1]}


def test_more_subjects_than_are_remembered_keep_their_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.sdk.producer._SUBJECTS_MAX", 10)
    with producer(tmp_path) as publishing:
        for n in range(100):
            publishing.publish(GOLD, subject=f"hero-{n % 35}")
    for (topic, partition), events in on_disk(tmp_path).items():
        assert {partition_of(event.subject, TOPICS[topic].partitions) for event in events} == {partition}


def test_a_folder_in_use_and_a_wrong_setting_are_told_at_once(tmp_path: Path) -> None:
    with producer(tmp_path), pytest.raises(SpillInUse):
        Producer(nobody_listens(), spill=tmp_path)
    with pytest.raises(KafkaException, match=r"no\.such\.setting"):
        Producer(nobody_listens(), spill=tmp_path, client={"no.such.setting": 1})
    with pytest.raises(ValueError, match="acks: the order and safety"):
        Producer(nobody_listens(), spill=tmp_path, client={"acks": 0})
    with producer(tmp_path):
        pass


def test_a_closed_producer_says_so(tmp_path: Path) -> None:
    with producer(tmp_path) as publishing:
        publishing.close(timeout_s=0)
        with pytest.raises(EventRefused, match="closed"):
            publishing.publish(GOLD, subject="hero-1")
