"""Which servers run on a home: `servers.json`, written by whoever started them, read by everybody else."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from streams.embedded.errors import ServersError
from streams.embedded.launch import STOP_WITHIN_S, SUPERVISOR_MARGIN_S
from streams.files import write_atomically
from streams.processes import Identity

FILE = "servers.json"
LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Entry:
    """One server: where it is, and which processes it is where this set started it."""

    url: str
    server: Identity | None = None
    supervisor: Identity | None = None


@dataclass(frozen=True, slots=True)
class Set:
    """The servers of a home, and the process that started them and will stop them."""

    owner: Identity
    entries: dict[str, Entry]

    def is_owned(self) -> bool:
        """Whether the process that started the set still lives."""
        return self.owner.process() is not None

    def processes(self) -> list[psutil.Process]:
        """The set's processes that are still alive."""
        identities = [i for entry in self.entries.values() for i in (entry.supervisor, entry.server) if i is not None]
        return [process for identity in identities if (process := identity.process()) is not None]


def write(home: Path, running: Set) -> None:
    """Say which servers run."""
    write_atomically(home / FILE, json.dumps(asdict(running), indent=2))


def read(home: Path) -> Set | None:
    """What the file says, or None when there is none; the servers may be long gone."""
    try:
        said = json.loads((home / FILE).read_text())
    except FileNotFoundError:
        return None
    except ValueError as broken:
        raise ServersError(f"{home / FILE} cannot be read ({broken}): remove it and start again") from broken
    return Set(_identity(said["owner"]), {name: _entry(entry) for name, entry in said["entries"].items()})


def forget(home: Path) -> None:
    """Say that none run any more."""
    (home / FILE).unlink(missing_ok=True)


def wait_for_the_end(running: Set) -> None:
    """Wait until the servers of a dead owner are gone; their supervisors are stopping them. Kills what stays."""
    deadline = time.monotonic() + STOP_WITHIN_S + SUPERVISOR_MARGIN_S
    while (left := running.processes()) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    for process in left:
        process.kill()


def _entry(said: dict[str, object]) -> Entry:
    server, supervisor = said["server"], said["supervisor"]
    return Entry(
        str(said["url"]),
        None if server is None else _identity(server),
        None if supervisor is None else _identity(supervisor),
    )


def _identity(said: object) -> Identity:
    assert isinstance(said, dict)
    return Identity(int(said["pid"]), float(said["created"]))
