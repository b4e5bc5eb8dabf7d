"""Runs one server and outlives its parent just long enough to stop it.

Run as a script of its own, with the standard library alone and no site packages, so that it costs a few megabytes.
Its one argument is its order as JSON. Every user of the machine can read that, so secrets go by the environment, which
the server inherits. Its standard input is a pipe that nobody writes to: when the parent closes it, or dies in whatever
way, the server gets its stop signal, and its whole process group is killed after the grace time.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

#: How often the server and the parent are looked at; a death is noticed this late at worst.
LOOK_EVERY_S = 0.25
#: prctl's number for "send me this signal when my parent dies" (Linux, <sys/prctl.h>).
PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the ordered server until it ends, the parent goes or a signal asks; gives the server's exit status."""
    order: dict[str, Any] = json.loads(sys.argv[1])
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: asked.append(received))
    parent = os.getppid()
    server = subprocess.Popen(
        order["command"],
        stdin=subprocess.DEVNULL,
        cwd=order["folder"],
        start_new_session=True,
        preexec_fn=lambda: follow_parent(order["stop_signal"]),
        **account(order),
    )
    while server.poll() is None:
        if asked or os.getppid() != parent or pipe_closed():
            stop(server, order["stop_signal"], order["grace_s"])
    return server.returncode


def account(order: dict[str, Any]) -> dict[str, Any]:
    """The account that the server runs under, as `Popen` takes it; nothing where it is this process's own."""
    if order["user"] is None:
        return {}
    return {"user": order["user"], "group": order["group"], "extra_groups": []}


def follow_parent(number: int) -> None:
    """Ask Linux for a signal when this supervisor itself is killed; elsewhere the pipe is all there is."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def pipe_closed() -> bool:
    """Whether the parent's end of the pipe is gone; waits `LOOK_EVERY_S` for it."""
    try:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], LOOK_EVERY_S)
    except InterruptedError:
        return False
    return bool(readable)


def stop(server: subprocess.Popen[bytes], stop_signal: int, grace_s: float) -> None:
    """Ask the server to stop, and kill its process group when it has not within the grace time."""
    server.send_signal(stop_signal)
    deadline = time.monotonic() + grace_s
    while server.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


if __name__ == "__main__":
    sys.exit(main() & 0xFF)
