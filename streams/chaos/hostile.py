"""A hostile log: what anybody may write to it, each kind of it, and ordinary events between. A seed gives the same log.

A number that is skipped comes late, at the end, so that no hole is left which the log did not have. What is aborted
uses numbers that are committed elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from schemas import TOPICS, Event, Topic
from schemas.limits import FACT_BYTES_MAX, ID_BYTES, ORIGIN_BYTES_MAX, SEQUENCE_MAX, SUBJECT_BYTES_MAX
from schemas.stamps import FUTURE_LIMIT_MS, pack

#: How many records are written at once, so that a transaction holds several.
BATCH_RECORDS = 20
ORIGINS = 8
#: Far more than a fact may hold, and less than a broker refuses.
HUGE_BYTES = 12 * FACT_BYTES_MAX
#: Shares of batches in transactions that commit, and that abort.
COMMITTED, ABORTED = 0.2, 0.1
INTEGERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**42, 2**62, 2**63 - 1, -(2**63), 2**64 - 1)
TEXTS = ("", "x", "\0", "é" * 300, "z" * 5_000, "{", "null", "hero", "rule", "approved", "' or 1=1 --")
FLOATS = (0.0, -1.0, 1e308, float("inf"), float("nan"))
#: A field of the envelope that no version has yet: a fact of a newer one.
NEWER_FACT = b"\xfa\xff\x07\x02\x08\x01"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition: the kind and the value of each, and how their transaction ends; None without one."""

    topic: str
    partition: int
    records: tuple[tuple[str, bytes | None], ...]
    commits: bool | None = None


@dataclass
class _Writer:
    drawn: random.Random
    now_ms: int
    numbers: dict[tuple[str, int, str], int] = field(default_factory=dict)
    skipped: list[tuple[Topic, int, str, int]] = field(default_factory=list)
    had: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)

    def next(self, topic: Topic, partition: int) -> tuple[str, int]:
        origin = f"hostile-{self.drawn.randrange(ORIGINS)}"
        key = (topic.name, partition, origin)
        number = self.numbers.get(key, 0) + 1
        if self.drawn.random() < 0.05:
            self.skipped.append((topic, partition, origin, number))
            number += 1
        self.numbers[key] = number
        return origin, number

    def event(self, topic: Topic, origin: str, sequence: int) -> Event:
        """An event of the topic's; its fact holds nothing yet, which is valid or not as the fact has it."""
        found = Event(
            id=self.drawn.randbytes(ID_BYTES),
            subject=f"p{self.drawn.randrange(100)}",
            stamp=pack(self.now_ms),
            region="local",
            origin=origin,
            sequence=sequence,
        )
        getattr(found, self.drawn.choice(topic.facts)).SetInParent()
        return found


def _nonsense(event: Event, writer: _Writer) -> None:
    fact = getattr(event, event.WhichOneof("fact") or "")
    for each in fact.DESCRIPTOR.fields:
        if not each.is_repeated and writer.drawn.random() < 0.5:
            _fill(fact, each, writer.drawn)


def _fill(message: Any, each: FieldDescriptor, drawn: random.Random) -> None:
    values: Mapping[int, tuple[Any, ...]] = {
        FieldDescriptor.CPPTYPE_STRING: TEXTS if each.type == FieldDescriptor.TYPE_STRING else (b"", b"\xff" * 20),
        FieldDescriptor.CPPTYPE_DOUBLE: FLOATS,
        FieldDescriptor.CPPTYPE_FLOAT: FLOATS,
        FieldDescriptor.CPPTYPE_BOOL: (True, False),
        FieldDescriptor.CPPTYPE_ENUM: (0, 1, 99),
    }
    if each.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        getattr(message, each.name).SetInParent()
        return
    try:
        setattr(message, each.name, drawn.choice(values.get(each.cpp_type, INTEGERS)))
    except ValueError:
        # Out of the field's range: it stays as it is.
        return


def _foreign(event: Event, writer: _Writer) -> None:
    own = event.WhichOneof("fact") or ""
    others = [name for topic in TOPICS.values() if own not in topic.facts for name in topic.facts]
    getattr(event, writer.drawn.choice(others)).SetInParent()


def _set(**values: Any) -> Callable[[Event, _Writer], None]:
    def change(event: Event, writer: _Writer) -> None:
        for name, value in values.items():
            setattr(event, name, value)

    return change


def _future(event: Event, writer: _Writer) -> None:
    event.stamp = pack(writer.now_ms + 10 * FUTURE_LIMIT_MS + 86_400_000)


