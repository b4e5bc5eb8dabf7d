"""The log itself, read from its beginning to where it ends now: what chaos is judged by."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from confluent_kafka import Consumer, TopicPartition

from schemas import TOPICS, Event, UndecodableEvent, decode
from streams.admin import log_sizes
from streams.scanning import POLL_TIMEOUT_S, RECORDS_A_POLL, STALLED_AFTER_S, ScanStalled


def events(bootstrap: str, topics: Collection[str]) -> Iterator[Event]:
    """Every event of these topics, repeats included, each partition's in order. Blocks; raises ScanStalled."""
    sizes = log_sizes(bootstrap, [TOPICS[name] for name in topics])
    left = {place: end for place, (begin, end) in sizes.items() if begin < end}
    # The client library asks for a group; none is joined, and nothing is committed.
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "norn-chaos", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(*place, sizes[place][0]) for place in left])
        heard_s = time.monotonic()
        while left:
            records = consumer.consume(RECORDS_A_POLL, POLL_TIMEOUT_S)
            if records:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > STALLED_AFTER_S:
                raise ScanStalled(f"Kafka at {bootstrap} gave no record for {STALLED_AFTER_S:.0f} s: look at its log")
            for record in records:
                place, offset = (record.topic() or "", record.partition() or 0), record.offset()
                if record.error() is not None or offset is None or offset >= left.get(place, 0):
                    continue
                if offset == left[place] - 1:
                    del left[place]
                try:
                    yield decode(record.value() or b"")
                except UndecodableEvent:
                    continue
    finally:
        consumer.close()
