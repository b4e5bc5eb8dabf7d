"""The ground a benchmark stands on: fresh servers of its own, and workers as processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import psutil

from projections.clickhouse import migrate as migrate_clickhouse
from projections.postgres import migrate as migrate_postgres
from schemas import TOPICS
from streams.addresses import Servers
from streams.admin import create_topics, log_sizes
from streams.clickhouse import connect
from streams.embedded import start

T = TypeVar("T")

# Three runs tell a median from a fluke; the figure quoted is the median.
RUNS = 3
# A run takes well under a minute; one that takes two has hung.
RUN_TIMEOUT_S = 120.0
POLL_S = 0.02

ROOT = Path(__file__).parent.parent
#: `make peers` installs the peers here, whose versions of what we use as well need not be ours.
PEERS_PYTHON = ROOT / ".venv-peers/bin/python"


@dataclass(frozen=True)
class Ground:
    """A folder, servers, and a way to say what is going on."""

    home: Path
    say: Callable[[str], None]
    ending: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def servers(self) -> Servers:
        """Kafka, Postgres and ClickHouse, started when they are first asked for, since not every benchmark needs them.

        The topics are made and the stores migrated.
        """
        self.say("starting Kafka, Postgres and ClickHouse")
        servers = self.ending.enter_context(start(self.home))
        create_topics(servers.kafka)
        asyncio.run(_migrate(servers))
        return servers

    def sql(self, query: str, *arguments: Any) -> list[Any]:
        """Rows of a query on Postgres."""

        async def work() -> list[Any]:
            connection = await asyncpg.connect(self.servers.postgres)
            try:
                rows: list[Any] = await connection.fetch(query, *arguments)
                return rows
            finally:
                await connection.close()

        return asyncio.run(work())

    @contextmanager
    def worker(self, role: str, group: str, *arguments: str) -> Iterator[psutil.Process]:
        """A worker process of one role and consumer group, ended on leaving."""
        command = [sys.executable, "-m", "benchmarks.worker", role, "--group", group, *arguments]
        environment = {
            **os.environ,
            "NORN_HOME": str(self.home),
            "NORN_KAFKA": self.servers.kafka,
            "NORN_POSTGRES": self.servers.postgres,
            "NORN_CLICKHOUSE": self.servers.clickhouse,
        }
        with (self.home / f"{group}.log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
            try:
                yield psutil.Process(process.pid)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()

    def watch(self, group: str, events: int, since: int = 0) -> list[tuple[float, int]]:
        """When (seconds) how many events stood stored, from the first transaction after `since` until `events` are.

        Raises TimeoutError with the end of the worker's log when it does not get there.
        """
        return asyncio.run(self._watch(group, events, since))

    async def _watch(self, group: str, events: int, since: int) -> list[tuple[float, int]]:
        connection = await asyncpg.connect(self.servers.postgres)
        seen: list[tuple[float, int]] = []
        deadline = time.monotonic() + RUN_TIMEOUT_S
        try:
            while time.monotonic() < deadline:
                query = "select coalesce(sum(events), 0) from positions where group_name = $1"
                stored = int(await connection.fetchval(query, group))
                if stored > (seen[-1][1] if seen else since):
                    seen.append((time.monotonic(), stored))
                if stored >= events:
                    return seen
                await asyncio.sleep(POLL_S)
        finally:
            await connection.close()
        raise TimeoutError(
            f"{group} stored {seen[-1][1] if seen else since} of {events} events; {self._last_words(group)}"
        )

    def stand_at_end(self, group: str, topic: str) -> None:
        """Put a group that has read nothing yet behind all that a topic holds now."""
        for partition, end in self._ends(topic).items():
            self.sql(
                "insert into positions (group_name, topic, partition, next_offset, epoch) values ($1, $2, $3, $4, 1)",
                *(group, topic, partition, end),
            )

    def catch_up(self, group: str, topic: str) -> None:
        """Wait until a group stands at the end that the topic has now.

        Raises TimeoutError with the end of the worker's log when it does not get there.
        """
        ends = self._ends(topic)
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while left := behind(ends, self._standing(group, topic)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{group} is {left} records behind; {self._last_words(group)}")
            time.sleep(POLL_S)

    def _ends(self, topic: str) -> Mapping[int, int]:
        sizes = log_sizes(self.servers.kafka, [TOPICS[topic]])
        return {partition: end for (_, partition), (_, end) in sizes.items()}

    def _standing(self, group: str, topic: str) -> Mapping[int, int]:
        rows = self.sql(
            "select partition, next_offset from positions where group_name = $1 and topic = $2", group, topic
        )
        return {row["partition"]: row["next_offset"] for row in rows}

    def _last_words(self, group: str) -> str:
        return f"its log ends:\n{(self.home / f'{group}.log').read_text()[-2000:]}"


def behind(ends: Mapping[int, int], standing: Mapping[int, int]) -> int:
    """How many offsets are still to be passed; a partition of which nothing is stored counts whole."""
    return sum(max(0, end - standing.get(partition, 0)) for partition, end in ends.items())


def rate(seen: list[tuple[float, int]]) -> float:
    """Events a second from the first transaction to the last: what came before the first is start-up, not folding."""
    (began, first), (ended, last) = seen[0], seen[-1]
    return (last - first) / (ended - began) if ended > began else 0.0


@contextmanager
def ground(say: Callable[[str], None]) -> Iterator[Ground]:
    """A folder of its own, and in it fresh servers for as long as a benchmark that needs them takes."""
    with tempfile.TemporaryDirectory(prefix="norn-bench-") as folder, ExitStack() as ending:
        yield Ground(Path(folder), say, ending)


async def _migrate(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.postgres)
    try:
        await migrate_postgres(connection)
    finally:
        await connection.close()
    await asyncio.to_thread(migrate_clickhouse, connect(servers.clickhouse))


def run_peer(script: str, ground: Ground, topic: str, events: int, timeout_s: float) -> dict[str, Any] | None:
    """What a peer's script printed; None when the peer is installed neither here nor in PEERS_PYTHON's environment."""
    ground.say(f"peer: {script}")
    own = script != "stock_faust" and PEERS_PYTHON.exists()
    command = [
        str(PEERS_PYTHON) if own else sys.executable,
        "-m",
        f"benchmarks.peers.{script}",
        ground.servers.kafka,
        topic,
        str(events),
        str(timeout_s),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s + 60, cwd=ground.home, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"printed nothing within {timeout_s + 60:g} s"}
    for line in reversed(ran.stdout.splitlines()):
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            return found
    if "No module named" in ran.stderr:
        return None
    return {"failed": ran.stderr.strip()[-300:]}
