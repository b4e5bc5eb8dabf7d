"""The outbox: tells the log of the dead letters that Postgres holds, at least once each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from streams import dead_letters
from streams.database import Database
from streams.dead_letters import Publisher

# Dead letters are rare and read by people: a second is soon enough.
ROUND_S = 1.0
FLUSH_TIMEOUT_S = 10.0


class Outbox:
    """Publishes stored dead letters and marks them published once the broker has acknowledged them."""

    def __init__(self, database: Database, publisher: Publisher, sleep: Callable[[float], Awaitable[Any]]) -> None:
        self._database = database
        self._publisher = publisher
        self._sleep = sleep

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            if await self.publish() == 0:
                await self._sleep(ROUND_S)

    async def publish(self) -> int:
        """One round; gives how many dead letters the log was told of."""
        rows = await self._database.read(dead_letters.unpublished)
        for row in rows:
            self._publisher.publish(dead_letters.fact(row), subject=row["topic"])
        if not rows:
            return 0
        unacknowledged: int = await asyncio.to_thread(self._publisher.flush, FLUSH_TIMEOUT_S)
        if unacknowledged:
            return 0
        await self._database.read(lambda connection: dead_letters.mark_published(connection, rows))
        return len(rows)
