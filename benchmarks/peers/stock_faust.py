"""Faust as it comes: one event at a time into a Faust table."""

from __future__ import annotations

import sys
import time
from typing import Any

import faust
from faust.worker import Worker

from benchmarks.peers.folding import Meter, arguments, step

bootstrap, topic = arguments()
meter = Meter("stock_faust")
app = faust.App(
    f"bench-stock-faust-{time.time_ns()}",
    broker=f"kafka://{bootstrap}",
    store="memory://",
    datadir=f"stock-faust-{time.time_ns()}",
    autodiscover=False,
    web_enabled=False,
    topic_partitions=4,
    topic_replication_factor=1,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    stream_buffer_maxsize=16_384,
    broker_max_poll_records=5_000,
)
players = app.Table("players", partitions=4, value_type=dict)


async def fold(stream: Any) -> None:
    """Fold one event after the other."""
    async for key, value in stream.items():
        players[key] = step(players.get(key), value)
        meter.add(1)


app.agent(app.topic(topic, key_serializer="raw", value_serializer="raw"), name="fold")(fold)

if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    Worker(app, loglevel="warning", redirect_stdouts=False).execute_from_commandline()
