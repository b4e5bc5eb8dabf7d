"""Policy workers as processes, on a topic of their own, that can be made to die between any two of their steps."""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas import TOPICS, Event, Topic, UndecodableEvent, decode
from streams.admin import log_sizes
from streams.app import create_app
from streams.config import Settings
from streams.embedded import Servers
from streams.publications import Publications
from streams.reacting import policy_role
from streams.worker import run
from tests.waiting import WITHIN_S
from tests.workers import Workers

PARTITIONS = 4
#: A day of the world in half a minute.
SPEED = 2_880.0


def only_topic(name: str) -> dict[str, Topic]:
    """A log of one topic that carries everything."""
    facts = tuple(fact for topic in TOPICS.values() for fact in topic.facts)
    return {name: Topic(name, facts, PARTITIONS)}


@dataclass
class PolicyWorkers(Workers):
    """Starts policy workers of one group."""

    speed: float = SPEED
    clock_start: str = "2026-01-01T00:00"

    def start(self, dies: str = "", after: int = 1) -> subprocess.Popen[bytes]:
        """One more worker; it kills itself at the step named, the `after`th time that it comes to it."""
        command = [sys.executable, "-m", "tests.policy_workers", "--topic", self.topic, "--group", self.group]
        command += ["--dies", dies, "--after", str(after)]
        return self.spawn(command, {"NORN_CLOCK_SPEED": str(self.speed), "NORN_CLOCK_START": self.clock_start})


def said_by(bootstrap: str, topic: str, origins: Iterable[str]) -> list[Event]:
    """What these origins have written to a topic so far, repeats included, in the order of each partition."""
    wanted, found = set(origins), []
    sizes = log_sizes(bootstrap, only_topic(topic).values())
    left = {partition: high for (_, partition), (low, high) in sizes.items() if high > low}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reading", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
    until = time.monotonic() + WITHIN_S
    while left:
        assert time.monotonic() < until, f"the log could not be read to its end: {left}"
        for message in consumer.consume(10_000, 0.2):
            assert message.error() is None, message.error()
            with suppress(UndecodableEvent):
                event = decode(message.value() or b"")
                if event.origin in wanted:
                    found.append(event)
            if message.offset() + 1 >= left.get(message.partition(), math.inf):
                del left[message.partition()]
    consumer.close()
    return found


def _deadly(dies: str, after: int) -> None:
    """Kill this process where `dies` says: before or after it has delivered what a transaction made certain."""
    delivers, left = Publications._deliver, after

    def deliver(self: Publications, rows: Any) -> Any:
        nonlocal left
        # A tick alone shows nothing: what is to be met is a schedule that is due, or a verdict of the budget's.
        left -= any(word in row["value"] for row in rows for word in (b"problem", b"hour", b"budget"))
        if dies == "stored" and left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        acknowledged = delivers(self, rows)
        if dies == "delivered" and left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return acknowledged

    steps: dict[str, Callable[[], None]] = {
        "": lambda: None,
        "stored": lambda: setattr(Publications, "_deliver", deliver),
        "delivered": lambda: setattr(Publications, "_deliver", deliver),
    }
    steps[dies]()


def main() -> None:
    """Run one worker until it is ended: `python -m tests.policy_workers --topic T --group G`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--dies", default="")
    parser.add_argument("--after", type=int, default=1)
    chosen = parser.parse_args()
    _deadly(chosen.dies, chosen.after)
    settings = Settings()
    servers = Servers(
        kafka=settings.kafka or "", postgres=settings.postgres or "", clickhouse=settings.clickhouse or ""
    )
    role = policy_role(topics=only_topic(chosen.topic))
    run(create_app(settings, servers, "policy", role, group=chosen.group), "info")


if __name__ == "__main__":
    main()
