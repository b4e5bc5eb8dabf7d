"""How fast is the SDK? Events a second from one process: facts built, checked, numbered, stamped, acknowledged by all.

The facts are those of a NetHack server in about its proportions, over 10,000 heroes. The clock runs from the first
publish to the last acknowledgement; making a fact is part of it, as it is for a game.

And how large is an event? The same events in bytes, as they are written and as JSON of the same fields without spaces.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import mean, median
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from schemas import (
    DepthReached,
    FlagSet,
    GoldGained,
    HealthChanged,
    ItemGained,
    ItemLost,
    PlayerLevelled,
    PlayerMoved,
    PlayerSaid,
    PlayerScored,
    decode,
    event_id,
)
from streams.admin import create_topics
from streams.sdk import Producer
from streams.sdk.envelope import SHAPES, Envelopes

_SUBJECTS = 10_000
_RUNS = 3
_SEED = 7
_FLUSH_S = 120.0
_SIZED_EVENTS = 10_000
_ORIGIN = "bench"

_HEROES = [f"hero-{n:05d}" for n in range(_SUBJECTS)]

#: A kind of fact, from a random number below 2**30, and how many of a hundred are of this kind.
_MIX: tuple[tuple[Callable[[int], Message], int], ...] = (
    (lambda n: PlayerMoved(zone="Dungeons of Doom", x=float(n % 80), y=float(n % 21)), 60),
    (lambda n: HealthChanged(health=n % 17, health_max=18), 14),
    (lambda n: PlayerSaid(text="You hear the footsteps of a guard on patrol.", channel="game"), 8),
    (lambda n: PlayerScored(points=n % 50, reason="kill"), 6),
    (lambda n: ItemGained(item_id=f"i{n}", kind="scroll", quantity=1), 4),
    (lambda n: ItemLost(item_id=f"i{n}", kind="dagger", quantity=1), 2),
    (lambda n: GoldGained(amount=n % 100, reason="floor"), 3),
    (lambda n: PlayerLevelled(level=n % 30), 1),
    (lambda n: DepthReached(zone="The Gnomish Mines", depth=n % 12), 1),
    (lambda n: FlagSet(quest="main", flag="oracle", value=1), 1),
)


def run(bootstrap: str, events: int = 400_000) -> dict[str, Any]:
    """Publish `events` events three times; makes the topics it needs. Returns the median rate and what each run did."""
    create_topics(bootstrap)
    runs = [_run(bootstrap, events) for _ in range(_RUNS)]
    return {
        "events_per_s": median(each["events_per_s"] for each in runs),
        "events": events,
        "subjects": _SUBJECTS,
        **sizes(),
        "runs": runs,
    }


def _run(bootstrap: str, events: int) -> dict[str, Any]:
    kinds, subjects, numbers = _drawn(events)
    with (
        tempfile.TemporaryDirectory() as folder,
        Producer(bootstrap, spill=Path(folder), origin=_ORIGIN, buffer_events_max=2 * events) as producer,
    ):
        _warm_up(producer, kinds)
        publish = producer.publish
        started = time.perf_counter()
        for make, subject, number in zip(kinds, subjects, numbers, strict=True):
            publish(make(number), subject=subject)
        published = time.perf_counter()
        left = producer.flush(_FLUSH_S)
        ended = time.perf_counter()
        counters = producer.counters
    return {
        "events_per_s": round((events - left) / (ended - started)),
        "published_per_s": round(events / (published - started)),
        "unacknowledged": left,
        "refused": counters.refused,
    }


def sizes(events: int = _SIZED_EVENTS) -> dict[str, Any]:
    """The mean bytes of an event of the mix, as the SDK writes it and as JSON, and how many times larger JSON is."""
    life = event_id(_now_ms(), os.urandom(10)).hex()
    envelopes = Envelopes("local", f"{_ORIGIN}-{life}", _now_ms, os.urandom)
    written = [
        envelopes.seal(SHAPES[type(fact)].encode(fact), subject, sequence, b"", "")[1]
        for sequence, (make, subject, number) in enumerate(zip(*_drawn(events), strict=True), start=1)
        for fact in (make(number),)
    ]
    protobuf, as_json = mean(map(len, written)), mean(len(json_of(value)) for value in written)
    return {
        "bytes_protobuf": round(protobuf, 1),
        "bytes_json": round(as_json, 1),
        "bytes_ratio": round(as_json / protobuf, 2),
    }


def json_of(value: bytes) -> bytes:
    """The event as protobuf's own JSON, which leaves out zeros as protobuf does, in as few bytes as JSON allows."""
    said = MessageToDict(decode(value), preserving_proto_field_name=True)
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _drawn(events: int) -> tuple[list[Callable[[int], Message]], list[str], list[int]]:
    """The kinds, subjects and numbers of so many events; the same each time."""
    random = Random(_SEED)
    kinds = random.choices([make for make, _ in _MIX], [weight for _, weight in _MIX], k=events)
    return kinds, random.choices(_HEROES, k=events), [random.getrandbits(30) for _ in range(events)]


def _warm_up(producer: Producer, kinds: list[Callable[[int], Message]]) -> None:
    """Connect, and meet every hero once: a server knows its players."""
    for make, subject in zip(kinds, _HEROES, strict=False):
        producer.publish(make(0), subject=subject)
    producer.flush(_FLUSH_S)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1])))
