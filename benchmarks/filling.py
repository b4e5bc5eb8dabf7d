"""Filling the players' topic for those who read it."""

from __future__ import annotations

from benchmarks.ground import Ground
from benchmarks.mix import events
from streams.sdk import BufferFull, Producer

#: What the benchmarks' workers read.
TOPIC = "players.actions.v1"
_FLUSH_S = 300.0
_SEED = 7


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
