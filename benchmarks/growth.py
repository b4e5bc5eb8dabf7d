"""What does an event cost once there is much more of everything? All projections, by one group that lives on.

The same 10,000 subjects are active in each measurement. Between the first and the second the log the group has read
grows tenfold, and with it the lives of producers; between the second and the third, the subjects that are stored.
"""

from __future__ import annotations

from typing import Any

from benchmarks.filling import TOPIC, fill, fill_lives
from benchmarks.ground import Ground, rate
from projections import PROJECTIONS
from projections.projection import tables

ACTIVE_SUBJECTS, STORED_SUBJECTS = 10_000, 100_000
HISTORY_EVENTS, LIVES = 200_000, 1_000
TIMES = 10
# Ten transactions of a busy worker: fewer tell chance more than cost.
MEASURED_EVENTS = 600_000
STORED_EVENTS = 300_000
ALL_EVENTS = 1_000_000

_GROUP = "bench-growth"


def measure(ground: Ground) -> dict[str, Any]:
    """The growth of an event's cost, and the rate of all projections over 100,000 subjects.

    The group is put behind what the topic holds already, over empty tables.
    """
    ground.sql("truncate " + ", ".join(table.by_region for table in tables(PROJECTIONS)))
    folded = _Folded(ground)
    folded.more(fill_lives(ground, HISTORY_EVENTS, ACTIVE_SUBJECTS, LIVES))
    young = folded.more(fill(ground, MEASURED_EVENTS, ACTIVE_SUBJECTS))
    older = TIMES * HISTORY_EVENTS - folded.events
    folded.more(fill_lives(ground, older, ACTIVE_SUBJECTS, TIMES * LIVES))
    old = folded.more(fill(ground, MEASURED_EVENTS, ACTIVE_SUBJECTS))
    folded.more(fill(ground, STORED_EVENTS, STORED_SUBJECTS))
    crowded = folded.more(fill(ground, MEASURED_EVENTS, ACTIVE_SUBJECTS))
    everything = folded.more(fill(ground, ALL_EVENTS, STORED_SUBJECTS))
    return {
        "all_projections_per_s": round(everything),
        "growth": {"subjects_x10": round(old / crowded, 2), "history_x10": round(young / old, 2)},
        "growth_events_per_s": {"young": round(young), "old": round(old), "crowded": round(crowded)},
    }


class _Folded:
    """The group, and how many events it has folded."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.events = 0
        ground.stand_at_end(_GROUP, TOPIC)

    def more(self, count: int) -> float:
        """Fold what was written since; gives events a second, from the first transaction to the last."""
        self._ground.say(f"folding {count:,} events into all projections")
        before, self.events = self.events, self.events + count
        with self._ground.worker("fold", _GROUP):
            return rate(self._ground.watch(_GROUP, self.events, since=before))
