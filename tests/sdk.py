"""What the tests of the SDK share: an address where nobody listens, waiting, and reading the log as it is."""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas import TOPICS, Event, Topic, decode
from streams.admin import log_sizes
from tests.waiting import WITHIN_S

WAIT_S = WITHIN_S

_held: list[socket.socket] = []


def nobody_listens() -> str:
    """An address of this machine that refuses connections until a server of the test's own listens there.

    The port stays bound, so that nobody else is given it meanwhile. A socket that does not listen refuses whoever
    connects, and lets a server in that reuses addresses, as asyncio's do.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    _held.append(held)
    return f"127.0.0.1:{held.getsockname()[1]}"


def free_port() -> int:
    """A port of this machine that is kept for a server of the test's own."""
    return int(nobody_listens().rpartition(":")[2])


def wait_for(condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Return when the condition holds; fail the test when it does not in time."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "what was waited for did not come about"
        time.sleep(0.01)


def read(
    bootstrap: str, origins: Iterable[str], topics: Iterable[Topic] = TOPICS.values()
) -> dict[tuple[str, int], list[Event]]:
    """All events of some origins that are on the log now, by topic and partition, in its order, repeats included."""
    wanted = set(origins)
    ends = {place: high for place, (low, high) in log_sizes(bootstrap, topics).items() if high > low}
    found: dict[tuple[str, int], list[Event]] = defaultdict(list)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reading", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in ends])
    until = time.monotonic() + WAIT_S
    while ends:
        assert time.monotonic() < until, f"the log could not be read to its end: {ends}"
        for message in consumer.consume(10_000, 0.2):
            assert message.error() is None, message.error()
            place = message.topic(), message.partition()
            event = decode(message.value())
            assert message.key() == event.subject.encode()
            if event.origin in wanted:
                found[place].append(event)
            if place in ends and message.offset() + 1 >= ends[place]:
                del ends[place]
    consumer.close()
    return found


def firsts(events: Iterable[Event]) -> list[Event]:
    """The events without repeats: what a reader that knows the dots it has had makes of them."""
    had = set()
    kept = []
    for event in events:
        if (dot := (event.origin, event.sequence)) not in had:
            had.add(dot)
            kept.append(event)
    return kept
