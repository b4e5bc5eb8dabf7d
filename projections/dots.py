"""Dots: which events of each producer's life a partition has given us.

An origin numbers its events 1, 2, 3 ... per partition, so a reader tells a repeat (a number it has had) from a loss
(a hole before it) without asking anybody. What is missing is remembered as ranges: should the missing event come late,
it is admitted then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from projections.errors import DotUnknown

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
    #: Below this number gaps have been given up: a number there that is in no hole may have been had or not.
    floor: int = 1

    @property
    def missing(self) -> int:
        """How many events are missing below the last."""
        return sum(high - low for low, high in self.holes)

    def unknown(self, sequence: int) -> bool:
        """Whether nobody can tell any more if this event has been had."""
        return sequence < self.floor and not any(low <= sequence < high for low, high in self.holes)

    def admit(self, sequence: int) -> bool:
        """Whether this event is new; remembers it. One that is `unknown` counts as a repeat."""
        if sequence == self.last + 1:
            self.last = sequence
            return True
        if sequence > self.last:
            self._keep_holes((*self.holes, (self.last + 1, sequence)))
            self.last = sequence
            return True
        for index, (low, high) in enumerate(self.holes):
            if low <= sequence < high:
                filled = [span for span in ((low, sequence), (sequence + 1, high)) if span[0] < span[1]]
                self._keep_holes((*self.holes[:index], *filled, *self.holes[index + 1 :]))
                return True
        self.duplicates += 1
        return False

    def _keep_holes(self, holes: Ranges) -> None:
        if len(holes) > HOLES_MAX:
            self.floor = holes[-HOLES_MAX - 1][1]
        self.holes = holes[-HOLES_MAX:]


@dataclass(slots=True)
class Dots:
    """The dots of one partition, by origin, the one heard of last at the end.

    What `begin` gives reads through to these dots and keeps its changes to itself until they are taken over, so that a
    batch costs what its own origins cost, however many there are.
    """

    origins: dict[str, Origin] = field(default_factory=dict)
    base: Dots | None = None

    def begin(self) -> Dots:
        """Dots that begin as these, and whose changes do not show here."""
        return Dots({}, self)

    def known(self, name: str) -> Origin | None:
        """What has been had of an origin; None when nothing has."""
        found = self.origins.get(name)
        return self.base.known(name) if found is None and self.base is not None else found

    def admit(self, origin: str, sequence: int) -> bool:
        """Whether this event is new; remembers it. Raises DotUnknown when nobody can tell any more."""
        known = self._changing(origin)
        if known.unknown(sequence):
            raise DotUnknown(
                f"number {sequence} of {origin!r} is among gaps that were given up, more than {HOLES_MAX} of them: it"
                " may have been had or not"
            )
        return known.admit(sequence)

    def admit_run(self, origin: str, sequences: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of one origin's events, in the order of the log, are new. Shape (n,) in and out. Raises DotUnknown."""
        count = len(sequences)
        if count == 0:
            return np.ones(0, dtype=bool)
        known = self._changing(origin)
        dense = int(sequences[0]) == known.last + 1 and int(sequences[-1]) == known.last + count
        if dense and bool(np.all(sequences[1:] == sequences[:-1] + np.uint64(1))):
            known.last += count
            return np.ones(count, dtype=bool)
        return np.fromiter((self.admit(origin, int(sequence)) for sequence in sequences), dtype=bool, count=count)

    def take_over(self, changed: Dots) -> None:
        """Take over what has changed in dots that began as these."""
        for name, origin in changed.origins.items():
            self.origins.pop(name, None)
            self.origins[name] = origin

    def _changing(self, name: str) -> Origin:
        own = self.origins.get(name)
        if own is None:
            before = self.base.known(name) if self.base is not None else None
            own = self.origins[name] = Origin() if before is None else replace(before)
        return own

    @property
    def missing(self) -> int:
        """How many events are missing, of all origins at hand."""
        return sum(origin.missing for origin in self.origins.values())

    @property
    def duplicates(self) -> int:
        """How many repeats were dropped, of all origins at hand."""
        return sum(origin.duplicates for origin in self.origins.values())
