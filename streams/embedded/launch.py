"""Starts one server under its supervisor, waits until it is healthy, stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from streams.embedded import supervisor
from streams.embedded.errors import ServerFailed, ServerStalled
from streams.processes import Identity

#: Told what is going on: server, stage, and how much of how much is done where that is known.
Progress = Callable[[str, str, int | None, int | None], None]

#: A server is waited for as long as it gets on, however slow the machine: its log grows, or it computes. One that has
#: done neither for so long hangs; a cold Java start on a busy two-core machine takes 15 s in all.
STILL_FOR_S = 60.0
#: How often it is looked whether a starting server gets on, which reads every process's ancestry.
LOOK_EVERY_S = 1.0
#: A server that waits for ever computes as well, a little: what is less than this is no progress.
COMPUTED_S = 1.0
#: Another process that starts the same home waits no longer (`LOCK_WITHIN_S`), and nothing healthy takes so long.
READY_WITHIN_S = 840.0
#: How often a starting server is asked whether it is healthy.
ASK_EVERY_S = 0.05
#: A server that has not stopped by itself after this long is killed: all three survive that with their data whole.
STOP_WITHIN_S = 10.0
#: The supervisor needs a moment beyond its server's grace time.
SUPERVISOR_MARGIN_S = 5.0
#: What of a log is worth showing in an error.
LOG_TAIL_LINES = 20
LOG_TAIL_BYTES = 16_384
#: A log is started afresh beyond this size; the one before is kept as `.1`.
LOG_LIMIT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Launch:
    """How to run one server: what `Server.prepare` hands over once its folders and ports are ready."""

    name: str
    url: str
    command: list[str]
    log: Path
    folder: Path
    healthy: Callable[[], bool]
    stop_signal: int = signal.SIGTERM
    #: What its environment has beyond this process's.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: (user id, group id) where it must not be this process's own.
    account: tuple[int, int] | None = None
    #: What it listens on, to tell a lost race for a port from a real failure.
    ports: tuple[int, ...] = ()


@dataclass(slots=True)
class Running:
    """A server that has become healthy."""

    name: str
    url: str
    supervisor: Identity
    server: Identity
    _popen: subprocess.Popen[bytes] = field(repr=False)

    def stop(self) -> None:
        """Stop the server in its own way, or kill it where that takes longer than `STOP_WITHIN_S`."""
        _end(self._popen)


def start(launch: Launch, abandoned: threading.Event) -> Running:
    """Start the server and wait until it is healthy.

    It may take as long as it gets on. Raises ServerFailed, with the log's last lines, when it ends and when `abandoned`
    is set meanwhile; ServerStalled when it hangs. Nothing is left running then.
    """
    popen = _spawn(launch)
    try:
        _wait_until_healthy(launch, popen, abandoned)
        (server,) = psutil.Process(popen.pid).children()
        return Running(launch.name, launch.url, Identity.of(popen.pid), Identity.of(server.pid), popen)
    except (psutil.NoSuchProcess, ValueError) as gone:
        _end(popen)
        raise _failure(launch, "ended at once") from gone
    except BaseException:
        _end(popen)
        raise


def log_tail(path: Path) -> str:
    """The last lines of a log, as an error shows them."""
    if not path.exists():
        return "(no log)"
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:]) or "(the log is empty)"


def _spawn(launch: Launch) -> subprocess.Popen[bytes]:
    user, group = launch.account or (None, None)
    order = {
        "command": launch.command,
        "folder": str(launch.folder),
        "stop_signal": int(launch.stop_signal),
        "grace_s": STOP_WITHIN_S,
        "user": user,
        "group": group,
    }
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    if launch.log.exists() and launch.log.stat().st_size > LOG_LIMIT_BYTES:
        launch.log.replace(launch.log.with_name(launch.log.name + ".1"))
    with launch.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **launch.environment},
            # A terminal's Ctrl-C goes to the parent alone, which stops its servers in order.
            start_new_session=True,
        )


def _wait_until_healthy(launch: Launch, popen: subprocess.Popen[bytes], abandoned: threading.Event) -> None:
    began_s = moved_s = looked_s = time.monotonic()
    life = _signs_of_life(launch, popen.pid)
    while not launch.healthy():
        if popen.poll() is not None:
            raise _failure(launch, f"ended with status {popen.returncode} before it was ready")
        if abandoned.is_set():
            raise _failure(launch, "was given up, because another server failed")
        now_s = time.monotonic()
        if now_s - looked_s > LOOK_EVERY_S:
            looked_s = now_s
            if life != (life := _signs_of_life(launch, popen.pid)):
                moved_s = now_s
        if now_s - moved_s > STILL_FOR_S:
            raise _failure(launch, f"has done nothing for {STILL_FOR_S:g} s and is not ready", ServerStalled)
        if now_s - began_s > READY_WITHIN_S:
            raise _failure(launch, f"was not ready after {READY_WITHIN_S:g} s", ServerStalled)
        time.sleep(ASK_EVERY_S)


def _signs_of_life(launch: Launch, supervisor_pid: int) -> tuple[int, int]:
    """How large the server's log is, and how much it has computed: as long as these change, it gets on."""
    size = launch.log.stat().st_size if launch.log.exists() else 0
    computed_s = 0.0
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(supervisor_pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                computed_s += times.user + times.system
    return size, int(computed_s / COMPUTED_S)


def _failure(launch: Launch, what: str, kind: type[ServerFailed] = ServerFailed) -> ServerFailed:
    return kind(
        f"{launch.name} {what}. Its log is {launch.log}, and ends:\n{log_tail(launch.log)}\n"
        "Run `norn doctor` to see what this machine lacks."
    )


def _end(popen: subprocess.Popen[Any]) -> None:
    if popen.stdin is not None:
        popen.stdin.close()
    try:
        popen.wait(STOP_WITHIN_S + SUPERVISOR_MARGIN_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
