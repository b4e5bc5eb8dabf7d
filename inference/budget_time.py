"""A budget's time: how late it is, by what those who write about it say together, since any one clock may be wrong.

It never goes back, so what a slow clock asks for counts in the hour that it is, and nobody alone moves it far: beyond
what a second writer has said it follows the latest stamp for two minutes and no further. So one clock that leaps a day
ahead neither begins a new day nor ends this one, while two that agree are believed, as after a night without a policy
worker. Of two writers that never agree the slower is believed: its hours are as long as any.

Stamps over 60 s ahead of the brokers' clock do not come here (they are dead letters), so whatever clocks say, a
budget's time is at most that far ahead. It is right to a second as long as two writers' clocks are: the policy
worker's, which ticks, and an asker's.
"""

from __future__ import annotations

from dataclasses import dataclass

# Longer than a reservation is held and its grace, so that what a dead worker held lapses by the ticks alone.
ALONE_MAX_MS = 120_000


@dataclass(frozen=True, slots=True)
class BudgetTime:
    """The time, and the two latest stamps of different writers, the latest first; before the first event it is 0."""

    now_ms: int = 0
    latest: tuple[tuple[str, int], ...] = ()


def heard(time: BudgetTime, writer: str, stamp_ms: int) -> BudgetTime:
    """The time after an event that a writer has stamped; the same object where it says nothing new."""
    if not time.latest:
        return BudgetTime(stamp_ms, ((writer, stamp_ms),))
    said = {**dict(reversed(time.latest))}
    if stamp_ms <= said.get(writer, time.latest[-1][1] if len(time.latest) > 1 else -1):
        return time
    said[writer] = stamp_ms
    latest = tuple(sorted(said.items(), key=lambda one: (-one[1], one[0]))[:2])
    return BudgetTime(_agreed(time.now_ms, latest), latest)


def _agreed(now_ms: int, latest: tuple[tuple[str, int], ...]) -> int:
    first_ms = latest[0][1]
    # Who has nobody beside it is held to its own word.
    second_ms = latest[1][1] if len(latest) > 1 else now_ms
    return max(now_ms, first_ms if first_ms <= second_ms + ALONE_MAX_MS else second_ms)
