"""Files that several processes look at: written whole or not at all, and locked while a set is started."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: How often a lock that somebody else holds is tried again.
TRY_EVERY_S = 0.1


def write_atomically(path: Path, text: str) -> None:
    """Replace the file so that a reader sees the old text or the new one; only its owner may read it."""
    written = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    written.replace(path)


@contextmanager
def locked(path: Path, *, timeout_s: float, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the file's lock; the kernel lets go of it when the holder dies.

    Calls `waiting` once when somebody else holds it. Raises TimeoutError when that lasts longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    told = False
    with path.open("a") as file:
        while not _try_lock(file.fileno()):
            if not told:
                waiting()
                told = True
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has held {path} for {timeout_s:.0f} s: is it still starting?")
            time.sleep(TRY_EVERY_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
