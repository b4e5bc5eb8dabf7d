"""Servers that can be killed as `kill -9` does, and started again on the same data and ports."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

from streams.addresses import Servers
from streams.embedded import SERVERS, ServerFailed, launch, ports, quiet
from streams.embedded.launch import Running

#: What is left of a killed PostgreSQL keeps its shared memory for a moment, and a new one refuses to start beside it.
ATTEMPTS = 3
AGAIN_AFTER_S = 1.0
GONE_WITHIN_S = 10.0


class KillableServers:
    """The three servers of a home. Its methods block, and raise ServersError."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._abandoned = threading.Event()
        self._running: dict[str, Running] = {}
        names = tuple(port for server in SERVERS.values() for port in server.PORTS)
        self._ports = ports.choose(home / "ports.json", names)

    def start(self) -> Servers:
        """Start all of them side by side."""
        with ThreadPoolExecutor(len(SERVERS)) as pool:
            list(pool.map(self.revive, SERVERS))
        return Servers(**{name: server.url for name, server in self._running.items()})

    def kill(self, name: str) -> None:
        """End a server and every process below it at once; it is gone when this returns."""
        process = self._running[name].server.process()
        if process is None:
            raise ServerFailed(f"{name} had ended before it was killed: look at {self._home / 'logs'}")
        doomed = [process, *process.children(recursive=True)]
        for one in doomed:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(doomed, GONE_WITHIN_S)
        self._running[name].stop()

    def revive(self, name: str) -> None:
        """Start a server on its data and its ports."""
        for attempt in range(ATTEMPTS):
            try:
                planned = SERVERS[name].prepare(self._home, self._ports, quiet)
                self._running[name] = launch.start(planned, self._abandoned)
                return
            except ServerFailed:
                if attempt + 1 == ATTEMPTS:
                    raise
                time.sleep(AGAIN_AFTER_S)

    def stop(self) -> None:
        """Stop those that run, each in its own way, in the order of the table."""
        self._abandoned.set()
        for name in SERVERS:
            if name in self._running:
                self._running[name].stop()
