"""Which workers and bridges run on a home: a file each, written by the process itself, read by everybody else.

A file counts for as long as the process lives that wrote it, so one that was killed is off the list at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.files import write_atomically
from streams.processes import Identity


@dataclass(frozen=True, slots=True)
class Member:
    """A process: what it does, which one it is, and where its web view or its service is."""

    role: str
    pid: int
    url: str


@contextmanager
def listed(home: Path, role: str, url: str) -> Iterator[None]:
    """Have this process on the list for as long as the block runs."""
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    me = Identity.of(os.getpid())
    path = folder / f"{me.pid}.json"
    write_atomically(path, json.dumps({"role": role, "pid": me.pid, "created": me.created, "url": url}))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def members(home: Path) -> list[Member]:
    """The processes that run on a home now, by role; what dead ones left behind is removed."""
    found = [member for path in _folder(home).glob("*.json") if (member := _read(path)) is not None]
    return sorted(found, key=lambda member: (member.role, member.pid))


def _folder(home: Path) -> Path:
    return home.expanduser() / "run" / "workers"


def _read(path: Path) -> Member | None:
    try:
        said = json.loads(path.read_text())
        member, identity = Member(said["role"], said["pid"], said["url"]), Identity(said["pid"], said["created"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Files are written whole: this one was written by something else.
        return None
    if identity.process() is None:
        path.unlink(missing_ok=True)
        return None
    return member
