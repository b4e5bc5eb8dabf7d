"""Processes told apart from later ones with the same number."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

#: A process's start is reckoned from the clock, which may have been set since; numbers are not used again that soon.
CLOCK_STEP_S = 5.0


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The identity of a live process; raises psutil.NoSuchProcess where there is none."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process itself, or None when it is gone."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < CLOCK_STEP_S
            alive = same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None
