"""Limits: how often something may happen, by key. A function of the times it is given."""

from __future__ import annotations

from collections.abc import Iterable

# Past this many keys, those that have long been quiet are forgotten: they would be let in anyway.
KEYS_MAX = 100_000


class Limit:
    """At most `count` in `window_s`, evenly over time; a whole `count` at once after a quiet window.

    More than is left may be spent in one go, and is then waited for: what was taken together need not be torn apart,
    and over time no more than the limit gets in. A count of 0 is no limit.
    """

    def __init__(self, count: int, window_s: float) -> None:
        self._window_s = window_s if count else 0.0
        self._interval_s = window_s / count if count else 0.0
        # When each key will have its whole count again (GCRA's theoretical arrival time).
        self._whole_at_s: dict[str, float] = {}

    def wait_s(self, key: str, now_s: float) -> float:
        """How long until the next may come; 0 is now."""
        return max(0.0, self._whole_at_s.get(key, now_s) - now_s - (self._window_s - self._interval_s))

    def spend(self, key: str, count: int, now_s: float) -> None:
        """So many have come."""
        if not self._interval_s:
            return
        if len(self._whole_at_s) >= KEYS_MAX:
            self._whole_at_s = {key: at for key, at in self._whole_at_s.items() if at > now_s}
        self._whole_at_s[key] = max(now_s, self._whole_at_s.get(key, now_s)) + count * self._interval_s

    def waits_s(self, keys: Iterable[str], now_s: float) -> dict[str, float]:
        """Those keys that must wait, and how long."""
        waits = {key: self.wait_s(key, now_s) for key in keys}
        return {key: wait for key, wait in waits.items() if wait > 0}
