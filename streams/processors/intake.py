"""Intake: a poll's records become events, decoded, in today's shape, checked, and each once; or dead letters.

Every role takes up the log by this, so all refuse the same. Two ways give the same result. A large poll is decoded into
columns in one native call; a small one, or one that holds anything odd, is gone through record by record in Python,
which isolates what cannot be used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from faust.types import TP

from projections import PROJECTIONS
from projections.decoding import Decoded, Decoder
from projections.projection import Projection
from projections.values import check_value_columns
from schemas import FACTS, TOPICS, Event, PermanentError, Topic
from streams.dead_letters import DeadLetter
from streams.positions import Position, Positions
from streams.processors.record_rules import (
    Places,
    check_columns,
    check_origins,
    check_shapes,
    places_of,
    read_event,
    todays_event,
)
from streams.processors.taken import Admitted, Share, Taken
from streams.records import Record, Records

log = logging.getLogger(__name__)

# Columns cost some 8 ms to start; below this many events Python is quicker (measured: they meet near 1,300).
COLUMNS_EVENTS_MIN = 1_500


class Intake:
    """Takes up polls for one role."""

    def __init__(
        self,
        role: str,
        projections: Sequence[Projection] = PROJECTIONS,
        *,
        topics: Mapping[str, Topic] = TOPICS,
        columns_events_min: int = COLUMNS_EVENTS_MIN,
    ) -> None:
        """`projections`: whose fold is given the frames."""
        self._role = role
        self._projections = projections
        self._decoders: dict[frozenset[str], Decoder] = {}
        self._topics = topics
        self._columns_events_min = columns_events_min

    async def take(self, polled: Mapping[TP, Records], positions: Positions, *, set_aside: bool = True) -> Taken | None:
        """Take up what of a poll was not taken up before; None when there is nothing of it, or its claim is over.

        The positions stay where they are until the result settles. set_aside: take up what an older version set aside
        of these partitions too.
        """
        claim_number = positions.claim_number
        standing = {tp: positions[tp] for tp in polled}
        earlier = {tp: positions.set_aside.pop(tp, []) for tp in polled} if set_aside else {}
        shares = self.shares(polled, standing, earlier)
        if not shares:
            return None
        # A thread's hand-over costs more than few events.
        large = sum(len(share.records) for share in shares) >= self._columns_events_min
        read = await asyncio.to_thread(self.read, shares) if large else self.read(shares)
        await positions.recall(read.origins)
        if claim_number != positions.claim_number:
            return None
        return await asyncio.to_thread(read.admit) if large else read.admit()

    @staticmethod
    def shares(
        polled: Mapping[TP, Records],
        positions: Mapping[TP, Position],
        set_aside: Mapping[TP, Sequence[Record]] = MappingProxyType({}),
    ) -> list[Share]:
        """What of each partition is still to be taken up."""
        shares = [Share.of(tp, records, positions[tp], set_aside.get(tp, ())) for tp, records in polled.items()]
        return [share for share in shares if share.records.low < share.records.high or share.set_aside]

    def read(self, shares: list[Share]) -> Read:
        """Decode a poll's shares; which of their events are new is told once their origins are at hand."""
        few = sum(len(share.records) for share in shares) < self._columns_events_min
        if few or any(share.set_aside for share in shares):
            return self._by_record(shares)
        try:
            return _ByColumns(shares, self._decode(shares), self._topics, self._by_record)
        except Exception as odd:
            # Whatever it was, going record by record finds those to blame and takes up their neighbours.
            log.debug("records are gone through one by one: %s", odd)
            return self._by_record(shares)

    def _decode(self, shares: list[Share]) -> Decoded:
        decoder = self._decoder_of(frozenset(share.tp.topic for share in shares))
        decoded = decoder.decode(pa.concat_arrays([share.records.values for share in shares]))
        check_shapes(decoded.facts)
        check_value_columns(decoded.frame, decoded.facts)
        return decoded

    def _decoder_of(self, topics: frozenset[str]) -> Decoder:
        """The decoder of these topics' facts: the fewer they are, the quicker."""
        if topics not in self._decoders:
            carried = [self._topics[name].facts if name in self._topics else tuple(FACTS) for name in sorted(topics)]
            facts = dict.fromkeys(fact for topic in carried for fact in topic)
            self._decoders[topics] = Decoder(self._projections, tuple(facts))
        return self._decoders[topics]

    def _by_record(self, shares: list[Share]) -> _ByRecord:
        return _ByRecord(shares, self._role, self._topics)


class Read(Protocol):
    """A poll's records, read."""

    @property
    def origins(self) -> Mapping[TP, Collection[str]]:
        """Whose dots it takes to tell which of the events are new."""

    def admit(self) -> Taken:
        """Tell which events are new, and refuse what is not one."""


