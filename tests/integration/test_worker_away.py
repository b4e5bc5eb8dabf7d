"""A worker while a server is away: a line when it goes and one when it is back, and SIGTERM ends it all the same.

The broker is this file's own, because it is taken away from under everybody who uses it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit, urlunsplit

import pytest

from streams.embedded import Servers
from streams.preparing import make_topics, migrate_clickhouse, migrate_postgres
from streams.roster import members
from streams.worker import GRACE_S, HAND_OVER_S
from tests.integration.test_sdk_outage import Broker
from tests.proxy import proxy
from tests.waiting import eventually

ROLES = ("fold", "history", "infer")
#: Beyond its grace a worker needs what the machine takes to schedule it.
ENDED_WITHIN_S = GRACE_S + HAND_OVER_S + 20
#: What a worker of some role may say of an absence, its return and its own end beside the lines about Kafka.
OTHER_LINES_MAX = 5


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    make_topics(broker.address)
    yield broker
    broker.stop()


class Started:
    """Workers of some roles, each with a log of its own."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self._home = home
        self._environment = environment
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str) -> None:
        command = [sys.executable, "-m", "streams.cli", "worker", role, "--web-port", "0"]
        with (self._home / f"{role}.log").open("wb") as log:
            self.processes[role] = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def log(self, role: str) -> str:
        return (self._home / f"{role}.log").read_text()

    def answers(self, path: str) -> bool:
        """Whether all of them answer well to a question of their web views."""
        found = members(self._home)
        return len(found) == len(self.processes) and all(_is_ok(f"{member.url}{path}") for member in found)

    def all_logs(self) -> str:
        return "\n".join(self.log(role) for role in self.processes)


def _is_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, TimeoutError):
        return False


@contextmanager
def started(home: Path, servers: Servers, roles: tuple[str, ...] = ROLES) -> Iterator[Started]:
    """Workers that have their share of the log; none is left behind."""
    environment = {
        **os.environ,
        "NORN_HOME": str(home),
        "NORN_KAFKA": servers.kafka,
        "NORN_POSTGRES": servers.postgres,
        "NORN_CLICKHOUSE": servers.clickhouse,
        # No model: its start takes longer than all the rest.
        **{f"NORN_{tier}": "rules" for tier in ("GOLD", "SILVER", "BRONZE")},
    }
    workers = Started(home, environment)
    try:
        for role in roles:
            workers.start(role)
        eventually(lambda: workers.answers("readyz"), timeout_s=90, message=workers.all_logs())
        yield workers
    finally:
        for process in workers.processes.values():
            process.kill()
            process.wait()


def ends_in_time(workers: Started) -> None:
    """SIGTERM ends every worker, with status 0."""
    for process in workers.processes.values():
        process.send_signal(signal.SIGTERM)
    for role, process in workers.processes.items():
        assert process.wait(ENDED_WITHIN_S) == 0, workers.log(role)
        assert "Exception in thread" not in workers.log(role)


async def test_kafka_gone_and_back_is_two_lines_and_work_goes_on(
    broker: Broker, servers: Servers, postgres: str, clickhouse: str, tmp_path: Path
) -> None:
    await migrate_postgres(postgres)
    migrate_clickhouse(clickhouse)
    with started(tmp_path, Servers(broker.address, postgres, clickhouse)) as workers:
        before = {role: len(workers.log(role).splitlines()) for role in ROLES}
        broker.stop()
        eventually(lambda: all("Kafka is away" in workers.log(role) for role in ROLES), message=workers.all_logs())
        broker.start()
        eventually(lambda: all("Kafka is back" in workers.log(role) for role in ROLES), message=workers.all_logs())
        eventually(lambda: workers.answers("readyz"), message=workers.all_logs())
        for role in ROLES:
            said = workers.log(role).splitlines()[before[role] :]
            assert len([line for line in said if "Kafka is away" in line]) == 1, said
            assert len([line for line in said if "Kafka is back" in line]) == 1, said
            assert len(said) <= 2 + OTHER_LINES_MAX, said
        ends_in_time(workers)


async def test_sigterm_ends_workers_whose_broker_answers_nothing(
    broker: Broker, servers: Servers, postgres: str, clickhouse: str, tmp_path: Path
) -> None:
    await migrate_postgres(postgres)
    migrate_clickhouse(clickhouse)
    with started(tmp_path, Servers(broker.address, postgres, clickhouse)) as workers, broker.frozen():
        ends_in_time(workers)


async def test_sigterm_ends_workers_whose_broker_is_gone(
    broker: Broker, servers: Servers, postgres: str, clickhouse: str, tmp_path: Path
) -> None:
    await migrate_postgres(postgres)
    migrate_clickhouse(clickhouse)
    with started(tmp_path, Servers(broker.address, postgres, clickhouse)) as workers:
        broker.stop()
        try:
            ends_in_time(workers)
        finally:
            broker.start()


@pytest.mark.parametrize("store", ["postgres", "clickhouse"])
async def test_sigterm_ends_workers_whose_store_is_away(
    broker: Broker, servers: Servers, postgres: str, clickhouse: str, tmp_path: Path, store: str
) -> None:
    await migrate_postgres(postgres)
    migrate_clickhouse(clickhouse)
    urls = {"postgres": postgres, "clickhouse": clickhouse}
    address = urlsplit(urls[store])
    with proxy(address.hostname or "", address.port or 0) as way:
        credentials, found, _ = address.netloc.rpartition("@")
        urls[store] = urlunsplit(address._replace(netloc=f"{credentials}{found}127.0.0.1:{way.port}"))
        with started(tmp_path, Servers(broker.address, **urls)) as workers:
            way.cut()
            ends_in_time(workers)
