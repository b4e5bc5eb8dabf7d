"""Real Kafka, PostgreSQL and ClickHouse on this machine, without Docker: started, checked and stopped as a group.

    with start(Path.home() / ".norn") as servers:
        print(servers.kafka, servers.postgres, servers.clickhouse)

Each server listens on the loopback interface alone, keeps its data below `home`, and runs under a supervisor that stops
it when its parent is gone, however it went. `home/servers.json` says where they are. A server given by URL is not
started. A home has one set: who starts a second one shares the first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from streams.addresses import Servers
from streams.embedded import clickhouse, kafka, launch, ports, postgres, running
from streams.embedded.errors import MissingPart, ServerFailed, ServersError, ServersNotRunning, ServerStalled
from streams.embedded.launch import Launch, Progress, Running
from streams.embedded.running import Entry
from streams.files import locked
from streams.processes import Identity

__all__ = [
    "MissingPart",
    "Progress",
    "ServerFailed",
    "Servers",
    "ServersError",
    "ServersNotRunning",
    "find",
    "locate",
    "start",
]

#: Stopped in this order: nothing new comes in before the stores go.
SERVERS: dict[str, ModuleType] = {"kafka": kafka, "clickhouse": clickhouse, "postgres": postgres}
#: Another process that starts the same home may be fetching jars on a slow line.
LOCK_WITHIN_S = 900.0
#: A server listens by itself on the port that it is told: another process may take it just before. Three times in a row
#: is no accident.
ATTEMPTS = 3


def quiet(server: str, stage: str, done: int | None, total: int | None) -> None:
    """Shows no progress."""


@contextmanager
def start(
    home: Path,
    *,
    kafka: str | None = None,
    postgres: str | None = None,
    clickhouse: str | None = None,
    progress: Progress = quiet,
) -> Iterator[Servers]:
    """Start the servers that are not given by URL, and stop them at the end; or share those that run already.

    `progress(server, stage, done, total)` is called from several threads with the stages resolving, downloading,
    formatting, initialising, starting, ready, sharing, waiting and stopping; `done` and `total` are None where they
    are not known. Raises MissingPart for what is not installed, ServerFailed with the server's last words when one
    does not start, ServersError when the home is in use in a way that cannot be shared.
    """
    given = {name: url for name, url in _named(kafka, postgres, clickhouse) if url is not None}
    wanted = [name for name in SERVERS if name not in given]
    if not wanted:
        yield Servers(**given)
        return
    home = home.expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    started: list[Running] = []
    try:
        with locked(home / "servers.lock", timeout_s=LOCK_WITHIN_S, waiting=lambda: _tell(progress, wanted, "waiting")):
            shared = _shared(home, wanted)
            if shared is not None:
                _tell(progress, wanted, "sharing")
                urls = {**shared, **given}
            else:
                _start_all(home, wanted, progress, started)
                urls = {**{server.name: server.url for server in started}, **given}
                running.write(home, _set(urls, started))
        yield Servers(**urls)
    finally:
        _stop_all(home, started, progress)


def find(home: Path) -> Servers | None:
    """The set that runs on a home, or None when there is none or one of its servers does not answer."""
    found = running.read(home.expanduser().resolve())
    if found is None or set(found.entries) != set(SERVERS) or not _healthy(found, list(SERVERS)):
        return None
    return Servers(**{name: entry.url for name, entry in found.entries.items()})


def locate(
    home: Path, *, kafka: str | None = None, postgres: str | None = None, clickhouse: str | None = None
) -> Servers:
    """Where the servers are: the given URLs, and for the rest the set that runs on the home.

    Raises ServersNotRunning, with what to do, when a URL is missing and no set runs.
    """
    given = {name: url for name, url in _named(kafka, postgres, clickhouse) if url is not None}
    if len(given) == len(SERVERS):
        return Servers(**given)
    found = find(home)
    if found is None:
        missing = ", ".join(f"NORN_{name.upper()}" for name in SERVERS if name not in given)
        raise ServersNotRunning(f"no servers run on {home}: start them with `norn up`, or set {missing}")
    return Servers(**{**{name: getattr(found, name) for name in SERVERS}, **given})


def _named(kafka: str | None, postgres: str | None, clickhouse: str | None) -> list[tuple[str, str | None]]:
    return [("kafka", kafka), ("postgres", postgres), ("clickhouse", clickhouse)]


def _tell(progress: Progress, names: list[str], stage: str) -> None:
    for name in names:
        progress(name, stage, None, None)


def _shared(home: Path, wanted: list[str]) -> dict[str, str] | None:
    """The URLs of a live set that has what is wanted; raises ServersError for a live one that cannot be shared."""
    found = running.read(home)
    if found is None:
        return None
    if not found.is_owned():
        running.wait_for_the_end(found)
        running.forget(home)
        return None
    lacking = [name for name in wanted if name not in found.entries or found.entries[name].server is None]
    if lacking or not _healthy(found, wanted):
        raise ServersError(
            f"process {found.owner.pid} runs servers on {home} that cannot be shared "
            f"({'without its own ' + ', '.join(lacking) if lacking else 'one of them does not answer'}): "
            f"stop it (kill {found.owner.pid}) or use another NORN_HOME"
        )
    return {name: entry.url for name, entry in found.entries.items()}


def _healthy(found: running.Set, names: list[str]) -> bool:
    return all(
        (entry := found.entries[name]).server is None
        or (entry.server.process() is not None and SERVERS[name].healthy(entry.url))
        for name in names
    )


def _start_all(home: Path, wanted: list[str], progress: Progress, started: list[Running]) -> None:
    """Start the wanted servers side by side; `started` holds every one that runs, also when another one fails."""
    abandoned = threading.Event()
    port_names = tuple(port for name in wanted for port in SERVERS[name].PORTS)
    chosen = ports.choose(home / "ports.json", port_names)
    with ThreadPoolExecutor(len(wanted), thread_name_prefix="start") as pool:
        futures = [pool.submit(_start_one, home, name, chosen, progress, abandoned) for name in wanted]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            abandoned.set()
            raise
        finally:
            # The pool's end waits for all of them: what had started by then must be stopped, too.
            pool.shutdown()
            started.extend(f.result() for f in futures if not f.cancelled() and f.exception() is None)


def _start_one(
    home: Path, name: str, chosen: dict[str, int], progress: Progress, abandoned: threading.Event
) -> Running:
    prepare: Callable[[Path, dict[str, int], Progress], Launch] = SERVERS[name].prepare
    lost = False
    for attempt in range(ATTEMPTS):
        if attempt and lost:
            chosen = {port: ports.any_free() for port in SERVERS[name].PORTS}
        planned = prepare(home, chosen, progress)
        try:
            server = launch.start(planned, abandoned)
        except ServerFailed as failure:
            lost = not all(ports.is_free(port) for port in planned.ports)
            # One that hung is tried again by itself: the others, which may have come far, are not stopped for it.
            again = lost or isinstance(failure, ServerStalled)
            if again and attempt + 1 < ATTEMPTS and not abandoned.is_set():
                continue
            raise
        progress(name, "ready", None, None)
        return server
    raise AssertionError("the last attempt returns or raises")


def _set(urls: dict[str, str], started: list[Running]) -> running.Set:
    own = {server.name: server for server in started}
    entries = {
        name: Entry(url, own[name].server, own[name].supervisor) if name in own else Entry(url)
        for name, url in urls.items()
    }
    return running.Set(Identity.of(os.getpid()), entries)


def _stop_all(home: Path, started: list[Running], progress: Progress) -> None:
    if not started:
        return
    for server in sorted(started, key=lambda server: list(SERVERS).index(server.name)):
        progress(server.name, "stopping", None, None)
        server.stop()
    running.forget(home)
