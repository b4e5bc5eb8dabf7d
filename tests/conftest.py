"""The servers that tests talk to: one set for the whole run, and in it a fresh corner for each test."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import clickhouse_connect
import hypothesis
import pytest

from streams.embedded import Servers, start
from tests.servers import containers
from tests.servers.choice import choose

# A machine under load is slow without any test being wrong; in CI the same code must meet the same examples.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Kafka, PostgreSQL and ClickHouse: by URL, in containers, or embedded.

    NORN_TEST_HOME keeps the embedded servers' folder from run to run; without it there is a new one each time.
    """
    choice = choose(os.environ, docker_answers=containers.docker_answers())
    with ExitStack() as stack:
        given = dict(choice.given)
        if choice.source == "containers":
            given |= stack.enter_context(containers.started(choice.missing))
        yield stack.enter_context(start(stack.enter_context(_home()), **given))


@pytest.fixture
def fresh_name() -> Callable[[str], str]:
    """Makes names that nobody else has: of topics, consumer groups, tables."""
    return lambda prefix="test": f"{prefix}_{secrets.token_hex(6)}"


@pytest.fixture
def kafka(servers: Servers) -> str:
    """Kafka's bootstrap servers. Topics are the test's own to make, with a fresh name."""
    return servers.kafka


@pytest.fixture
def postgres(servers: Servers, fresh_name: Callable[[str], str]) -> Iterator[str]:
    """The URL of a new database, empty but for the vector extension, in C collation; it is gone after the test."""
    name = fresh_name("test")
    url = urlunsplit(urlsplit(servers.postgres)._replace(path=f"/{name}"))
    _await(_execute(servers.postgres, f"create database {name} template template0 encoding 'UTF8' locale 'C'"))
    _await(_execute(url, "create extension vector"))
    yield url
    _await(_execute(servers.postgres, f"drop database {name} with (force)"))


@pytest.fixture
def clickhouse_database(servers: Servers, fresh_name: Callable[[str], str]) -> Iterator[str]:
    """The name of a new, empty ClickHouse database; it is gone after the test."""
    name = fresh_name("test")
    client: Any = clickhouse_connect.get_client(dsn=servers.clickhouse, autogenerate_session_id=False)
    client.command(f"CREATE DATABASE {name}")
    yield name
    client.command(f"DROP DATABASE {name}")
    client.close()


@pytest.fixture
def clickhouse(servers: Servers, clickhouse_database: str) -> str:
    """The URL of a new, empty ClickHouse database."""
    return urlunsplit(urlsplit(servers.clickhouse)._replace(path=f"/{clickhouse_database}"))


@contextmanager
def _home() -> Iterator[Path]:
    """The folder of the embedded servers; not pytest's own, which it closes to the account that PostgreSQL needs."""
    kept = os.environ.get("NORN_TEST_HOME")
    if kept:
        # Of several processes that share a run's tests each has a set of its own, or the first to end would stop them.
        yield Path(kept) / os.environ.get("PYTEST_XDIST_WORKER", "")
        return
    home = Path(tempfile.mkdtemp(prefix="norn-tests-"))
    yield home
    shutil.rmtree(home, ignore_errors=True)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _await(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread, since the test may have a loop of its own in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()
