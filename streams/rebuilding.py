"""Rebuilding a store: emptied, so that its workers fill it again from the beginning of the log."""

from __future__ import annotations

import asyncio
from typing import Any

from projections import PROJECTIONS, VIEWS
from projections import clickhouse as history
from projections import postgres as truth
from projections.events_tables import EVENTS, EVENTS_TABLES
from projections.fields import quoted
from projections.projection import tables
from streams import clickhouse
from streams.addresses import Servers
from streams.groups import FOLD, HISTORY
from streams.reaching import postgres_at, reaching
from streams.statements import statement

#: The stores, the role whose workers fill each, and their group.
STORES = {"postgres": ("fold", FOLD), "clickhouse": ("history", HISTORY)}
#: Where a group stands, what it has had of each producer, and what it was about to insert.
_STANDING = ("forget_positions", "drop_dots", "forget_ranges")


async def rebuild_postgres(url: str) -> None:
    """Empty the projections, and have the fold stand at the beginning of the log, all in one transaction.

    What is no projection stays: judgements, policies' states, what the bridge keeps. Raises ServerAway.
    """
    async with postgres_at(url) as connection, connection.transaction():
        for table in tables(PROJECTIONS):
            # Made anew, and not emptied alone: its declaration may have changed. Views go with it, and come back.
            await connection.execute(f"drop table if exists {quoted(table.by_region)} cascade")
        await _forget(connection, "postgres")
        await truth.migrate(connection)


async def rebuild_clickhouse(servers: Servers) -> None:
    """Drop all of Norn's tables in ClickHouse, make them anew, and have history stand at the beginning of the log.

    Where it stands is forgotten last: a rebuild that was cut short is done again, and until then history writes none of
    what it has written twice. Raises ServerAway.
    """
    await asyncio.to_thread(_drop_all, servers.clickhouse)
    async with postgres_at(servers.postgres) as connection, connection.transaction():
        await _forget(connection, "clickhouse")


def _drop_all(url: str) -> None:
    with reaching("ClickHouse", url):
        client = clickhouse.connect(url)
        for name in _dropped_in_order():
            # An emptied table would remember which inserts it has had, and drop them when they come again.
            client.command(f"drop table if exists {quoted(name)} sync")
        history.migrate(client)


def _dropped_in_order() -> list[str]:
    """What is made of others before what it is made of."""
    held = tables(PROJECTIONS)
    return [
        *(name for table in held for name in history.fold_views(table)),
        *(view.name for view in reversed(VIEWS)),
        *(table.name for table in held),
        *(history.state_name(table) for table in held),
        EVENTS,
        *(table.name for table in EVENTS_TABLES),
    ]


async def _forget(connection: Any, store: str) -> None:
    role, group = STORES[store]
    for name in _STANDING:
        await connection.execute(statement(name), group)
    # Else a record that can be used by now would count as event and as dead letter.
    await connection.execute(statement("forget_dead_letters"), role)
    await connection.execute(statement("strike_role"), role)
