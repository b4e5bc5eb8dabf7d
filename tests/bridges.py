"""Bridges for tests: in this process or in one of their own, that dies at a moment of the test's choosing."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp.test_utils import TestServer

from projections import PROJECTIONS
from projections.fold import Fold
from projections.postgres import Writer, migrate
from schemas import Event
from streams.admin import create_topics
from streams.bridge.publisher import Publisher
from streams.bridge.server import create_app, serve
from streams.bridge.store import Store
from streams.config import Settings
from streams.embedded import Servers
from tests.sdk import read
from tests.waiting import WITHIN_S

#: No limit is met by a test that does not ask for one.
UNLIMITED = {"bridge_player_actions_per_second": 0, "bridge_requests_per_minute": 0}


async def execute(url: str, *statements: str) -> None:
    """Run some statements."""
    connection: Any = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def prepared(kafka: str, postgres: str) -> Servers:
    """Servers with the topics and the tables."""
    create_topics(kafka)
    connection: Any = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    return Servers(kafka=kafka, postgres=postgres, clickhouse="")


@asynccontextmanager
async def bridge(
    servers: Servers, *, port: int = 0, publish_timeout_s: float = 8.0, **settings: Any
) -> AsyncIterator[TestServer]:
    """A bridge on a port of this machine, or a free one."""
    app = create_app(Settings(**{**UNLIMITED, **settings}), servers, publish_timeout_s=publish_timeout_s)
    async with TestServer(app, port=port) as server:
        yield server


async def fold(postgres: str, events: Sequence[Event]) -> None:
    """What the fold worker would do with these events."""
    connection: Any = await asyncpg.connect(postgres)
    writer = Writer(PROJECTIONS)
    await writer.prepare(connection)
    async with connection.transaction():
        await writer.merge(connection, Fold(PROJECTIONS).events(list(events)))
    await connection.close()


async def logged(servers: Servers, client: str) -> list[Event]:
    """Every event of a client that is on the log, repeats included."""
    connection: Any = await asyncpg.connect(servers.postgres)
    origin = await connection.fetchval("select origin from bridge_clients where client = $1", client)
    await connection.close()
    if origin is None:
        return []
    return [event for events in read(servers.kafka, [origin]).values() for event in events]


def dots(events: Sequence[Event]) -> Counter[tuple[str, int, int]]:
    """How often each dot occurs; the place is told by the fact's topic and the subject's partition."""
    from schemas import TOPICS, fact_of, topic_of
    from schemas.partitions import partition_of

    def dot(event: Event) -> tuple[str, int, int]:
        topic = topic_of(fact_of(event))
        return topic, partition_of(event.subject, TOPICS[topic].partitions), event.sequence

    return Counter(map(dot, events))


class Process:
    """A bridge of its own process on a port, which may be told where to die."""

    def __init__(self, servers: Servers, folder: Path, port: int, die: str = "") -> None:
        command = [sys.executable, "-m", "tests.bridges", "--port", str(port), "--die", die]
        environment = {
            **os.environ,
            "NORN_KAFKA": servers.kafka,
            "NORN_POSTGRES": servers.postgres,
            "NORN_BRIDGE_PLAYER_ACTIONS_PER_SECOND": "0",
            "NORN_BRIDGE_REQUESTS_PER_MINUTE": "0",
        }
        with (folder / "bridge.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Tell it to stop; gives its exit status."""
        self.process.terminate()
        return self.process.wait(WITHIN_S)


def main() -> None:
    """`python -m tests.bridges --port N --die published`: serve until killed, by itself where it is told to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--die", choices=["", "taken", "published"], default="")
    chosen = parser.parse_args()

    async def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if chosen.die == "taken":
        Publisher.publish = die  # type: ignore[method-assign]
    elif chosen.die == "published":
        Store.mark_published = die  # type: ignore[method-assign]
    settings = Settings()
    servers = Servers(kafka=settings.kafka or "", postgres=settings.postgres or "", clickhouse="")
    asyncio.run(serve(create_app(settings, servers), "127.0.0.1", chosen.port))


if __name__ == "__main__":
    main()
