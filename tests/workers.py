"""Workers as processes of their own, to be killed, stopped and watched."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg

from streams.admin import log_sizes
from streams.app import create_app
from streams.config import Settings
from streams.embedded import Servers
from streams.roles import fold_role, history_role
from streams.worker import run
from tests.waiting import WITHIN_S, eventually_async


@dataclass
class Workers:
    """Starts workers of one group; all are ended by `close`."""

    servers: Servers
    home: Path
    topic: str
    group: str
    role: str = "fold"
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        """One more worker."""
        command = [sys.executable, "-m", "tests.workers", self.role, "--topic", self.topic, "--group", self.group]
        return self.spawn(command)

    def start_older(self, unknown: str) -> subprocess.Popen[bytes]:
        """One more worker, of a version that does not know a fact yet."""
        command = [sys.executable, "-m", "tests.older", self.role, "--topic", self.topic, "--group", self.group]
        return self.spawn(command, {"NORN_TEST_UNKNOWN": unknown})

    def spawn(
        self, command: Sequence[str], settings: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[bytes]:
        """Start a command as one of these workers, with the group's servers, and where what they all say is written."""
        environment = {
            **os.environ,
            "NORN_HOME": str(self.home),
            "NORN_KAFKA": self.servers.kafka,
            "NORN_POSTGRES": self.servers.postgres,
            "NORN_CLICKHOUSE": self.servers.clickhouse,
            **settings,
        }
        with (self.home / f"{self.group}.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        self.running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a worker as `kill -9` does."""
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.running.remove(process)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Tell a worker to stop, and wait until it has."""
        process.terminate()
        process.wait(WITHIN_S)
        self.running.remove(process)

    def close(self) -> None:
        """End them all."""
        for process in list(self.running):
            self.kill(process)

    @property
    def log(self) -> str:
        """What the workers have said."""
        return (self.home / f"{self.group}.log").read_text(errors="replace")

    async def until(self, condition: Callable[[], Any], timeout_s: float = WITHIN_S) -> None:
        """Wait until a condition holds; what the workers have said goes with the failure."""
        try:
            await eventually_async(condition, timeout_s)
        except AssertionError as never:
            raise AssertionError(f"{never}; the workers' log ends:\n{self.log[-4000:]}") from None

    async def stored(self, events: int, timeout_s: float = WITHIN_S) -> None:
        """Wait until the group has stored so many events."""

        async def there() -> bool:
            return (await standing(self.servers.postgres, self.group))["events"] >= events

        await self.until(there, timeout_s)

    async def read(self, records: int) -> None:
        """Wait until the group is done with so many records: events, repeats and what is none."""

        async def there() -> bool:
            return (await standing(self.servers.postgres, self.group))["offsets"] >= records

        await self.until(there)


async def begin_here(servers: Servers, group: str) -> None:
    """Let a group begin where the log ends now: what other tests have written is not its work, and may be a lot."""
    ends = [(group, *place, end) for place, (_, end) in log_sizes(servers.kafka).items()]
    connection = await asyncpg.connect(servers.postgres)
    try:
        insert = "insert into positions (group_name, topic, partition, next_offset, epoch) values ($1, $2, $3, $4, 0)"
        await connection.executemany(insert, ends)
    finally:
        await connection.close()


async def standing(postgres: str, group: str) -> dict[str, int]:
    """How far a group is: its offsets, the events it stored, repeats dropped and holes, over all partitions."""
    connection = await asyncpg.connect(postgres)
    try:
        positions = await connection.fetchrow(
            "select coalesce(sum(next_offset), 0) as offsets, coalesce(sum(events), 0) as events "
            "from positions where group_name = $1",
            group,
        )
        dots = await connection.fetch("select last, holes, duplicates from dots where group_name = $1", group)
    finally:
        await connection.close()
    missing = sum(span.upper - span.lower for row in dots for span in row["holes"])
    repeats = sum(row["duplicates"] for row in dots)
    return {
        "offsets": int(positions["offsets"]),
        "events": int(positions["events"]),
        "holes": missing,
        "repeats": repeats,
    }


async def rows(postgres: str, query: str, *arguments: Any) -> list[Any]:
    """Rows of a query."""
    connection = await asyncpg.connect(postgres)
    try:
        found: list[Any] = await connection.fetch(query, *arguments)
        return found
    finally:
        await connection.close()


def main() -> None:
    """Run one worker until it is ended: `python -m tests.workers fold --topic T --group G`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["fold", "history"])
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True)
    chosen = parser.parse_args()
    settings = Settings()
    servers = Servers(
        kafka=settings.kafka or "", postgres=settings.postgres or "", clickhouse=settings.clickhouse or ""
    )
    topics = (chosen.topic,)
    role = fold_role(topics=topics) if chosen.role == "fold" else history_role(topics)
    run(create_app(settings, servers, chosen.role, role, group=chosen.group), "info")


if __name__ == "__main__":
    main()
