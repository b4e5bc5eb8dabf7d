"""Quix Streams: a stateful step per event, state in RocksDB, without changelog topics."""

from __future__ import annotations

import time
from typing import Any

from quixstreams import Application

from benchmarks.peers.folding import Meter, arguments, step

bootstrap, topic = arguments()
meter = Meter("quix")
application = Application(
    broker_address=bootstrap,
    consumer_group=f"bench-quix-{time.time_ns()}",
    auto_offset_reset="earliest",
    use_changelog_topics=False,
    state_dir=f"quix-{time.time_ns()}",
    loglevel="ERROR",
)
stream = application.dataframe(application.topic(topic, value_deserializer="bytes", key_deserializer="bytes"))


def fold(value: bytes, state: Any) -> None:
    """Fold one event."""
    state.set("player", step(state.get("player"), value))
    meter.add(1)


stream.apply(fold, stateful=True)
application.run()
