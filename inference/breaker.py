"""Both breakers of models and their services (spec C.2 names two, and both are kept): the second is schemas' own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from schemas.breaker import RUN_MAX, RUN_OPEN_MS, Breaker, Permit, RunBreaker, State, Tripping

__all__ = [
    "RATE_MAX",
    "RATE_OPEN_MS",
    "RATE_SAMPLE_MAX",
    "RATE_SAMPLE_MIN",
    "RATE_WINDOW_MS",
    "RUN_MAX",
    "RUN_OPEN_MS",
    "Breaker",
    "Permit",
    "RateBreaker",
    "RunBreaker",
    "State",
]

#: Spec C.2: a model's breaker opens when half of its calls fail, for 30 s.
RATE_MAX = 0.5
RATE_OPEN_MS = 30_000
# The spec names neither. Of fewer calls than these a half says nothing; and as many failures in a row shall open it.
RATE_SAMPLE_MIN = 5
# As long as it stays open: what is older says nothing about how things are now.
RATE_WINDOW_MS = 30_000
# A window that holds this many calls tells the rate to within 2 %; more would only cost memory.
RATE_SAMPLE_MAX = 1_000


@dataclass
class RateBreaker(Tripping):
    """Opens when `rate_max` of the calls within the window have failed, and they are at least `sample_min`."""

    open_ms: int = RATE_OPEN_MS
    rate_max: float = RATE_MAX
    window_ms: int = RATE_WINDOW_MS
    sample_min: int = RATE_SAMPLE_MIN
    _calls: deque[tuple[int, bool]] = field(default_factory=deque)
    _failed: int = 0

    def _too_many(self, now_ms: int, ok: bool) -> bool:
        self._calls.append((now_ms, ok))
        self._failed += not ok
        while len(self._calls) > RATE_SAMPLE_MAX or abs(now_ms - self._calls[0][0]) >= self.window_ms:
            self._failed -= not self._calls.popleft()[1]
        enough = len(self._calls) >= self.sample_min
        return not ok and enough and self._failed >= self.rate_max * len(self._calls)

    def _forget(self) -> None:
        self._calls.clear()
        self._failed = 0
