"""Child processes: started, watched, started again when they die, stopped; none outlives its parent.

Each runs under the small supervisor that the embedded servers run under, which ends it when its parent is gone in
whatever way, SIGKILL included.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from schemas import NornError
from streams.embedded import supervisor
from streams.embedded.launch import LOG_LIMIT_BYTES, log_tail

#: How often a child is looked at.
LOOK_EVERY_S = 0.1
#: A child that dies is started again after this long, then twice as long, up to the longest.
RESTART_DELAY_FIRST_S = 0.5
RESTART_DELAY_MAX_S = 10.0
#: One that has lived this long had nothing wrong with its start: the next delay is the first again.
SETTLED_AFTER_S = 30.0
#: Deaths in a row, none of them settled, after which starting it once more is no use: about half a minute of trying.
DEATHS_IN_A_ROW_MAX = 6
#: A worker ends by itself within its grace (`streams.worker.GRACE_S`); one that does not is killed: nothing is lost.
STOP_WITHIN_S = 15.0
#: The supervisor needs a moment beyond its child's grace time.
SUPERVISOR_MARGIN_S = 2.0


class ChildFailed(NornError):
    """A child process that keeps dying."""

    reason = "child_failed"


#: The status that the supervisor ends with when it had to kill its process: minus SIGKILL, as a byte.
KILLED = -signal.SIGKILL & 0xFF
#: What of a log's last line is worth a place in the line that tells of a death.
LAST_WORDS_MAX = 300


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a child: it started, runs, died, stopped or was killed."""

    name: str
    what: str
    pid: int | None = None
    url: str = ""
    #: Its exit status, and after how many seconds it is started again.
    status: int | None = None
    again_in_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """How to run a child: its name, its arguments, where its standard error goes and, if elsewhere, its output."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    output: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGTERM
    stop_within_s: float = STOP_WITHIN_S


class Child:
    """One child process, and those that took its place when it died."""

    def __init__(
        self,
        command: Command,
        *,
        deaths_max: int | None = DEATHS_IN_A_ROW_MAX,
        tell: Callable[[Change], None] = lambda change: None,
    ) -> None:
        """`deaths_max` None: it is started again for ever. `tell` is called with every change."""
        self.command = command
        self._deaths_max = deaths_max
        self._tell = tell
        self.restarts = 0
        self._popen: subprocess.Popen[bytes] | None = None
        self._stopping = False

    @property
    def name(self) -> str:
        """The command's name."""
        return self.command.name

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the process."""
        command = self.command
        order = {
            "command": command.arguments,
            "folder": os.getcwd(),
            "stop_signal": int(command.stop_signal),
            "grace_s": command.stop_within_s,
            "user": None,
            "group": None,
        }
        command.log.parent.mkdir(parents=True, exist_ok=True)
        if command.log.exists() and command.log.stat().st_size > LOG_LIMIT_BYTES:
            command.log.replace(command.log.with_name(command.log.name + ".1"))
        with command.log.open("ab") as log, (command.output or command.log).open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
                # Inherited from the supervisor: its argument can be read by every user of the machine.
                env={**os.environ, **command.environment},
                # A terminal's Ctrl-C goes to the parent alone, which stops its children in order.
                start_new_session=True,
            )

    async def keep(self) -> None:
        """Start the process, and again whenever it dies, until it is stopped.

        Raises ChildFailed when it keeps dying, unless it is to be started for ever.
        """
        deaths = 0
        while not self._stopping:
            started_s = time.monotonic()
            self.start()
            self._tell(Change(self.name, "started"))
            status = await self.ended()
            if self._stopping:
                return
            deaths = 1 if time.monotonic() - started_s > SETTLED_AFTER_S else deaths + 1
            if self._deaths_max is not None and deaths >= self._deaths_max:
                raise self.failure(f"died {deaths} times in a row, the last time with status {status}")
            delay_s = restart_delay_s(deaths)
            self._tell(Change(self.name, "died", status=status, again_in_s=delay_s, detail=self._last_words()))
            await asyncio.sleep(delay_s)
            self.restarts += not self._stopping

    async def ended(self) -> int:
        """Wait until the process has ended; gives its exit status."""
        while True:
            status = 0 if self._popen is None else self._popen.poll()
            if status is not None:
                return status
            await asyncio.sleep(LOOK_EVERY_S)

    def signal(self, number: int) -> None:
        """Send the process itself a signal; one that is not running gets none."""
        for process in self.processes():
            process.send_signal(number)

    def processes(self) -> list[psutil.Process]:
        """The process itself, without its supervisor; empty while it is not running."""
        if self._popen is None:
            return []
        try:
            return psutil.Process(self._popen.pid).children()
        except psutil.NoSuchProcess:
            return []

    async def stop(self) -> int:
        """Tell the process to stop and wait until it has, killing it when it takes too long; gives its exit status."""
        running = self.running
        self._stopping = True
        popen = self._popen
        if popen is None:
            return 0
        status = await self._stop(popen)
        within_s = self.command.stop_within_s
        if status == KILLED:
            self._tell(Change(self.name, "killed", detail=f"killed, because it had not stopped within {within_s:g} s"))
        elif running:
            self._tell(Change(self.name, "stopped", status=status))
        return status

    async def _stop(self, popen: subprocess.Popen[bytes]) -> int:
        if popen.stdin is not None:
            popen.stdin.close()
        try:
            async with asyncio.timeout(self.command.stop_within_s + SUPERVISOR_MARGIN_S):
                return await self.ended()
        except TimeoutError:
            popen.kill()
            popen.wait()
            return KILLED

    def _last_words(self) -> str:
        return log_tail(self.command.log).splitlines()[-1][:LAST_WORDS_MAX]

    def failure(self, what: str) -> ChildFailed:
        """An error that says what happened to the child, with the last lines of its log."""
        log = self.command.log
        return ChildFailed(f"{self.name} {what}. Its log is {log}, and ends:\n{log_tail(log)}")


def restart_delay_s(deaths: int) -> float:
    """How long to wait before a start, after so many deaths in a row."""
    # Doubling a hundred times is no number to wait for.
    doublings = min(deaths - 1, 16)
    return min(RESTART_DELAY_FIRST_S * 2.0**doublings, RESTART_DELAY_MAX_S)
