"""What a poll comes to before any role acts on it: new events, dead letters, and how far the positions move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from faust.types import TP

from projections.dots import Dots
from schemas import Event, LifeForgotten, decode
from schemas.stamps import COUNTER_BITS
from schemas.upcasts import upcast
from streams.dead_letters import DeadLetter
from streams.positions import Move, Position
from streams.records import Record, Records

# A group that is new to a partition acts on nothing from longer before it came: nobody waits for that any more.
PAST_MATTERING_MS = 10 * 60_000


class Admitted(NamedTuple):
    """An event that is new, and the record that it came by."""

    tp: TP
    record: Record
    event: Event
    #: Whether it was there so long before the group first came that it is to be learned from, not acted on.
    past: bool = False


@dataclass(slots=True)
class Taken:
    """What one poll comes to, whichever role took it up."""

    moves: list[Move] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    #: The records of the events that are new, by partition.
    records: dict[TP, Records] = field(default_factory=dict)
    #: The names of the facts among them.
    facts: frozenset[str] = frozenset()
    #: Their stamps. Shape (events,).
    stamps: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    duplicates: int = 0
    #: The events as columns, where they were decoded so; else as objects.
    frame: Any = None
    objects: Sequence[Admitted] | None = None
    shares: Sequence[Share] = ()

    @property
    def events(self) -> int:
        """How many events are new."""
        return len(self.stamps)

    @property
    def stamped_ms(self) -> npt.NDArray[np.int64]:
        """When each event was stamped, in Unix milliseconds. Shape (events,)."""
        return (self.stamps >> np.uint64(COUNTER_BITS)).astype(np.int64)

    @property
    def admitted(self) -> Sequence[Admitted]:
        """The events as objects, in the order of their records; made when they are first asked for."""
        if self.objects is None:
            self.objects = [
                share.admitted(record, upcast(decode(record.value or b"")))
                for share in self.shares
                for record in self.records[share.tp]
            ]
        return self.objects

    def refuse(self, letters: Sequence[DeadLetter]) -> None:
        """Count these events as dead letters after all, because the role that took them up cannot use them."""
        refused = Counter(TP(letter.topic, letter.partition) for letter in letters)
        self.moves = [replace(move, events=move.events - refused[move.tp]) for move in self.moves]
        self.dead += letters

    def settle(self) -> None:
        """Step the positions over what was taken up. It is to be stored, and is not taken up again."""
        for share, move in zip(self.shares, self.moves, strict=True):
            share.position.settle(move, share.dots)


@dataclass(slots=True)
class Share:
    """One partition's records that are still to be taken up."""

    tp: TP
    position: Position
    records: Records
    dots: Dots
    #: Earlier records that an older version had set aside; their numbers have been had.
    set_aside: Sequence[Record] = ()

    @classmethod
    def of(cls, tp: TP, records: Records, position: Position, set_aside: Sequence[Record] = ()) -> Share:
        """What of a stretch lies beyond the position."""
        # After a seek back, what is already being stored comes again.
        return cls(tp, position, records.since(position.reading), position.dots.begin(), set_aside)

    def again(self) -> Share:
        """The same share with nothing admitted yet."""
        return Share(self.tp, self.position, self.records, self.position.dots.begin(), self.set_aside)

    def move(self, events: int, stamp: int, taken_up: tuple[int, ...] = ()) -> Move:
        """The step over it: how many events were new, their latest stamp, and which had been set aside before."""
        appended_ms = int(self.records.timestamps.max(initial=0))
        low, high, passed = self.records.low, self.records.high, self.records.passed
        origins = self.dots.origins
        return Move(self.tp, self.position.epoch, low, high, events, stamp, origins, passed, appended_ms, taken_up)

    def admitted(self, record: Record, event: Event) -> Admitted:
        """A new event of it."""
        past = record.timestamp < self.position.born_ms - PAST_MATTERING_MS
        return Admitted(self.tp, record, event, past)

    def check_remembered(self, origin: str, stamp: int) -> None:
        """Raise LifeForgotten where an event may be a repeat of one whose number is no longer kept."""
        forgotten = self.position.forgotten_stamp
        if forgotten and stamp <= forgotten and self.dots.known(origin) is None:
            raise LifeForgotten(
                f"{origin!r} is not known, and lives up to this stamp have been forgotten: this may be a repeat"
            )
