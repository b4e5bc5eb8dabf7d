"""Screening: which records of the log may be used, and why the others may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faust.types import TP

from projections.decoding import Decoder
from projections.dots import Dots
from schemas import FACTS, Event, FutureStamp, PermanentError, UndecodableEvent, decode
from schemas.stamps import FUTURE_LIMIT_MS, time_ms
from schemas.upcasts import UPCASTS, upcast
from streams.dead_letters import DeadLetter


@dataclass(slots=True)
class Screened:
    """What came of some records: those usable and new, those not usable, the dots after them, the latest stamp."""

    kept: list[Any]
    dead: list[DeadLetter]
    dots: Dots
    stamp: int
    #: The facts among them.
    facts: frozenset[str]


class Odd(Exception):
    """The records hold something that only going through them one by one can isolate."""


def usable(record: Any) -> Event:
    """The event of a record. Raises UndecodableEvent or FutureStamp."""
    if record.value is None:
        raise UndecodableEvent("a record without a value")
    event = upcast(decode(record.value))
    ahead_ms = time_ms(event.stamp) - record.timestamp
    if ahead_ms > FUTURE_LIMIT_MS:
        raise FutureStamp(f"stamped {ahead_ms / 1000:.0f} s after it was appended; set the clock of {event.origin!r}")
    return event


def check_known(known: npt.NDArray[np.bool_]) -> None:
    """Raise Odd when a record holds no fact that this version knows."""
    if not known.all():
        raise Odd("an unknown fact")


def check_shapes(frame: Any) -> None:
    """Raise Odd when a record may hold a fact of an older shape, which only going one by one brings up to date."""
    for fact in UPCASTS:
        if fact not in frame.columns or frame[fact].null_count() < frame.height:
            raise Odd(f"{fact} has an older shape")


def check_stamps(stamps: npt.NDArray[np.uint64], records: Sequence[Any]) -> None:
    """Raise Odd when one of a partition's records may be stamped in the future.

    Append times do not go back within a partition, so the first record's bounds them all from below.
    """
    if time_ms(int(stamps.max())) > records[0].timestamp + FUTURE_LIMIT_MS:
        raise Odd("a stamp from the future")


def admit(dots: Dots, origins: Any, sequences: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which events of one partition, in the order of the log, are new. A Polars series and an array of shape (n,)."""
    first = origins[0]
    if bool((origins == first).all()):
        return dots.admit_run(first, sequences)
    admitted = np.ones(len(sequences), dtype=bool)
    for origin in origins.unique():
        mine = (origins == origin).to_numpy()
        admitted[mine] = dots.admit_run(origin, sequences[mine])
    return admitted


def screen(records: Sequence[Any], tp: TP, dots: Dots, decoder: Decoder, role: str) -> Screened:
    """Go through the records of one partition.

    A fact that this version does not know is usable here: what does not look into facts can keep it.
    """
    after = dots.copy()
    try:
        decoded = decoder.decode([record.value for record in records])
        frame = decoded.frame
        stamps = frame["stamp"].to_numpy()
        check_stamps(stamps, records)
        new = admit(after, frame["origin"], frame["sequence"].to_numpy())
    except Exception:
        # Whatever it was, one by one finds the records to blame.
        return _screen_each(records, tp, dots.copy(), role)
    kept = list(records) if new.all() else [record for record, is_new in zip(records, new, strict=True) if is_new]
    return Screened(kept, [], after, int(stamps[new].max(initial=0)), decoded.facts)


def _screen_each(records: Sequence[Any], tp: TP, dots: Dots, role: str) -> Screened:
    found = Screened([], [], dots, 0, frozenset(FACTS))
    for record in records:
        try:
            event = usable(record)
        except PermanentError as error:
            found.dead.append(DeadLetter.of(record, tp, role, error.reason, error))
        else:
            if dots.admit(event.origin, event.sequence):
                found.kept.append(record)
                found.stamp = max(found.stamp, event.stamp)
    return found
