"""Servers that do not answer: one clear error in the place of each driver's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
from clickhouse_connect.driver.exceptions import OperationalError
from confluent_kafka import KafkaException
from urllib3.exceptions import HTTPError

from schemas import TemporaryError
from streams.database import CONNECT_TIMEOUT_S, PASSING

_AWAY: tuple[type[BaseException], ...] = (KafkaException, OperationalError, HTTPError, *PASSING)


class ServerAway(TemporaryError):
    """A server that does not answer."""

    reason = "server_away"


@contextmanager
def reaching(server: str, url: str) -> Iterator[None]:
    """Raise ServerAway, which says what to look at, in the place of a driver's error about a server that is away.

    `server` is Kafka, Postgres or ClickHouse.
    """
    try:
        yield
    except _AWAY as error:
        detail = (str(error) or type(error).__name__).splitlines()[0]
        raise ServerAway(
            f"{server} at {without_password(url)} does not answer ({detail}): is it running, and is"
            f" NORN_{server.upper()} right? `norn doctor` looks at all of them."
        ) from error


@asynccontextmanager
async def postgres_at(url: str) -> AsyncIterator[Any]:
    """A connection to Postgres, closed afterwards. Raises ServerAway, also when the server goes away meanwhile."""
    with reaching("Postgres", url):
        connection: Any = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
        try:
            yield connection
        finally:
            await connection.close()


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    scheme, found, rest = url.rpartition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}"
