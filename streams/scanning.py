"""Scanning: reading the log from end to end and counting, by dots alone, what is there.

It shares nothing with the fold but the log: it decodes otherwise, and counts by sorting numbers, so that a mistake in
the one is not repeated by the other.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from schemas import Event, TemporaryError, UndecodableEvent, decode
from schemas.limits import ORIGIN_BYTES_MAX, SEQUENCE_MAX
from streams.reconcile import Scan

#: A topic and the number of one of its partitions.
Place = tuple[str, int]
#: The first offset of each partition, and the one after its last.
Extents = Mapping[Place, tuple[int, int]]

#: A log of this size is read in about ten seconds, and its numbers take 160 MB; a larger one is not read for this.
SCAN_EVENTS_MAX = 10_000_000
RECORDS_A_POLL = 10_000
POLL_TIMEOUT_S = 1.0
#: A broker that gives nothing for this long, though there is more, is away.
STALLED_AFTER_S = 30.0


class ScanStalled(TemporaryError):
    """The broker stopped giving records before the end of the log."""

    reason = "scan_stalled"


@dataclass(frozen=True, slots=True)
class Scanned:
    """The log, read."""

    partitions: Mapping[Place, Scan]
    #: Different events of each origin.
    by_origin: Mapping[str, int]
    #: Different events below the offsets asked about, those that the log no longer holds included.
    before: int


@dataclass(slots=True)
class _Tally:
    """What has been read of one partition: each origin's numbers, and the offsets they were read at."""

    sequences: dict[str, array[int]] = field(default_factory=lambda: defaultdict(lambda: array("Q")))
    offsets: dict[str, array[int]] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    unreadable: int = 0
    records: int = 0

    def add(self, record: Message) -> None:
        self.records += 1
        try:
            event = decode(record.value() or b"")
        except UndecodableEvent:
            event = None
        # Some bytes that are no event do decode, but not to one that has a dot.
        if event is None or not _has_dot(event):
            self.unreadable += 1
            return
        self.sequences[event.origin].append(event.sequence)
        self.offsets[event.origin].append(record.offset() or 0)


def _has_dot(event: Event) -> bool:
    named = 1 <= len(event.origin.encode()) <= ORIGIN_BYTES_MAX and "\0" not in event.origin
    return named and 1 <= event.sequence <= SEQUENCE_MAX


def scan(bootstrap: str, extents: Extents, since: Mapping[Place, int]) -> Scanned:
    """Read what was committed of every partition, from its first offset to its end, both as `extents` says.

    Blocks; raises ScanStalled.

    `since` divides what was there before from what came after, for `Scanned.before`.
    """
    tallies = {place: _Tally() for place in extents}
    _read(bootstrap, {place: size for place, size in extents.items() if size[0] < size[1]}, tallies)
    by_origin: Counter[str] = Counter()
    partitions: dict[Place, Scan] = {}
    before = sum(begin for begin, _ in extents.values())
    for place, tally in tallies.items():
        events = repeats = missing = 0
        for origin, numbers in tally.sequences.items():
            sequences = np.frombuffer(numbers, np.uint64)
            different, first = np.unique(sequences, return_index=True)
            by_origin[origin] += len(different)
            events += len(different)
            repeats += len(sequences) - len(different)
            missing += int(different[-1]) - len(different)
            offsets = np.frombuffer(tally.offsets[origin], np.int64)
            before += int((offsets[first] < since.get(place, 0)).sum())
        begin, end = extents[place]
        partitions[place] = Scan(events, repeats, missing, tally.unreadable, end - begin - tally.records)
    return Scanned(partitions, by_origin, before)


def _read(bootstrap: str, extents: Extents, tallies: Mapping[Place, _Tally]) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            # Asked for by the client library; nothing is committed, and no group is joined.
            "group.id": "norn-scan",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            # The last offset may hold a transaction's marker, which is never given: the end is told instead.
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(*place, begin) for place, (begin, _) in extents.items()])
        left = {place: end for place, (_, end) in extents.items()}
        heard_s = time.monotonic()
        while left:
            records = consumer.consume(RECORDS_A_POLL, POLL_TIMEOUT_S)
            if records:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > STALLED_AFTER_S:
                raise ScanStalled(
                    f"Kafka at {bootstrap} gave no record for {STALLED_AFTER_S:.0f} s, and there is more to read of"
                    f" {', '.join(f'{topic}/{n}' for topic, n in sorted(left))}: look at its log and try again"
                )
            _tally(records, left, tallies)
    finally:
        consumer.close()


def _tally(records: Iterable[Message], left: dict[Place, int], tallies: Mapping[Place, _Tally]) -> None:
    for record in records:
        place = (record.topic() or "", record.partition() or 0)
        offset, end, error = record.offset(), left.get(place), record.error()
        if offset is None or end is None:
            continue
        if error is None and offset < end:
            tallies[place].add(record)
        # A record is the last, or lies behind the end; or there is none from this offset on.
        is_record = error is None and offset >= end - 1
        is_end = error is not None and error.code() == KafkaError._PARTITION_EOF and offset >= end
        if is_record or is_end:
            del left[place]
