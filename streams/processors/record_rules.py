"""The rules by which a record of the log is an event: one set for every role, for one record and for columns of them.

Anybody may write anything to the log. What breaks a rule is refused with a typed error, which names its rule in dead
letters; nothing here stops a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from projections.decoding import Decoded
from projections.values import check_values
from schemas import Event, ForeignFact, FutureStamp, NoDot, Topic, UndecodableEvent, decode, fact_of
from schemas.limits import ORIGIN_BYTES_MAX, SEQUENCE_MAX
from schemas.stamps import FUTURE_LIMIT_MS, time_ms
from schemas.upcasts import UPCASTS, upcast
from streams.records import Record

#: Postgres's bigint, in which stamps are kept; the year 8,325 in milliseconds.
_STAMP_MAX = 2**63 - 1


#: By origin, where a partition's events of it stand, in the order of the log, shape (m,); None where all are its own.
Places = Mapping[str, npt.NDArray[np.uint32] | None]


class Odd(Exception):
    """The records hold something that only going through them one by one can isolate."""


def read_event(record: Record) -> Event:
    """The event of a record, with a dot by which it can be told from a repeat. Raises UndecodableEvent and NoDot."""
    if record.value is None:
        raise UndecodableEvent("a record without a value")
    event = decode(record.value)
    if not 1 <= event.sequence <= SEQUENCE_MAX or not _names_a_life(event.origin):
        raise NoDot(
            f"origin {event.origin[:80]!r} and sequence {event.sequence} are no dot: an event carries the id of its"
            f" producer's life (1 to {ORIGIN_BYTES_MAX} bytes, no NUL) and its number there in this partition, counted"
            f" from 1 (to {SEQUENCE_MAX}), by which a repeat is told from a loss; the SDK's Producer numbers them"
        )
    return event


def todays_event(event: Event, record: Record, topic: Topic | None) -> Event:
    """The event in today's shape, if it may be used. `topic` is that of the table, if the record's is in it.

    Raises FutureStamp, UnknownFact, ForeignFact and Unfoldable.
    """
    ahead_ms = time_ms(event.stamp) - record.timestamp
    if ahead_ms > FUTURE_LIMIT_MS or event.stamp > _STAMP_MAX:
        raise FutureStamp(f"stamped {ahead_ms / 1000:.0f} s after it was appended; set the clock of {event.origin!r}")
    event = upcast(event)
    fact_of(event)
    name = event.WhichOneof("fact")
    if topic is not None and name not in topic.facts:
        raise ForeignFact(f"{name} does not belong to {topic.name}, which carries {', '.join(topic.facts)}")
    check_values(event)
    return event


def check_columns(decoded: Decoded, part: slice, topic: Topic | None, appended_ms: int) -> None:
    """Raise Odd when a record of this part of a batch may break a rule, limits of values aside.

    `appended_ms`: when the first of the records was appended; the others were not before.
    """
    sequences = decoded.sequences[part]
    if int(sequences.min()) < 1 or int(sequences.max()) > SEQUENCE_MAX:
        raise Odd("a sequence that is no number of an event")
    latest = int(decoded.stamps[part].max())
    if time_ms(latest) > appended_ms + FUTURE_LIMIT_MS or latest > _STAMP_MAX:
        raise Odd("a stamp from the future")
    if not decoded.known[part].all():
        raise Odd("an unknown fact")
    # Most polls hold facts of one topic alone; otherwise this partition's own are told apart.
    foreign = topic is not None and not topic_carries(topic, decoded.facts)
    if topic is not None and foreign and not topic_carries(topic, decoded.facts_in(part.start, part.stop)):
        raise Odd("a fact of another topic")


def check_origins(origins: Iterable[str]) -> None:
    """Raise Odd when one of them names no producer's life."""
    for origin in origins:
        if not _names_a_life(origin):
            raise Odd("an origin that names no life")


def check_shapes(facts: Iterable[str], table: Mapping[str, Any] = UPCASTS) -> None:
    """Raise Odd when a fact may have an older shape, which only going one by one brings up to date."""
    if not table.keys().isdisjoint(facts):
        raise Odd("a fact that may have an older shape")


def topic_carries(topic: Topic, facts: Iterable[str]) -> bool:
    """Whether all these facts belong to a topic."""
    return set(topic.facts).issuperset(facts)


def places_of(origins: Any) -> Places:
    """Where each origin of a column of them (a Polars series) stands; one pass, however many origins there are."""
    first = origins[0]
    if bool((origins == first).all()):
        return {first: None}
    named = pl.DataFrame({"origin": origins}).with_row_index("place")
    groups = named.group_by("origin", maintain_order=True).agg("place")
    return {origin: places.to_numpy() for origin, places in zip(groups["origin"], groups["place"], strict=True)}


def _names_a_life(origin: str) -> bool:
    if not origin or "\0" in origin or len(origin) > ORIGIN_BYTES_MAX:
        return False
    return origin.isascii() or len(origin.encode()) <= ORIGIN_BYTES_MAX