class _ByColumns:
    """A poll that is decoded and judged as columns. Raises Odd where a record may break a rule."""

    def __init__(
        self,
        shares: list[Share],
        decoded: Decoded,
        topics: Mapping[str, Topic],
        by_record: Callable[[list[Share]], _ByRecord],
    ) -> None:
        self._shares = shares
        self._decoded = decoded
        self._by_record = by_record
        self._parts: list[tuple[slice, Places]] = []
        start = 0
        for share in shares:
            part = slice(start, start + len(share.records))
            self._parts.append((part, self._checked(share, part, topics)))
            start = part.stop
        self.origins = {share.tp: tuple(places) for share, (_, places) in zip(shares, self._parts, strict=True)}

    def _checked(self, share: Share, part: slice, topics: Mapping[str, Topic]) -> Places:
        if part.start == part.stop:
            return {}
        appended_ms = int(share.records.timestamps.min())
        check_columns(self._decoded, part, topics.get(share.tp.topic), appended_ms)
        places = places_of(self._decoded.frame["origin"][part])
        check_origins(places)
        return places

    def admit(self) -> Taken:
        try:
            return self._admit()
        except PermanentError:
            return self._by_record([share.again() for share in self._shares]).admit()

    def _admit(self) -> Taken:
        frame, stamps, sequences = self._decoded.frame, self._decoded.stamps, self._decoded.sequences
        taken = Taken(facts=self._decoded.facts, shares=self._shares)
        admitted = np.ones(frame.height, dtype=bool)
        for share, (part, places) in zip(self._shares, self._parts, strict=True):
            new = _admit_run(share, places, sequences[part], stamps[part])
            admitted[part] = new
            taken.moves.append(share.move(int(new.sum()), int(stamps[part][new].max(initial=0))))
            taken.records[share.tp] = share.records.where(new)
        taken.duplicates = int((~admitted).sum())
        taken.frame = frame.filter(admitted) if taken.duplicates else frame
        taken.stamps = stamps[admitted] if taken.duplicates else stamps
        return taken


def _admit_run(
    share: Share, places: Places, sequences: npt.NDArray[np.uint64], stamps: npt.NDArray[np.uint64]
) -> npt.NDArray[np.bool_]:
    """Which of a partition's events are new, in the order of the log. Raises DotUnknown and LifeForgotten."""
    new = np.ones(len(sequences), dtype=bool)
    for origin, where in places.items():
        mine: Any = slice(None) if where is None else where
        share.check_remembered(origin, int(stamps[mine].min()))
        new[mine] = share.dots.admit_run(origin, sequences[mine])
    return new


class _ByRecord:
    """A poll that is gone through record by record."""

    def __init__(self, shares: list[Share], role: str, topics: Mapping[str, Topic]) -> None:
        self._shares = shares
        self._role = role
        self._topics = topics
        self._events = [[_read(record) for record in share.records] for share in shares]
        self.origins = {
            share.tp: {event.origin for _, event in found if isinstance(event, Event)}
            for share, found in zip(shares, self._events, strict=True)
        }

    def admit(self) -> Taken:
        taken, admitted = Taken(shares=self._shares), []
        for share, records in zip(self._shares, self._events, strict=True):
            earlier = list(self._take_up(share))
            found = earlier + list(self._admit_share(share, records, taken))
            stamp, taken_up = max((one.event.stamp for one in found), default=0), [one.record.offset for one in earlier]
            taken.moves.append(share.move(len(found), stamp, tuple(taken_up)))
            kept = share.records.at([one.record.offset for one in found[len(earlier) :]])
            taken.records[share.tp] = kept.after([one.record for one in earlier])
            admitted += found
        taken.objects = admitted
        taken.facts = frozenset(one.event.WhichOneof("fact") or "" for one in admitted)
        taken.stamps = np.fromiter((one.event.stamp for one in admitted), np.uint64, len(admitted))
        return taken

    def _take_up(self, share: Share) -> Iterator[Admitted]:
        """What had been set aside and can be used now; the rest of it stays a dead letter."""
        for record in share.set_aside:
            with suppress(Exception):
                event = todays_event(read_event(record), record, self._topics.get(share.tp.topic))
                yield share.admitted(record, event)

    def _admit_share(self, share: Share, records: Sequence[_ReadRecord], taken: Taken) -> Iterator[Admitted]:
        topic = self._topics.get(share.tp.topic)
        for record, event in records:
            try:
                if isinstance(event, PermanentError):
                    raise event
                share.check_remembered(event.origin, event.stamp)
                # Also what is refused has been had: its number is no gap, and its repeat is a repeat.
                if not share.dots.admit(event.origin, event.sequence):
                    taken.duplicates += 1
                    continue
                usable = todays_event(event, record, topic)
            except Exception as error:
                taken.dead.append(DeadLetter.of(record, share.tp, self._role, _reason(error), error))
            else:
                yield share.admitted(record, usable)


#: A record and its event, or why it is none.
_ReadRecord = tuple[Record, Event | PermanentError]


def _read(record: Record) -> _ReadRecord:
    try:
        return record, read_event(record)
    except PermanentError as error:
        return record, error


def _reason(error: Exception) -> str:
    if isinstance(error, PermanentError):
        return error.reason
    # A mistake of ours, in an upcast say: the record is kept whole, and the others go on.
    log.error("a record cannot be taken up", exc_info=error)
    return "intake_failed"
