"""What the web view reads: where groups stand, where the log ends, and the latest figures of the projections."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from schemas.stamps import time_ms
from streams.database import PASSING
from streams.status import DotCount, Partition, Place, Standing
from streams.web.packaged import packaged

# A list that takes longer has outgrown the page, and is left out of it.
LIST_TIMEOUT_S = 5.0

# The broker answers in milliseconds; one that has not after this long is away.
KAFKA_TIMEOUT_S = 2.0

_STANDINGS = packaged("sql/standings.sql")
_DOTS = packaged("sql/dots.sql")
_DEAD_LETTER_COUNT = packaged("sql/dead_letter_count.sql")
_SPENT = packaged("sql/spent.sql")

#: What the page lists, by the name of the statement that reads it.
LISTS: Mapping[str, str] = {
    name: packaged(f"sql/{name}.sql") for name in ("leaderboard", "decisions", "costs", "dead_letters")
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What the projections show. `unreadable` says which list could not be read, and why."""

    dots: Mapping[tuple[str, Place], DotCount] = field(default_factory=dict)
    dead_letters: int = 0
    spent_usd_micros: int = 0
    lists: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=lambda: dict.fromkeys(LISTS, ()))
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def dots_of(self, found: Partition) -> DotCount:
        """What a group's dots in a partition say."""
        return self.dots.get((found.group, found.place), DotCount())


async def standings(connection: Any, now_ms: int) -> list[Standing]:
    """Where every group stands; Postgres's times are put on the clock of `now_ms`."""
    return [
        Standing(
            row["group_name"],
            row["topic"],
            row["partition"],
            row["next_offset"],
            row["events"],
            time_ms(row["last_stamp"] or 0),
            now_ms - int(row["folded_ago_s"] * 1000) if row["folded_ago_s"] is not None else 0,
        )
        for row in await connection.fetch(_STANDINGS)
    ]


async def figures(connection: Any) -> Figures:
    """The latest figures. What one list lacks does not hide the others."""
    unreadable: dict[str, str] = {}

    async def rows(name: str, text: str) -> list[Any]:
        try:
            found: list[Any] = await connection.fetch(text, timeout=LIST_TIMEOUT_S)
        except TimeoutError:
            unreadable[name] = f"reading it took longer than {LIST_TIMEOUT_S:.0f} s"
            return []
        except PASSING:
            raise
        except asyncpg.PostgresError as error:
            unreadable[name] = f"{error}; norn migrate makes the tables"
            return []
        return found

    dots = {
        (row["group_name"], Place(row["topic"], row["partition"])): DotCount(row["holes"], row["duplicates"])
        for row in await rows("dots", _DOTS)
    }
    counted = await rows("dead_letters", _DEAD_LETTER_COUNT)
    spent = await rows("costs", _SPENT)
    lists = {name: [dict(row) for row in await rows(name, text)] for name, text in LISTS.items()}
    for decision in lists["decisions"]:
        decision["says"] = said(decision["content"])
    return Figures(dots, counted[0][0] if counted else 0, spent[0][0] if spent else 0, lists, unreadable)


def said(content: str | None) -> str | None:
    """What an agent's output says, a JSON object's values in words; anything else as it is."""
    try:
        found = json.loads(content or "")
    except ValueError:
        return content
    return " ".join(str(value) for value in found.values()) if isinstance(found, dict) else content


class Broker:
    """Asks Kafka where partitions end, belonging to no consumer group."""

    def __init__(self, bootstrap: str) -> None:
        # Failures are raised, and shown on the page; librdkafka need not print them too.
        self._settings: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._client = AdminClient(self._settings)

    def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Where these partitions end, leaving out those that are no more. Blocks; raises KafkaException when away."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(*place): latest for place in places}
        if not asked:
            # Nobody stands anywhere yet; whether the broker is there matters all the same.
            self._client.list_topics(timeout=KAFKA_TIMEOUT_S)
            return {}
        ends: dict[Place, int] = {}
        failures: list[KafkaException] = []
        for tp, answer in self._client.list_offsets(asked, request_timeout=KAFKA_TIMEOUT_S).items():
            try:
                ends[Place(tp.topic, tp.partition)] = answer.result().offset
            except KafkaException as error:
                failures.append(error)
        if failures:
            # A client remembers for minutes who led a partition, and asks in vain after a broker's return.
            self._client = AdminClient(self._settings)
        if failures and not ends:
            raise failures[0]
        return ends