def _no_fact(event: Event, writer: _Writer) -> None:
    event.ClearField("fact")


#: Kinds whose dot is in order, so that it is had whatever becomes of the rest.
WITH_DOT: Mapping[str, Callable[[Event, _Writer], None]] = {
    "plain": lambda event, writer: None,
    "nonsense": _nonsense,
    "foreign": _foreign,
    "future": _future,
    "stamp 0": _set(stamp=0),
    "stamp max": _set(stamp=2**64 - 1),
    "no fact": _no_fact,
    "no id": _set(id=b""),
    "long id": _set(id=b"\1" * 5_000),
    "no subject": _set(subject=""),
    "subject at its bound": _set(subject="s" * SUBJECT_BYTES_MAX),
    "long subject": _set(subject="s" * 5_000),
    "subject with NUL": _set(subject="a\0b"),
    "long region": _set(region="r" * 5_000),
    "huge": _set(trace="t" * HUGE_BYTES),
}
#: Kinds without a dot that anybody could remember.
WITHOUT_DOT: Mapping[str, Callable[[Event], bytes | None]] = {
    "tombstone": lambda event: None,
    "empty": lambda event: b"",
    "random": lambda event: b"\xff\xff" + event.id,
    # Its last field says that it is longer than what is there.
    "truncated": lambda event: event.SerializeToString() + b"\x0a\x7f",
    "invalid UTF-8": lambda event: event.SerializeToString() + b"\x12\x02\xff\xfe",
    "wrong type": lambda event: event.SerializeToString() + b"\x0a\x80",
    "sequence 0": lambda event: _dot(event, "hostile-0", 0),
    "sequence beyond": lambda event: _dot(event, "hostile-0", SEQUENCE_MAX + 1),
    "sequence 2^63": lambda event: _dot(event, "hostile-0", 2**63),
    "sequence 2^64-1": lambda event: _dot(event, "hostile-0", 2**64 - 1),
    "no origin": lambda event: _dot(event, "", 1),
    "origin with NUL": lambda event: _dot(event, "a\0b", 1),
    "origin beyond": lambda event: _dot(event, "o" * (ORIGIN_BYTES_MAX + 1), 1),
    "long origin": lambda event: _dot(event, "o" * 5_000, 1),
}
KINDS = (*WITH_DOT, *WITHOUT_DOT, "repeat", "newer fact")


def _dot(event: Event, origin: str, sequence: int) -> bytes:
    event.origin, event.sequence = origin, sequence
    return event.SerializeToString()


def hostile(records: int, seed: int, now_ms: int) -> Iterator[Batch]:
    """Batches of at least so many committed records over every partition of every topic; the same for the same seed."""
    writer = _Writer(random.Random(seed), now_ms)
    places = [(topic, n) for topic in TOPICS.values() for n in range(topic.partitions)]
    committed = 0
    while committed < records:
        topic, partition = writer.drawn.choice(places)
        chance = writer.drawn.random()
        if chance < ABORTED:
            aborted = tuple(("aborted", _valid(writer, topic, "hostile-0", n + 1)) for n in range(BATCH_RECORDS))
            yield Batch(topic.name, partition, aborted, commits=False)
            continue
        count = min(BATCH_RECORDS, records - committed)
        made = tuple(_record(writer, topic, partition) for _ in range(count))
        committed += count
        yield Batch(topic.name, partition, made, commits=True if chance < ABORTED + COMMITTED else None)
    for topic, partition, origin, number in writer.skipped:
        yield Batch(topic.name, partition, (("late", _valid(writer, topic, origin, number)),))


def _valid(writer: _Writer, topic: Topic, origin: str, sequence: int) -> bytes:
    return writer.event(topic, origin, sequence).SerializeToString()


def _record(writer: _Writer, topic: Topic, partition: int) -> tuple[str, bytes | None]:
    kind = writer.drawn.choice(KINDS)
    had = writer.had.setdefault((topic.name, partition), [])
    if kind == "repeat" and had:
        return kind, writer.drawn.choice(had)
    if kind in WITHOUT_DOT:
        return kind, WITHOUT_DOT[kind](writer.event(topic, "hostile-0", 1))
    event = writer.event(topic, *writer.next(topic, partition))
    if kind == "newer fact":
        event.ClearField("fact")
        value = event.SerializeToString() + NEWER_FACT
    else:
        kind = "plain" if kind == "repeat" else kind
        WITH_DOT[kind](event, writer)
        value = event.SerializeToString()
    had.append(value)
    return kind, value
