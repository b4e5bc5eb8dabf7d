"""Writing a log for tests: topics of their own, and events with dots, without the SDK under test elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from google.protobuf.message import Message

from schemas import Event, event_id, fact_name
from schemas.partitions import partition_of
from schemas.stamps import pack


@dataclass
class Life:
    """One life of one producer of events: numbers them per partition, as the SDK does."""

    partitions: int = 4
    region: str = "local"
    origin: str = field(default_factory=lambda: os.urandom(8).hex())
    sequences: dict[int, int] = field(default_factory=dict)

    def event(self, fact: Message, subject: str, stamp: int | None = None) -> tuple[int, Event]:
        """The partition and the event of a fact that happens now, or at a stamp."""
        partition = partition_of(subject, self.partitions)
        self.sequences[partition] = sequence = self.sequences.get(partition, 0) + 1
        now_ms = time.time_ns() // 1_000_000
        event = Event(
            id=event_id(now_ms, os.urandom(10)),
            subject=subject,
            stamp=pack(now_ms) if stamp is None else stamp,
            region=self.region,
            origin=self.origin,
            sequence=sequence,
        )
        getattr(event, fact_name(fact)).CopyFrom(fact)
        return partition, event


def create_topic(bootstrap: str, topic: str, partitions: int = 4) -> None:
    """Make a topic stamped by the broker, as Norn's are."""
    config = {"message.timestamp.type": "LogAppendTime"}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(30)


def write(bootstrap: str, topic: str, records: Iterable[tuple[int, bytes]]) -> None:
    """Append (partition, value) records in order; returns when the broker has them all."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5})
    for partition, value in records:
        while True:
            try:
                producer.produce(topic, value, partition=partition)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0
