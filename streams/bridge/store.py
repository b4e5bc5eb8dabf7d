"""What the bridge keeps in Postgres: which events of each client have come, and the records the broker has yet to take.

Whatever the broker is given stands in the outbox first and leaves it when it is acknowledged. So the same event is the
same bytes however often it is published, and readers drop the repeats by their dots.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from asyncpg import Range

from projections.dots import Origin
from schemas import TemporaryError, event_id
from streams.bridge.admission import Client, Record
from streams.database import CONNECT_TIMEOUT_S, PASSING, POOL_CONNECTIONS_MAX
from streams.reaching import without_password
from streams.statements import statement

# A request that has waited this long for Postgres is answered that it is away.
STATEMENT_TIMEOUT_S = 10.0
# No decision waits for longer than an answer is looked for (inference/court.py), and a game may be away for as long.
CALLS_KEPT_S = 60 * 86_400.0
# Some milliseconds for Postgres, every sweep.
CALLS_FORGOTTEN_MAX = 1_000

_WORLD_VERSION = statement("read_world_version")
_SQL = {
    name: statement(f"bridge_{name}")
    for name in (
        "begin_client",
        "lock_client",
        "save_client",
        "keep_records",
        "unpublished",
        "mark_published",
        "left_behind",
        "find_action",
        "first_completion",
        "complete",
        "pending_actions",
        "decisions",
        "ended",
        "keep_calls",
        "forget_calls",
    )
}


class StoreAway(TemporaryError):
    """Postgres does not answer, or its tables are not made yet."""

    reason = "store_away"


class Store:
    """The bridge's tables, each method inside the caller's transaction where it takes a connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A connection in a transaction. Raises StoreAway."""
        try:
            pool = await self._open()
            async with pool.acquire(timeout=STATEMENT_TIMEOUT_S) as connection, connection.transaction():
                yield connection
        except PASSING as error:
            detail = (str(error) or type(error).__name__).splitlines()[0]
            raise StoreAway(f"Postgres at {without_password(self._url)} does not answer ({detail})") from error
        except asyncpg.UndefinedTableError as error:
            raise StoreAway(f"Postgres has no such table yet ({error}): `norn migrate` makes them") from error

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=1,
                    max_size=POOL_CONNECTIONS_MAX,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=STATEMENT_TIMEOUT_S,
                )
            return self._pool

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def lock_client(self, connection: Any, name: str) -> Client:
        """What is known of a client, for nobody else to change until the transaction ends."""
        row = await connection.fetchrow(_SQL["lock_client"], name)
        if row is None:
            life = event_id(time.time_ns() // 1_000_000, os.urandom(10)).hex()
            await connection.execute(_SQL["begin_client"], name, f"bridge-{name}-{life}")
            row = await connection.fetchrow(_SQL["lock_client"], name)
        holes = tuple((span.lower, span.upper) for span in row["holes"])
        return Client(name, row["origin"], Origin(row["last"], holes), json.loads(row["dots"]), row["stamp"])

    async def save(self, connection: Any, client: Client, records: Sequence[Record]) -> list[int]:
        """Keep what has become of a client, and its new records until they are marked as published by what is given."""
        holes = [Range(*span) for span in client.numbers.holes]
        await connection.execute(
            _SQL["save_client"], client.name, client.numbers.last, holes, json.dumps(client.dots), client.stamp
        )
        if not records:
            return []
        if calls := [(record.calls, record.sequence) for record in records if record.calls]:
            await connection.execute(_SQL["keep_calls"], client.name, *map(list, zip(*calls, strict=True)))
        columns = zip(*((r.sequence, r.topic, r.partition, r.key, r.value) for r in records), strict=True)
        kept = await connection.fetch(_SQL["keep_records"], client.name, *map(list, columns))
        return [row["number"] for row in kept]

    async def world_version(self, connection: Any) -> int:
        """How often the world has changed for everybody."""
        version: int = await connection.fetchval(_WORLD_VERSION)
        return version

    async def unpublished(self, connection: Any, client: str) -> tuple[list[int], list[Record]]:
        """The records of a client that are not known to be on the log, oldest first, and what to mark them by."""
        rows = await connection.fetch(_SQL["unpublished"], client)
        records = [Record(row["sequence"], row["topic"], row["partition"], row["key"], row["value"]) for row in rows]
        return [row["number"] for row in rows], records

    async def mark_published(self, connection: Any, numbers: Sequence[int]) -> None:
        """These are on the log."""
        await connection.execute(_SQL["mark_published"], numbers)

    async def left_behind(self, connection: Any, older_than_s: float) -> list[str]:
        """Clients with records that nobody seems to be publishing."""
        return [row["client"] for row in await connection.fetch(_SQL["left_behind"], older_than_s)]

    async def find_action(self, connection: Any, decision_id: str) -> Any:
        """The subject, agent and completion of a decision in effect, or None."""
        return await connection.fetchrow(_SQL["find_action"], decision_id)

    async def first_completion(self, connection: Any, decision_id: str) -> Any:
        """What the bridge was told first of a decision, or None."""
        return await connection.fetchrow(_SQL["first_completion"], decision_id)

    async def complete(self, connection: Any, decision_id: str, outcome: str, detail: str, server: str) -> bool:
        """Whether this is the first completion; then it is kept."""
        return await connection.fetchval(_SQL["complete"], decision_id, outcome, detail, server) is not None

    async def decisions(self, connection: Any, decision_ids: Sequence[str]) -> list[Any]:
        """How far these decisions have come, as far as they are known."""
        rows: list[Any] = await connection.fetch(_SQL["decisions"], decision_ids)
        return rows

    async def pending_actions(
        self, connection: Any, after: tuple[int, str], subjects: list[str] | None, limit: int
    ) -> list[Any]:
        """Decisions in effect that are not completed, oldest first."""
        rows: list[Any] = await connection.fetch(_SQL["pending_actions"], *after, subjects, limit)
        return rows

    async def ended(self, connection: Any, after: tuple[int, str], subjects: list[str] | None, limit: int) -> list[Any]:
        """Decisions that ended without an effect and that nobody has taken note of, oldest first."""
        rows: list[Any] = await connection.fetch(_SQL["ended"], *after, subjects, limit)
        return rows

    async def forget_calls(self, connection: Any) -> None:
        """Drop some of what called for decisions that have ended long ago."""
        await connection.execute(_SQL["forget_calls"], CALLS_KEPT_S, CALLS_FORGOTTEN_MAX)
