"""How fast do the bytes of a fetch become columns, in C and by way of aiokafka's objects; and columns a frame of rows?

`python -m benchmarks.unpack` prints it as JSON. It needs no servers, and times one core.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.types import TP

from benchmarks.mix import events
from projections.records import framed, framed_in_python
from schemas import Event, event_id, fact_name
from streams.unpacking import Fetched, Unpack, by_columns, by_objects

EVENTS, SUBJECTS, SEED = 60_000, 10_000, 7
# What a producer under load puts into one batch, and one that sends as soon as it has something.
BATCH_EVENTS = (1_000, 5)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
RUNS = 5
HERE = TP("players.actions.v1", 0)
STAMP = 1_764_320_000_000 << 16


def _records() -> list[tuple[bytes, bytes]]:
    made = []
    for number, (subject, fact) in enumerate(events(EVENTS, SUBJECTS, SEED)):
        dot = {"region": "local", "origin": "bench-0123456789abcdef", "sequence": number + 1, "stamp": STAMP + number}
        event = Event(id=event_id(number, number.to_bytes(10, "big")), subject=subject, **dot)
        getattr(event, fact_name(fact)).CopyFrom(fact)
        made.append((subject.encode(), event.SerializeToString()))
    return made


def _fetched(records: list[tuple[bytes, bytes]], codec: int, batch_events: int) -> bytes:
    raw = bytearray()
    for start in range(0, len(records), batch_events):
        builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 26)
        for delta, (key, value) in enumerate(records[start : start + batch_events]):
            builder.append(delta, 1_000 + delta, key, value, [])
        batch = bytearray(builder.build())
        # The base offset is not covered by the checksum.
        struct.pack_into(">q", batch, 0, start)
        raw += batch
    return bytes(raw)


def _rate(work: Callable[[], Any]) -> int:
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return round(EVENTS / best)


def _unpacked(raw: bytes, unpack: Unpack) -> Any:
    return Fetched(HERE, raw, 0, unpack=unpack).take(EVENTS, 1 << 30)


def measure() -> dict[str, Any]:
    """Events a second, of the best of five runs."""
    records = _records()
    found: dict[str, Any] = {}
    for batch_events in BATCH_EVENTS:
        for name, codec in CODECS.items():
            raw = _fetched(records, codec, batch_events)
            found[f"unpack, {name}, {batch_events} a batch"] = {
                "columns": _rate(lambda raw=raw: _unpacked(raw, by_columns)),
                "objects": _rate(lambda raw=raw: _unpacked(raw, by_objects)),
            }
    values, offsets = pa.array([value for _, value in records], pa.binary()), np.arange(EVENTS)
    found["frame"] = {
        "columns": _rate(lambda: framed(values, offsets, *HERE)),
        "objects": _rate(lambda: framed_in_python(values, offsets, *HERE)),
    }
    return found


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
