"""Breakers: whoever keeps failing is left alone for a while, then tried once.

    closed --- too many failures ---> open --- its time is over ---> half open: one call is let through, the trial
      ^                                ^                                  |
      |                                +---------- it fails --------------+
      +------------------------------------------- it succeeds -----------+

Pure state machines: they are told the time. A call begins with a permit and ends by handing it back, so that what began
before the breaker opened says nothing about how things are after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

State = Literal["closed", "open", "half_open"]

#: Spec C.2: a service's breaker opens after 5 failures in a row, for 60 s.
RUN_MAX = 5
RUN_OPEN_MS = 60_000


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call: given when the breaker was closed, or for its trial."""

    turn: int
    trial: bool


class Breaker(Protocol):
    """What both breakers do."""

    def state(self, now_ms: int) -> State:
        """Whether calls are let through, none is, or one."""

    def begin(self, now_ms: int) -> Permit | None:
        """Leave to make a call, or None: then do without."""

    def end(self, permit: Permit, now_ms: int, *, ok: bool | None) -> None:
        """Say how a call ended: well, badly, or (None) without saying anything about whom it was made to.

        A queue that is full and a caller who no longer wants the answer say nothing.
        """


@dataclass
class Tripping:
    """The part that every breaker has: open for a time, then one trial."""

    open_ms: int
    _turn: int = 0
    _opened_ms: int | None = None
    _trial_ms: int | None = None

    def state(self, now_ms: int) -> State:
        """Whether calls are let through, none is, or one."""
        if self._opened_ms is None:
            return "closed"
        # A clock that was set back would otherwise keep it open for as long as it was set back.
        self._opened_ms = min(self._opened_ms, now_ms)
        return "half_open" if now_ms - self._opened_ms >= self.open_ms else "open"

    def begin(self, now_ms: int) -> Permit | None:
        """Leave to make a call, or None."""
        match self.state(now_ms):
            case "closed":
                return Permit(self._turn, trial=False)
            case "half_open" if not self._on_trial(now_ms):
                self._turn += 1
                self._trial_ms = now_ms
                return Permit(self._turn, trial=True)
            case _:
                return None

    def end(self, permit: Permit, now_ms: int, *, ok: bool | None) -> None:
        """Say how a call ended."""
        if permit.turn != self._turn:
            return
        if permit.trial:
            self._trial_ms = None
            if ok is not None:
                self._turn += 1
                self._opened_ms = None if ok else now_ms
        elif ok is not None and self._too_many(now_ms, ok):
            self._turn += 1
            self._opened_ms = now_ms
            self._forget()

    def _on_trial(self, now_ms: int) -> bool:
        # A trial that nobody ends, because its caller died, shall not keep everybody out for ever.
        return self._trial_ms is not None and 0 <= now_ms - self._trial_ms < self.open_ms

    def _too_many(self, now_ms: int, ok: bool) -> bool:
        raise AssertionError("each breaker has a count of its own")

    def _forget(self) -> None:
        raise AssertionError("each breaker has a count of its own")


@dataclass
class RunBreaker(Tripping):
    """Opens when `run_max` calls have failed in a row."""

    open_ms: int = RUN_OPEN_MS
    run_max: int = RUN_MAX
    _run: int = 0

    def _too_many(self, now_ms: int, ok: bool) -> bool:
        self._run = 0 if ok else self._run + 1
        return self._run >= self.run_max

    def _forget(self) -> None:
        self._run = 0
