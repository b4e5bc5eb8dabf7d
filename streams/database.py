"""Postgres from the shell: connections that come back, and waiting that says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

log = logging.getLogger(__name__)
T = TypeVar("T")

# Long enough not to hammer a server that is starting, short enough that nobody notices once it has.
RETRY_DELAY_MAX_S = 1.0
RETRY_DELAY_FIRST_S = 0.05

# A statement of ours takes milliseconds; one that takes a minute stands behind a lock or a dead connection.
STATEMENT_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0

# Claims, dead letters and the web view: a handful of short statements, beside the one connection that writes.
# Twenty, and ten more when it is busy (C.11); those that nobody uses are closed again.
POOL_CONNECTIONS_MAX = 20 + 10
POOL_IDLE_S = 60.0
# Whoever has waited so long for one of them waits for Postgres.
POOL_TIMEOUT_S = 30.0

#: Failures that pass: the server is away, starting, full of connections, or chose us to break a deadlock.
PASSING: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,
)


class Waiting:
    """What a worker waits for, if anything, for its health page."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def begin(self, server: str, why: str) -> None:
        """Note that `server` is away; logs the first time."""
        if server not in self.reasons:
            log.warning("%s is away (%s): waiting for it; nothing is lost, work goes on when it is back", server, why)
        self.reasons[server] = why

    def end(self, server: str) -> None:
        """Note that `server` is back."""
        if self.reasons.pop(server, None) is not None:
            log.warning("%s is back", server)


async def persist(
    server: str,
    attempt: Callable[[], Awaitable[T]],
    waiting: Waiting,
    passing: tuple[type[BaseException], ...] = PASSING,
) -> T:
    """Run `attempt` until it does not fail in passing; other errors are raised at once."""

    def note(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        waiting.begin(server, f"{type(error).__name__}: {error}")

    async def once() -> T:
        return await attempt()

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(passing),
        wait=wait_exponential_jitter(multiplier=RETRY_DELAY_FIRST_S, max=RETRY_DELAY_MAX_S, jitter=RETRY_DELAY_FIRST_S),
        before_sleep=note,
        reraise=True,
    )
    result: T = await retrying(once)
    waiting.end(server)
    return result


class Database:
    """A pool for short reads and claims, and one connection that writes, prepared anew whenever it is replaced."""

    def __init__(self, url: str, waiting: Waiting, prepare: Callable[[Any], Awaitable[None]] | None = None) -> None:
        self._url = url
        self._waiting = waiting
        self._prepare = prepare
        self._pool: asyncpg.Pool | None = None
        self._writing = asyncio.Lock()
        # Two that read first at once must not make two pools.
        self._opening = asyncio.Lock()
        self._writer: asyncpg.Connection | None = None

    async def read(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run `work` with a pooled connection, again when the server was away: it must be fit to run twice."""

        async def attempt() -> T:
            pool = await self._reading()
            async with pool.acquire(timeout=POOL_TIMEOUT_S) as connection:
                return await work(connection)

        return await persist("Postgres", attempt, self._waiting)

    async def write(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run `work` in a transaction, again when the server was away.

        A commit whose answer was lost may have happened: `work` must find that out for itself.
        """

        async def attempt() -> T:
            async with self._writing:
                connection = await self._connected()
                try:
                    async with connection.transaction():
                        return await work(connection)
                except PASSING:
                    # Its state is unknown; a fresh one is cheap.
                    await self._drop_writer()
                    raise

        return await persist("Postgres", attempt, self._waiting)

    async def close(self) -> None:
        """Close every connection."""
        await self._drop_writer()
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _reading(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=POOL_CONNECTIONS_MAX,
                    max_inactive_connection_lifetime=POOL_IDLE_S,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=STATEMENT_TIMEOUT_S,
                )
            return self._pool

    async def _connected(self) -> Any:
        if self._writer is None or self._writer.is_closed():
            self._writer = await asyncpg.connect(
                self._url, timeout=CONNECT_TIMEOUT_S, command_timeout=STATEMENT_TIMEOUT_S
            )
            if self._prepare is not None:
                await self._prepare(self._writer)
        return self._writer

    async def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.terminate()
            self._writer = None
            # Lets the terminated transport close before the next one opens.
            await asyncio.sleep(0)
