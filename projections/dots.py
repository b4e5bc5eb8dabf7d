"""Dots: which events of each producer's life a partition has given us.

An origin numbers its events 1, 2, 3 ... per partition, so a reader tells a repeat (a number it has had) from a loss
(a hole before it) without asking anybody. What is missing is remembered as ranges: should the missing event come late,
it is admitted then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

#: Half-open ranges [low, high) of numbers.
Ranges = tuple[tuple[int, int], ...]

# An origin that has left more gaps than this is not losing events but misnumbering them; the oldest gaps are given up.
HOLES_MAX = 1_000


@dataclass(slots=True)
class Origin:
    """What has been had of one origin in one partition."""

    last: int = 0
    holes: Ranges = ()
    duplicates: int = 0

    @property
    def missing(self) -> int:
        """How many events are missing below the last."""
        return sum(high - low for low, high in self.holes)

    def admit(self, sequence: int) -> bool:
        """Whether this event is new; remembers it."""
        if sequence == self.last + 1:
            self.last = sequence
            return True
        if sequence > self.last:
            self.holes = (*self.holes, (self.last + 1, sequence))[-HOLES_MAX:]
            self.last = sequence
            return True
        for index, (low, high) in enumerate(self.holes):
            if low <= sequence < high:
                filled = [span for span in ((low, sequence), (sequence + 1, high)) if span[0] < span[1]]
                self.holes = (*self.holes[:index], *filled, *self.holes[index + 1 :])
                return True
        self.duplicates += 1
        return False


@dataclass(slots=True)
class Dots:
    """The dots of one partition, by origin."""

    origins: dict[str, Origin] = field(default_factory=dict)

    def admit(self, origin: str, sequence: int) -> bool:
        """Whether this event is new; remembers it."""
        known = self.origins.get(origin)
        if known is None:
            known = self.origins[origin] = Origin()
        return known.admit(sequence)

    def admit_run(self, origin: str, sequences: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of one origin's events, in the order of the log, are new. Shape (n,) in, (n,) out."""
        count = len(sequences)
        if count == 0:
            return np.ones(0, dtype=bool)
        known = self.origins.setdefault(origin, Origin())
        dense = int(sequences[0]) == known.last + 1 and int(sequences[-1]) == known.last + count
        if dense and bool(np.all(sequences[1:] == sequences[:-1] + np.uint64(1))):
            known.last += count
            return np.ones(count, dtype=bool)
        return np.fromiter((known.admit(int(sequence)) for sequence in sequences), dtype=bool, count=count)

    def copy(self) -> Dots:
        """Dots of the same origins that change apart from these."""
        return Dots({name: replace(origin) for name, origin in self.origins.items()})

    def changed_since(self, before: Dots) -> dict[str, Origin]:
        """The origins that differ from an earlier copy, as they are now."""
        return {name: replace(now) for name, now in self.origins.items() if before.origins.get(name) != now}

    @property
    def missing(self) -> int:
        """How many events are missing, of all origins."""
        return sum(origin.missing for origin in self.origins.values())

    @property
    def duplicates(self) -> int:
        """How many repeats were dropped, of all origins."""
        return sum(origin.duplicates for origin in self.origins.values())
