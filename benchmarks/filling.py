"""Filling the players' topic for those who read it."""

from __future__ import annotations

import os
import time
from collections import Counter

from confluent_kafka import Producer as KafkaProducer

from benchmarks.ground import Ground
from benchmarks.mix import events
from schemas import TOPICS, fact_name
from schemas.partitions import partition_of
from streams.sdk import BufferFull, Producer
from streams.sdk.envelope import SHAPES, Envelopes, subject_key

#: What the benchmarks' workers read.
TOPIC = "players.actions.v1"
_FLUSH_S = 300.0
_SEED = 7
_BUFFERED_EVENTS_MAX = 1_000_000


def fill(ground: Ground, count: int, subjects: int) -> int:
    """Write `count` events in NetHack's mix, with the SDK, as a game would, until the broker has them all.

    Returns how many of them the players' topic holds: some of a game's facts are about the world.
    """
    ground.say(f"writing {count:,} events of {subjects:,} subjects")
    with Producer(ground.servers.kafka, spill=ground.home / "spill" / "filling") as producer:
        for subject, fact in events(count, subjects, _SEED):
            while True:
                try:
                    producer.publish(fact, subject=subject)
                    break
                except BufferFull:
                    producer.flush(1.0)
        left = producer.flush(_FLUSH_S)
        if left:
            raise TimeoutError(f"{left} events were not acknowledged within {_FLUSH_S:g} s: {producer.trouble}")
        return sum(sent for (topic, _), sent in producer.sent_by_partition.items() if topic == TOPIC)


def fill_lives(ground: Ground, count: int, subjects: int, lives: int) -> int:
    """As `fill`, by so many lives of producers, one after the other as games start and end.

    The SDK gives each life a connection of its own, which ten thousand would not get: here they share one.
    Returns how many events the players' topic holds.
    """
    ground.say(f"writing {count:,} events of {subjects:,} subjects by {lives:,} lives of producers")
    topic, run = TOPICS[TOPIC], time.time_ns()
    envelopes = [Envelopes("local", f"life-{run}-{life}", _now_ms, os.urandom) for life in range(lives)]
    sequences = Counter[tuple[int, int]]()
    producer = KafkaProducer(
        {
            "bootstrap.servers": ground.servers.kafka,
            "enable.idempotence": True,
            "queue.buffering.max.messages": _BUFFERED_EVENTS_MAX,
            "linger.ms": 5,
        }
    )
    written = 0
    for number, (subject, fact) in enumerate(events(count, subjects, _SEED)):
        if fact_name(fact) not in topic.facts:
            continue
        life, partition = number * lives // count, partition_of(subject, topic.partitions)
        sequences[life, partition] += 1
        content = SHAPES[type(fact)].encode(fact)
        _, value = envelopes[life].seal(content, subject, sequences[life, partition], b"", "")
        while True:
            try:
                producer.produce(TOPIC, value, subject_key(subject), partition=partition)
                break
            except BufferError:
                producer.poll(1.0)
        written += 1
    left = producer.flush(_FLUSH_S)
    if left:
        raise TimeoutError(f"{left} events were not acknowledged within {_FLUSH_S:g} s")
    return written


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
