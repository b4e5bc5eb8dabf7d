"""The shell's clock, passed to whatever needs the time."""

from __future__ import annotations

import time


class Clock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that never go back, for measuring durations."""
        return time.monotonic()
