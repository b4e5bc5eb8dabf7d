"""Forking: what a process had open stays that process's, and its children let go of it.

A child of `fork()` has copies of every object and shares what they stand for: sockets, files and their locks. It has
none of the threads, so what it put in a queue would never be sent; and it would go on counting where its parent does,
so that one number stood for two events.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

from schemas import PermanentError


class Forked(PermanentError):
    """What was asked for belongs to the process that this one was forked from."""

    reason = "forked"


class LetsGo(Protocol):
    """What must be told that it is in a child now."""

    def let_go(self) -> None:
        """Called in the child, before anything of its own runs, while its only thread is this one."""


# The system's own hook takes functions, and never gives one back; so there is one for all.
_open: WeakSet[LetsGo] = WeakSet()


def let_go_in_children(thing: LetsGo) -> None:
    """Have `let_go` called in each child of this process that is forked while the thing lives."""
    _open.add(thing)


def _let_go() -> None:
    for thing in list(_open):
        thing.let_go()


os.register_at_fork(after_in_child=_let_go)
