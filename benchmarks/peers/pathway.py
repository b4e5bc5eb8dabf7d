"""Pathway: a group-by with one stateful reducer per player."""

from __future__ import annotations

import time
from typing import Any

import pathway as pw

from benchmarks.peers.folding import Meter, arguments
from schemas.gen.norn.v1.event_pb2 import Event

bootstrap, topic = arguments()
meter = Meter("pathway")


@pw.udf(deterministic=True)
def subject(value: bytes) -> str:
    """Whose event it is."""
    return Event.FromString(value).subject


@pw.udf(deterministic=True)
def points(value: bytes) -> int:
    """What was scored."""
    return Event.FromString(value).player_scored.points


@pw.udf(deterministic=True)
def gold(value: bytes) -> int:
    """What was gained, less what was spent."""
    event = Event.FromString(value)
    return event.gold_gained.amount - event.gold_spent.amount


settings = {
    "bootstrap.servers": bootstrap,
    "group.id": f"bench-pathway-{time.time_ns()}",
    "auto.offset.reset": "earliest",
}
records = pw.io.kafka.read(settings, topic=topic, format="raw", autocommit_duration_ms=100)
facts = records.select(player=subject(pw.this.data), points=points(pw.this.data), gold=gold(pw.this.data))
players = facts.groupby(pw.this.player).reduce(
    pw.this.player,
    score=pw.reducers.sum(pw.this.points),
    gold=pw.reducers.sum(pw.this.gold),
    events=pw.reducers.count(),
)
folded: dict[str, int] = {}


def changed(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
    """Count the events that a new row holds beyond the old one."""
    if is_addition:
        meter.add(row["events"] - folded.get(row["player"], 0))
        folded[row["player"]] = row["events"]


pw.io.subscribe(players, changed)
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
