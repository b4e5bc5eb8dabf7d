"""The crew: a worker of each role as a child process, kept alive, and asked how it is."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import aiohttp
import psutil

from streams.addresses import Servers
from streams.children import Child, ChildFailed, Command
from streams.config import Settings
from streams.listening import web_socket
from streams.live import WorkerLine
from streams.reconcile import Account
from streams.roster import members

ROLES = ("fold", "history", "decide", "infer", "policy")
#: Whose web view a person is shown, and who measures latency.
FOREMOST = "fold"

#: Told by this signal that what came before was warm-up, a worker measures its latencies from here. Ignored by default,
#: so that one which comes too early does no harm, and used by nothing that a worker is made of.
MEASURE_ANEW = signal.SIGURG

#: A cold start of five workers on two busy cores takes 20 s, and a model is read from the disk beside them.
READY_WITHIN_S = 120.0
#: A worker answers in milliseconds, and while it computes, within a second.
STATUS_TIMEOUT_S = 3.0
LOOK_EVERY_S = 0.2


class Crew:
    """Workers of every role. Its methods raise ChildFailed once one of them keeps dying."""

    def __init__(
        self,
        settings: Settings,
        servers: Servers,
        roles: Sequence[str] = ROLES,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if "web_port" in settings.model_fields_set:
            # The worker would say the same, but only in its log.
            web_socket(settings).close()
        addresses = {
            "NORN_HOME": str(settings.home),
            "NORN_KAFKA": servers.kafka,
            "NORN_POSTGRES": servers.postgres,
            "NORN_CLICKHOUSE": servers.clickhouse,
            **(environment or {}),
        }
        self._children = {
            role: Child(
                Command(role, worker_arguments(role), settings.home / "logs" / f"{role}.log", environment=addresses)
            )
            for role in roles
        }
        self._home = settings.home
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._statuses: dict[str, dict[str, Any]] = {}
        #: What each life of each worker last said of its producer: (role, when it started) to (origin, sent).
        self._lives: dict[tuple[str, str], tuple[str, int]] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where the web view is; empty while its worker is not up."""
        return self._urls().get(FOREMOST, "")

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        return sum(child.restarts for child in self._children.values())

    def start(self, *, without: Collection[str] = ()) -> None:
        """Start all workers side by side, but for those roles, which `start_role` starts later."""
        # Its own servers of this machine are never asked for through a proxy meant for the world outside.
        timeout = aiohttp.ClientTimeout(total=STATUS_TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        for role in self._children:
            if role not in without:
                self.start_role(role)

    def start_role(self, role: str) -> None:
        """Start one role's worker, and keep it alive."""
        self._keeping[role] = asyncio.create_task(self._children[role].keep())

    async def ready(self) -> None:
        """Wait until every worker has taken its share of the log."""
        lacking = list(self._keeping)
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while True:
                    statuses = await self.look()
                    lacking = [role for role in self._keeping if not _is_ready(statuses[role])]
                    if not lacking:
                        return
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            child = self._children[lacking[0]]
            raise child.failure(f"was not ready after {READY_WITHIN_S:.0f} s") from None

    async def look(self) -> Mapping[str, Mapping[str, Any]]:
        """Each worker's status now; an empty one for a worker that does not answer."""
        for task in self._keeping.values():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        urls = self._urls()
        found = await asyncio.gather(*(self._ask(urls.get(role)) for role in self._children))
        self._statuses = dict(zip(self._children, found, strict=True))
        for role, said in self._statuses.items():
            if said:
                self._lives[role, said["started_at"]] = (said.get("origin", ""), said["sent"])
        return self._statuses

    def lines(self) -> list[WorkerLine]:
        """Each worker in a line, as it was when last looked at."""
        return [
            WorkerLine(role, said.get("health", "starting"), "; ".join(said.get("why", ())), child.restarts)
            for role, child in self._children.items()
            for said in [self._statuses.get(role, {})]
        ]

    def accounts(self) -> list[Account]:
        """What the producers of all workers say they have sent, those that died included."""
        alive = {(role, said["started_at"]) for role, said in self._statuses.items() if said}
        return [Account(origin, sent, life in alive) for life, (origin, sent) in self._lives.items()]

    def signal(self, role: str, number: signal.Signals) -> None:
        """Send one worker a signal."""
        self._children[role].signal(number)

    def processes(self) -> list[psutil.Process]:
        """The workers' processes."""
        return [process for child in self._children.values() for process in child.processes()]

    def pids(self, role: str) -> set[int]:
        """The process of one role's worker; empty while it is not running."""
        return {process.pid for process in self._children[role].processes()}

    def failure(self, role: str, what: str) -> ChildFailed:
        """An error that says what is wrong with a role's worker, with the last lines of its log."""
        return self._children[role].failure(what)

    async def stop(self) -> None:
        """Stop all workers side by side."""
        await asyncio.gather(*(child.stop() for child in self._children.values()))
        for task in self._keeping.values():
            task.cancel()
            with suppress(asyncio.CancelledError, ChildFailed):
                await task
        if self._session is not None:
            await self._session.close()

    def _urls(self) -> dict[str, str]:
        """Where each worker that is up has its web view."""
        urls = {member.pid: member.url for member in members(self._home)}
        return {
            role: urls[process.pid]
            for role, child in self._children.items()
            for process in child.processes()
            if process.pid in urls
        }

    async def _ask(self, url: str | None) -> dict[str, Any]:
        assert self._session is not None, "start() comes first"
        if url is None:
            return {}
        try:
            async with self._session.get(f"{url}api/status") as answer:
                said: dict[str, Any] = await answer.json() if answer.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}
        return said


def worker_arguments(role: str, *, foremost: bool = True) -> tuple[str, ...]:
    """How a role's worker is run.

    The foremost one's web view has the usual port, so that a person finds it; the others have any that is free.
    """
    anywhere = () if foremost and role == FOREMOST else ("--web-port", "0")
    return (sys.executable, "-m", "streams.cli", "worker", role, *anywhere)


def _is_ready(said: Mapping[str, Any]) -> bool:
    """A worker is ready once it has its share of the log and waits for nothing."""
    return said.get("health") == "ok"
