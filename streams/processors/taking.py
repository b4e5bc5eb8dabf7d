"""Taking up a poll: from raw records to deltas, dots and dead letters, without touching a server.

Two ways give the same result. A large poll is decoded into columns in one native call and folded by group-by; a small
one, or one that holds anything odd, is taken up event by event in Python, which isolates what cannot be used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from faust.types import TP

from projections.decoding import Decoder
from projections.dots import Dots
from projections.fold import Deltas, Fold
from schemas import Event, PermanentError, fact_of
from schemas.stamps import COUNTER_BITS, time_ms
from streams.dead_letters import DeadLetter
from streams.positions import Move, Position
from streams.processors.screening import admit, check_known, check_shapes, check_stamps, usable
from streams.records import Records

# Columns cost some 8 ms to start; below this many events Python is quicker (measured: they meet near 1,300).
COLUMNS_EVENTS_MIN = 1_500


@dataclass(slots=True)
class Taken:
    """What one poll comes to: all that one transaction stores."""

    deltas: Deltas
    moves: list[Move] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    #: The records that the deltas were folded from, to fold again one by one should the store refuse them.
    records: dict[TP, Sequence[Any]] = field(default_factory=dict)
    #: When each event was stamped, in Unix milliseconds. Shape (events,).
    stamped_ms: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    duplicates: int = 0

    @property
    def events(self) -> int:
        """How many events the deltas were folded from."""
        return sum(move.events for move in self.moves)


@dataclass(slots=True)
class _Share:
    """One partition's records that are still to be taken up."""

    tp: TP
    position: Position
    records: Sequence[Any]
    dots: Dots
    high: int
    events: int = 0
    stamp: int = 0

    def move(self) -> Move:
        changed = self.dots.changed_since(self.position.dots)
        low, high = self.position.reading, self.high
        return Move(self.tp, self.position.epoch, low, high, self.events, self.stamp, changed)

    def settle(self) -> None:
        self.position.dots = self.dots
        self.position.reading = self.high


class Taking:
    """Takes up polls for a set of projections; holds no state but theirs to compile."""

    def __init__(
        self, fold: Fold, decoder: Decoder, role: str, *, columns_events_min: int = COLUMNS_EVENTS_MIN
    ) -> None:
        self._columns_events_min = columns_events_min
        self._fold = fold
        self._decoder = decoder
        self._role = role

    def take(self, records: Mapping[TP, Records], positions: Mapping[TP, Position]) -> Taken | None:
        """Take up a poll and step the positions over it; None when all of it has been taken up before."""
        found = (_share(tp, batch, positions[tp]) for tp, batch in records.items())
        shares = [share for share in found if share.high > share.position.reading]
        if not shares:
            return None
        total = sum(len(share.records) for share in shares)
        if total >= self._columns_events_min:
            try:
                return _settled(self._by_columns(shares), shares)
            except Exception:
                # Whatever it was, event by event finds the records to blame and folds their neighbours.
                shares = [_share(one.tp, records[one.tp], one.position) for one in shares]
        return _settled(self._by_event(shares), shares)

    def _by_columns(self, shares: list[_Share]) -> Taken:
        frame = self._decoder.columns([record.value for share in shares for record in share.records])
        check_known(frame["known"].to_numpy())
        check_shapes(frame)
        stamps, sequences = frame["stamp"].to_numpy(), frame["sequence"].to_numpy()
        admitted = np.ones(frame.height, dtype=bool)
        kept: dict[TP, Sequence[Any]] = {}
        start = 0
        for share in shares:
            part = slice(start, start + len(share.records))
            start = part.stop
            check_stamps(stamps[part], share.records)
            new = admit(share.dots, frame["origin"][part.start : part.stop], sequences[part])
            share.events = int(new.sum())
            share.stamp = int(stamps[part][new].max(initial=0))
            whole = share.events == len(new)
            kept[share.tp] = share.records if whole else [r for r, one in zip(share.records, new, strict=True) if one]
            admitted[part] = new
        duplicates = int((~admitted).sum())
        if duplicates:
            frame, stamps = frame.filter(admitted), stamps[admitted]
        stamped_ms = (stamps >> np.uint64(COUNTER_BITS)).astype(np.int64)
        return Taken(self._fold.columns(frame), records=kept, stamped_ms=stamped_ms, duplicates=duplicates)

    def _by_event(self, shares: list[_Share]) -> Taken:
        dead: list[DeadLetter] = []
        kept: list[tuple[Any, Event, _Share]] = []
        duplicates = 0
        for share in shares:
            for record in share.records:
                try:
                    event = self._usable(record)
                except PermanentError as error:
                    dead.append(DeadLetter.of(record, share.tp, self._role, error.reason, error))
                    continue
                if share.dots.admit(event.origin, event.sequence):
                    kept.append((record, event, share))
                else:
                    duplicates += 1
        kept, deltas = self._folded(kept, dead)
        good: dict[TP, list[Any]] = {share.tp: [] for share in shares}
        for record, event, share in kept:
            good[share.tp].append(record)
            share.events += 1
            share.stamp = max(share.stamp, event.stamp)
        stamped_ms = np.fromiter((time_ms(event.stamp) for _, event, _ in kept), dtype=np.int64, count=len(kept))
        return Taken(deltas, dead=dead, records={**good}, stamped_ms=stamped_ms, duplicates=duplicates)

    def _usable(self, record: Any) -> Event:
        event = usable(record)
        fact_of(event)
        self._fold.check(event)
        return event

    def _folded(
        self, kept: list[tuple[Any, Event, _Share]], dead: list[DeadLetter]
    ) -> tuple[list[tuple[Any, Event, _Share]], Deltas]:
        try:
            return kept, self._fold.events([event for _, event, _ in kept])
        except Exception:
            good = []
            for record, event, share in kept:
                try:
                    self._fold.events([event])
                except Exception as error:
                    dead.append(DeadLetter.of(record, share.tp, self._role, "fold_failed", error))
                else:
                    good.append((record, event, share))
            return good, self._fold.events([event for _, event, _ in good])


def _settled(taken: Taken, shares: list[_Share]) -> Taken:
    taken.moves = [share.move() for share in shares]
    for share in shares:
        share.settle()
    return taken


def _share(tp: TP, records: Records, position: Position) -> _Share:
    # After a seek back, what is already being stored comes again.
    if not isinstance(records, Records):
        records = Records.of(records) if records else Records.of([], position.reading)
    return _Share(tp, position, list(records.since(position.reading)), position.dots.copy(), records.high)
