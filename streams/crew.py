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

from schemas import PermanentError
from streams.children import Child, ChildFailed, Command
from streams.config import Settings
from streams.embedded import Servers, ports
from streams.live import WorkerLine
from streams.reconcile import Account

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


class PortTaken(PermanentError):
    """The port that was asked for is in use."""

    reason = "port_taken"


class Crew:
    """Workers of every role. Its methods raise ChildFailed once one of them keeps dying."""

    def __init__(
        self,
        settings: Settings,
        servers: Servers,
        roles: Sequence[str] = ROLES,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.ports = _web_ports(settings, roles)
        addresses = {
            "NORN_HOME": str(settings.home),
            "NORN_KAFKA": servers.kafka,
            "NORN_POSTGRES": servers.postgres,
            "NORN_CLICKHOUSE": servers.clickhouse,
            **(environment or {}),
        }
        self._children = {
            role: Child(
                Command(
                    role,
                    (sys.executable, "-m", "streams.cli", "worker", role, "--web-port", str(self.ports[role])),
                    settings.home / "logs" / f"{role}.log",
                    environment=addresses,
                )
            )
            for role in roles
        }
        self._host = settings.web_host
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._statuses: dict[str, dict[str, Any]] = {}
        #: What each life of each worker last said of its producer: (role, when it started) to (origin, sent).
        self._lives: dict[tuple[str, str], tuple[str, int]] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where the web view is."""
        return f"http://{self._host}:{self.ports[FOREMOST]}/"

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
        found = await asyncio.gather(*map(self._ask, self._children))
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

    async def _ask(self, role: str) -> dict[str, Any]:
        assert self._session is not None, "start() comes first"
        try:
            async with self._session.get(f"http://{self._host}:{self.ports[role]}/api/status") as answer:
                said: dict[str, Any] = await answer.json() if answer.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}
        return said


def _is_ready(said: Mapping[str, Any]) -> bool:
    """A worker is ready once it has its share of the log and waits for nothing."""
    return said.get("health") == "ok"


def free_web_port(settings: Settings, wanted: int | None = None) -> int:
    """The port for a web view: `wanted`, else NORN_WEB_PORT, else its default or any other that is free.

    Raises PortTaken when something listens on the one that was asked for.
    """
    asked = wanted is not None or "web_port" in settings.model_fields_set
    port = settings.web_port if wanted is None else wanted
    if port == 0 or (not asked and not ports.is_free(port)):
        return ports.any_free()
    if not ports.is_free(port):
        raise PortTaken(
            f"something else listens on port {port}, which the web view was to have: stop it, or choose another port"
            " with NORN_WEB_PORT or --web-port; 0 takes a free one"
        )
    return port


def _web_ports(settings: Settings, roles: Sequence[str]) -> dict[str, int]:
    """A port for each role's web view, the same ones as last time where they still are free. Raises PortTaken."""
    folder = settings.home / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return ports.choose(folder / "web_ports.json", tuple(roles)) | {FOREMOST: free_web_port(settings)}
