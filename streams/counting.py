"""Counting: what a reconciliation needs to know, asked of the log and of both stores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from projections.events_tables import EVENTS
from streams import clickhouse
from streams.addresses import Servers
from streams.admin import log_sizes
from streams.groups import ANSWERING, FOLD, HISTORY
from streams.reaching import postgres_at, reaching
from streams.reconcile import Account, Log, PartitionCount, Store
from streams.scanning import SCAN_EVENTS_MAX, Extents, Place, Scanned, scan
from streams.statements import statement

LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Since:
    """How the log stood before producers whose accounts are held against it began."""

    ends: Mapping[Place, int]
    duplicates: int = 0
    #: What had been published from Postgres, by origin.
    published: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """Every partition in all three places, and what accounts of producers are held against."""

    partitions: tuple[PartitionCount, ...]
    #: Different events of each origin.
    by_origin: Mapping[str, int]
    #: Different events that were there already.
    before: int
    #: Whether the log was read, or taken at the word of the dots that Postgres keeps.
    scanned: bool


class Counting:
    """Asks the three servers. Its methods raise ServerAway, BrokerAway and ScanStalled."""

    def __init__(self, servers: Servers, scan_events_max: int = SCAN_EVENTS_MAX) -> None:
        self._servers = servers
        self._scan_events_max = scan_events_max

    async def since(self) -> Since:
        """How the log stands now."""
        extents, (rows, _, _), published = await asyncio.gather(self._extents(), self._postgres(), self._published())
        ends = {place: end for place, (_, end) in extents.items()}
        return Since(ends, sum(row["duplicates"] for row in rows[FOLD]), published)

    async def accounts(self, since: Since) -> list[Account]:
        """What has been published from Postgres since then, where its events are numbered."""
        published = await self._published()
        return [Account(origin, sent - since.published.get(origin, 0)) for origin, sent in published.items()]

    async def counts(self, since: Since | None = None) -> Counts:
        """Count everything everywhere."""
        since = since or Since({})
        extents = await self._extents()
        scanning = self._scan(extents, since)
        (rows, dead, origins), held, scanned = await asyncio.gather(self._postgres(), self._clickhouse(), scanning)
        partitions = tuple(_partition(place, size, scanned, rows, held, dead) for place, size in extents.items())
        if scanned is None:
            return Counts(partitions, origins, sum(since.ends.values()) - since.duplicates, scanned=False)
        return Counts(partitions, scanned.by_origin, scanned.before, scanned=True)

    async def settled(self, timeout_s: float, *, without: Collection[str] = ()) -> bool:
        """Wait until every worker has taken up all there is and nothing new follows; False when that takes longer.

        without: groups that are not waited for, because their workers have been stopped.

        A worker's answers are on the log before its position moves. So when all positions are at the ends that were
        read before them, and the ends are still the same after, nothing is under way.
        """
        deadline_s = time.monotonic() + timeout_s
        while not await self._is_settled(without):
            if time.monotonic() > deadline_s:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    async def folded(self, timeout_s: float) -> bool:
        """Wait until all that is in the log now is folded into Postgres; False when that takes longer."""
        ends = {(FOLD, place): end for place, (_, end) in (await self._extents()).items()}
        deadline_s = time.monotonic() + timeout_s
        while True:
            stand, _ = await self._stand()
            if all(stand.get(key, 0) >= end for key, end in ends.items()):
                return True
            if time.monotonic() > deadline_s:
                return False
            await asyncio.sleep(LOOK_EVERY_S)

    async def _is_settled(self, without: Collection[str]) -> bool:
        extents = await self._extents()
        stand, unpublished = await self._stand()
        ends = {place: end for place, (_, end) in extents.items()}
        stored = all(stand.get((group, place), 0) >= end for group in (FOLD, HISTORY) for place, end in ends.items())
        answered = all(offset >= ends.get(place, 0) for (group, place), offset in stand.items() if group not in without)
        return stored and answered and not unpublished and extents == await self._extents()

    async def _stand(self) -> tuple[dict[tuple[str, Place], int], int]:
        """The next offset of every group in every partition, and how many dead letters the log has not been told of."""
        async with postgres_at(self._servers.postgres) as connection:
            rows = await connection.fetch(statement("count_places"), [FOLD, HISTORY, *ANSWERING])
            unpublished = await connection.fetchval(statement("count_unpublished"))
        return {(row["group_name"], (row["topic"], row["partition"])): row["next_offset"] for row in rows}, unpublished

    async def _published(self) -> dict[str, int]:
        async with postgres_at(self._servers.postgres) as connection:
            rows = await connection.fetch(statement("count_published"))
        return {row["origin"]: row["sent"] for row in rows}

    async def _extents(self) -> Extents:
        with reaching("Kafka", self._servers.kafka):
            return await asyncio.to_thread(log_sizes, self._servers.kafka)

    async def _scan(self, extents: Extents, since: Since) -> Scanned | None:
        if sum(end - begin for begin, end in extents.values()) > self._scan_events_max:
            return None
        with reaching("Kafka", self._servers.kafka):
            return await asyncio.to_thread(scan, self._servers.kafka, extents, since.ends)

    async def _postgres(self) -> tuple[dict[str, list[Any]], dict[Place, int], dict[str, int]]:
        async with postgres_at(self._servers.postgres) as connection:
            rows = {
                group: await connection.fetch(statement("count_group"), group, role)
                for group, role in ((FOLD, "fold"), (HISTORY, "history"))
            }
            dead = await connection.fetch(statement("count_dead_letters"))
            origins = await connection.fetch(statement("count_origins"), FOLD)
        by_place = {(row["topic"], row["partition"]): row["dead_letters"] for row in dead}
        return rows, by_place, {row["origin"]: row["events"] for row in origins}

    async def _clickhouse(self) -> dict[Place, tuple[int, int]]:
        query = (
            "select log_topic, log_partition, count(), uniqExact(origin, sequence)"
            f" from {EVENTS} group by log_topic, log_partition"
        )

        def ask() -> dict[Place, tuple[int, int]]:
            with reaching("ClickHouse", self._servers.clickhouse):
                rows = clickhouse.connect(self._servers.clickhouse).query(query).result_rows
            return {(topic, partition): (rows, distinct) for topic, partition, rows, distinct in rows}

        return await asyncio.to_thread(ask)


def _partition(
    place: Place,
    size: tuple[int, int],
    scanned: Scanned | None,
    rows: Mapping[str, list[Any]],
    held: Mapping[Place, tuple[int, int]],
    dead: Mapping[Place, int],
) -> PartitionCount:
    log = Log(*size, scanned.partitions[place] if scanned else None)
    events, distinct = held.get(place, (0, 0))
    history = replace(_store(rows[HISTORY], place), events=events, distinct=distinct)
    return PartitionCount(*place, log, _store(rows[FOLD], place), history, dead.get(place, 0))


def _store(rows: list[Any], place: Place) -> Store:
    for row in rows:
        if (row["topic"], row["partition"]) == place:
            return Store(**{name: row[name] for name in Store.__slots__})
    return Store()
