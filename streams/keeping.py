"""Keeping a machine's workers: as many of each role as were asked for, started again whenever one dies."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from schemas import PermanentError
from streams.children import Change, Child, Command
from streams.config import Settings
from streams.crew import ROLES, worker_arguments
from streams.roster import members

BRIDGE = "bridge"
KINDS = (*ROLES, BRIDGE)
#: More processes of a kind than any machine has cores.
OF_A_KIND_MAX = 64
#: How often it is looked who has come up.
LOOK_EVERY_S = 0.5


class WrongWorkers(PermanentError):
    """Workers were asked for in a way that cannot be understood."""

    reason = "wrong_workers"


def counts(text: str) -> dict[str, int]:
    """How many of each kind a text like `fold=2,infer=1` asks for; kinds that it does not name are not started.

    Raises WrongWorkers.
    """
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, number = (piece.strip() for piece in part.partition("="))
        most = 1 if kind == BRIDGE else OF_A_KIND_MAX
        if kind not in KINDS:
            raise WrongWorkers(f"{kind!r} is none of {', '.join(KINDS)}: write for example fold=2,infer=1")
        if kind in found:
            raise WrongWorkers(f"{kind} stands twice in {text!r}")
        if not (number.isdecimal() and int(number) <= most):
            raise WrongWorkers(f"{kind}={number} is not a number from 0 to {most}")
        found[kind] = int(number)
    if not any(found.values()):
        raise WrongWorkers(f"{text!r} asks for no worker: write for example fold=2,infer=1")
    return found


def commands(settings: Settings, wanted: Mapping[str, int]) -> list[Command]:
    """How each of them is run. They find the servers by themselves, so that one that starts later finds where they are.

    The first worker that folds has the web view's usual port, the others any that is free.
    """
    made = []
    for kind, number in wanted.items():
        for place in range(1, number + 1):
            name = f"{kind}-{place}"
            bridge = (sys.executable, "-m", "streams.cli", "bridge")
            arguments = bridge if kind == BRIDGE else worker_arguments(kind, foremost=place == 1)
            log = settings.home / "logs" / f"{name}.log"
            made.append(Command(name, arguments, log, environment={"NORN_HOME": str(settings.home)}))
    return made


class Keeper:
    """Keeps the workers until it is told to stop. `tell` is called with every change."""

    def __init__(self, settings: Settings, wanted: Mapping[str, int], tell: Callable[[Change], None]) -> None:
        self._home = settings.home
        self._tell = tell
        self._children = [Child(command, deaths_max=None, tell=tell) for command in commands(settings, wanted)]

    async def run(self, stop: asyncio.Event) -> None:
        """Start all of them, keep them until `stop` is set, then stop all of them side by side."""
        keeping = [asyncio.create_task(child.keep()) for child in self._children]
        watching = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(stop.wait())
        try:
            # None of them ends before it is told to; one that does has failed, which is to be heard.
            done, _ = await asyncio.wait({*keeping, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await asyncio.gather(*(child.stop() for child in self._children))
            for task in (*keeping, watching, stopping):
                task.cancel()
            await asyncio.gather(*keeping, watching, stopping, return_exceptions=True)

    async def _watch(self) -> None:
        """Tell of each process that has come up, with where it is reached."""
        known: set[int] = set()
        while True:
            here = {member.pid: member for member in await asyncio.to_thread(members, self._home)}
            for child in self._children:
                for process in child.processes():
                    if process.pid in here and process.pid not in known:
                        known.add(process.pid)
                        self._tell(Change(child.name, "runs", pid=process.pid, url=here[process.pid].url))
            await asyncio.sleep(LOOK_EVERY_S)


def as_line(change: Change) -> str:
    """A change as a person reads it."""
    match change.what:
        case "runs":
            return f"{change.name}: runs as process {change.pid}, {change.url}"
        case "died":
            return f"{change.name}: died with status {change.status}, again in {change.again_in_s:g} s: {change.detail}"
        case "killed":
            return f"{change.name}: {change.detail}"
        case _:
            return f"{change.name}: {change.what}"


def as_object(change: Change) -> dict[str, Any]:
    """A change as a machine reads it: what is not known of it is left out."""
    return {name: value for name, value in asdict(change).items() if value not in (None, "")}
