"""Preparing servers for work: the topics of the log, and the tables of both stores. Doing it again changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from projections import PROJECTIONS
from projections import clickhouse as history
from projections import postgres as truth
from projections.projection import tables
from streams import clickhouse
from streams.addresses import Servers
from streams.admin import create_topics
from streams.groups import FOLD
from streams.reaching import postgres_at, reaching
from streams.statements import statement

#: Copies of every partition where the cluster has as many brokers: one may be lost while another is being mended.
REPLICATION = 3
BROKERS_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was not there before."""

    topics: tuple[str, ...]
    postgres: tuple[str, ...]
    clickhouse: tuple[str, ...]


def make_topics(bootstrap: str) -> tuple[str, ...]:
    """Make the topics that are missing; gives their names. Raises TopicsDiffer, BrokerAway and ServerAway."""
    with reaching("Kafka", bootstrap):
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        brokers = len(admin.list_topics(timeout=BROKERS_TIMEOUT_S).brokers)
        return tuple(create_topics(bootstrap, replication=REPLICATION if brokers >= REPLICATION else 1))


async def migrate_postgres(url: str) -> tuple[str, ...]:
    """Bring Postgres' tables up to date; gives the names of what was applied. Raises ServerAway."""
    async with postgres_at(url) as connection:
        return tuple(await truth.migrate(connection))


async def without_past(url: str, applied: Sequence[str]) -> list[str]:
    """Those of the tables and columns just made in Postgres that begin with the next event, though there were others.

    Raises ServerAway.
    """
    made = {f"{table.by_region}" for table in tables(PROJECTIONS)}
    begin = [name for name in applied if name.partition(".")[0] in made]
    async with postgres_at(url) as connection:
        folded = await connection.fetchval(statement("count_folded"), FOLD)
    return begin if folded else []


def migrate_clickhouse(url: str) -> tuple[str, ...]:
    """Bring ClickHouse's tables up to date; gives the names of what was applied. Raises ServerAway."""
    with reaching("ClickHouse", url):
        return tuple(history.migrate(clickhouse.connect(url)))


async def prepare(servers: Servers) -> Prepared:
    """Make topics and tables, on all three servers at once."""
    return Prepared(
        *await asyncio.gather(
            asyncio.to_thread(make_topics, servers.kafka),
            migrate_postgres(servers.postgres),
            asyncio.to_thread(migrate_clickhouse, servers.clickhouse),
        )
    )
