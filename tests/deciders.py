"""Decide workers as processes of their own, which can be told to die between the log and the table."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message

from inference.agent import CHOSEN, Agent
from schemas import DecisionEffective
from streams.app import Role, Run, Shell, create_app
from streams.config import Settings
from streams.deciding import decide_role
from streams.embedded import Servers
from streams.worker import run
from tests.inference.asking import guard
from tests.workers import Workers, rows

# A worker imports for 2.5 s of a core before it joins its group: on a machine with nothing to spare that took 33 s.
START_WITHIN_S = 90.0
#: A guard whose decisions are of no account, and a warden's that a person agrees to first.
AGENTS: Mapping[str, Agent] = {
    "guard": guard,
    "warden": replace(
        guard,
        name="warden",
        trigger=guard.trigger,
        impact=lambda context: "low" if context.get(CHOSEN) == "ignore" else "critical",
    ),
}


@dataclass
class Deciders(Workers):
    """Starts decide workers of one group."""

    role: str = "decide"

    def start(self, *, dies: str = "", after: int = 0) -> subprocess.Popen[bytes]:
        """One more worker; `dies` "published" or "unstored": by its own hand once it has published so many effects."""
        command = [sys.executable, "-m", "tests.deciders", self.group, "--dies", dies, "--after", str(after)]
        return self.spawn(command)

    async def claimed(self) -> None:
        """Wait until a worker of the group has started and claimed its partitions, so that what follows is its work."""

        async def there() -> bool:
            query = "select from positions where group_name = $1 and epoch > 0"
            return bool(await rows(self.servers.postgres, query, self.group))

        await self.until(there, START_WITHIN_S)


def dying(role: Role, dies: str, after: int) -> Role:
    """The role of a worker that ends as `kill -9` does: right after publishing, or when it is about to store."""
    published = 0

    def build(shell: Shell) -> Run:
        started = role.build(shell)
        publisher, database = shell.producer(), shell.database
        publish, write = publisher.publish, database.write

        def die() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def count(fact: Message, **rest: Any) -> bytes:
            nonlocal published
            made = publish(fact, **rest)
            published += isinstance(fact, DecisionEffective)
            if dies == "published" and published >= after:
                die()
            return made

        async def store(work: Any) -> Any:
            if dies == "unstored" and published >= after:
                die()
            return await write(work)

        vars(publisher)["publish"] = count
        vars(database)["write"] = store
        return started

    return replace(role, build=build)


def main() -> None:
    """Run one decide worker until it is told to stop, or dies."""
    parser = argparse.ArgumentParser()
    parser.add_argument("group")
    parser.add_argument("--dies", default="")
    parser.add_argument("--after", type=int, default=0)
    chosen = parser.parse_args()
    settings = Settings()
    servers = Servers(
        kafka=settings.kafka or "", postgres=settings.postgres or "", clickhouse=settings.clickhouse or ""
    )
    role = decide_role(AGENTS)
    if chosen.dies:
        role = dying(role, chosen.dies, chosen.after)
    run(create_app(settings, servers, "decide", role, group=chosen.group), "info")


if __name__ == "__main__":
    main()
