"""Forking: what a producer or a reader made before a `fork()` is in the child, which has none of its threads.

The child must not give a number that the parent gives, nor write to the parent's files, nor end the parent's client:
librdkafka would wait in the child for threads that only the parent has. So in the child each refuses to be used, and
what it holds is never taken apart.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Protocol

from schemas import PermanentError


class MadeBeforeFork(PermanentError):
    """A producer or a reader was made in the parent of this process: each process makes its own."""

    reason = "made_before_fork"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"this {name} was made before a fork, by the parent of process {os.getpid()}, and is the parent's: make"
            f" another after the fork (with gunicorn in post_fork, with multiprocessing in the child's function)"
        )


class Forkable(Protocol):
    """An object that has to know when it finds itself in the child of a fork."""

    def after_fork(self) -> None:
        """Called in the child, before any code of its own runs; locks may be held by threads that are not there."""


_alive: weakref.WeakSet[Forkable] = weakref.WeakSet()


def watch(made: Forkable) -> None:
    """Call `after_fork` of this object in the child of each fork, as long as it is alive."""
    _alive.add(made)


def keep_forever(held: object) -> None:
    """Never take an object apart, not even when this process ends."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


def _tell() -> None:
    for made in list(_alive):
        made.after_fork()


os.register_at_fork(after_in_child=_tell)
