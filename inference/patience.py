"""Patience: a caller who gave up says nothing about what an engine does for callers who wait longer.

Where gold gives up after 1.7 s on a provider that takes 2.2 s, silver's 10 s still go. So an answer that did not come
in time counts only for callers who would wait no longer, and every other failure counts for everybody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from inference.breaker import RATE_MAX, RATE_OPEN_MS, RATE_SAMPLE_MIN, RATE_WINDOW_MS, RUN_MAX, State

# A caller who waits this much longer counts as equally patient: equal deadlines leave a little more or less time.
ALIKE_SHARE = 1.1
# The latest calls that are remembered: some times as many as an engine has in work at once.
CALLS_MAX = 200


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that has ended: how long it took when it was answered, else how long was waited in vain."""

    at_ms: int
    ok: bool
    ms: float
    trial: bool = False

    def speaks_to(self, patience_ms: int) -> bool:
        return self.ms <= patience_ms if self.ok else self.ms * ALIKE_SHARE >= patience_ms


@dataclass
class Patience:
    """For each caller a breaker over the calls that tell whether one so patient is answered. It is told the time."""

    open_ms: int = RATE_OPEN_MS
    _calls: deque[_Call] = field(default_factory=lambda: deque(maxlen=CALLS_MAX))
    _trial_ms: int | None = None

    def state(self, now_ms: int, patience_ms: int) -> State:
        """Whether callers who wait so long are let through, none is, or one."""
        self._set_back(now_ms)
        told = [call for call in self._calls if call.speaks_to(patience_ms)]
        if not _too_many_late(told):
            return "closed"
        return "half_open" if now_ms - told[-1].at_ms >= self.open_ms else "open"

    def begin(self, now_ms: int, patience_ms: int) -> Turn | None:
        """Leave to make a call, or None: one so patient would hardly be answered."""
        state = self.state(now_ms, patience_ms)
        if state == "open" or (state == "half_open" and self._on_trial(now_ms)):
            return None
        if state == "half_open":
            self._trial_ms = now_ms
        return Turn(self._ended, now_ms, trial=state == "half_open")

    def _set_back(self, now_ms: int) -> None:
        """A clock that was set back would otherwise keep it open for as long as it was set back."""
        if any(call.at_ms > now_ms for call in self._calls):
            calls = [replace(call, at_ms=min(call.at_ms, now_ms)) for call in self._calls]
            self._calls.clear()
            self._calls.extend(calls)

    def _on_trial(self, now_ms: int) -> bool:
        return self._trial_ms is not None and 0 <= now_ms - self._trial_ms < self.open_ms

    def _ended(self, call: _Call | None, trial: bool) -> None:
        if trial:
            self._trial_ms = None
        if call is not None:
            self._calls.append(call)


@dataclass(frozen=True)
class Turn:
    """Leave to make one call, which ends in one of four ways."""

    _ended: Callable[[_Call | None, bool], None]
    begun_ms: int
    trial: bool

    def answered(self, now_ms: int) -> None:
        """There was an answer."""
        self._ended(_Call(now_ms, True, max(0, now_ms - self.begun_ms), self.trial), self.trial)

    def late(self, now_ms: int, waited_ms: int) -> None:
        """There was none within so long."""
        self._ended(_Call(now_ms, False, waited_ms, self.trial), self.trial)

    def failed(self, now_ms: int) -> None:
        """It failed, and would have for everybody."""
        self._ended(_Call(now_ms, False, inf, self.trial), self.trial)

    def dropped(self) -> None:
        """It ended without saying anything."""
        self._ended(None, self.trial)


def _too_many_late(told: Sequence[_Call]) -> bool:
    """As many in a row as opens a service's breaker, or the share that opens a model's."""
    if not told or told[-1].ok:
        return False
    if told[-1].trial or (len(told) >= RUN_MAX and not any(call.ok for call in told[-RUN_MAX:])):
        return True
    recent = [call for call in told if abs(told[-1].at_ms - call.at_ms) < RATE_WINDOW_MS]
    late = sum(not call.ok for call in recent)
    return len(recent) >= RATE_SAMPLE_MIN and late >= RATE_MAX * len(recent)
