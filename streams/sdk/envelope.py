"""Facts into envelopes: what may be written is checked here, then encoded by hand where that is quicker.

Concatenated protobuf messages are one merged message, so an event is the bytes of its envelope followed by the bytes of
its fact as one more field: the fact is encoded once and never copied into the envelope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from schemas import FACTS, Event, EventRefused, event_id
from schemas.stamps import COUNTER_BITS, HybridClock

#: A fact is refused at 10 KB (spec C.9): what is larger belongs in a store, and its address in the fact.
FACT_BYTES_MAX = 10 * 1024
#: A subject is a key in every table: long enough for any id, short enough for an index.
SUBJECT_BYTES_MAX = 256
#: A W3C traceparent has 55 characters; later versions of it may be longer.
TRACE_BYTES_MAX = 128
ID_BYTES = 16

_RANDOM_BYTES = 10
# One call of the system's random source serves this many ids.
_IDS_A_DRAW = 1024
_LENGTH_DELIMITED = 2
_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_SIZES = tuple(map(_varint, range(FACT_BYTES_MAX + 1)))


def _float_fields(kind: type[Message]) -> tuple[str, ...]:
    fields = kind.DESCRIPTOR.fields
    floats = [field for field in fields if field.cpp_type in _FLOATS]
    unseen = [field.full_name for field in floats if field.is_repeated]
    unseen += [field.full_name for field in fields if field.message_type is not None]
    assert not unseen, f"Shape checks the plain float fields of a fact; teach it to look into {unseen}"
    return tuple(field.name for field in floats)


class Shape:
    """One kind of fact: how it is checked and how it is encoded as a field of Event."""

    __slots__ = ("_floats", "_tag", "name")

    def __init__(self, name: str) -> None:
        field = Event.DESCRIPTOR.fields_by_name[name]
        self.name = name
        self._tag = _varint(field.number << 3 | _LENGTH_DELIMITED)
        self._floats = _float_fields(FACTS[name])

    def encode(self, fact: Message) -> bytes:
        """The fact as a field of Event. Raises EventRefused for one too large and for a number that is not finite."""
        for name in self._floats:
            value = getattr(fact, name)
            if not isfinite(value):
                raise EventRefused(f"{self.name}.{name} is {value}: a fact's numbers are finite")
        body = fact.SerializeToString()
        size = len(body)
        if size > FACT_BYTES_MAX:
            raise EventRefused(
                f"{self.name} of {size} bytes: a fact has at most {FACT_BYTES_MAX}; keep what is large elsewhere and"
                " publish where it is"
            )
        return self._tag + _SIZES[size] + body


#: How each kind of fact is checked and encoded.
SHAPES: Mapping[type[Message], Shape] = {kind: Shape(name) for name, kind in FACTS.items()}


def subject_key(subject: str) -> bytes:
    """The record key of a subject. Raises EventRefused for one that is no text, empty or too long."""
    if not isinstance(subject, str):
        raise EventRefused(f"a subject is a str, not {type(subject).__name__}")
    if not subject:
        raise EventRefused("an event needs a subject: the id of the player or the place it is about")
    try:
        key = subject.encode()
    except UnicodeEncodeError as error:
        raise EventRefused(f"the subject {subject!r} is not Unicode text: {error}") from None
    if len(key) > SUBJECT_BYTES_MAX:
        raise EventRefused(f"a subject has at most {SUBJECT_BYTES_MAX} bytes, not {len(key)}: {subject[:40]!r}...")
    return key


def check_links(cause: bytes, trace: str) -> None:
    """Raises EventRefused unless the cause is an event's id or empty and the trace is a short text or empty."""
    if not isinstance(cause, bytes) or len(cause) not in (0, ID_BYTES):
        raise EventRefused(f"a cause is the id of an event, {ID_BYTES} bytes, not {cause!r}")
    if not isinstance(trace, str) or not trace.isascii() or len(trace) > TRACE_BYTES_MAX:
        raise EventRefused(f"a trace is a W3C traceparent of at most {TRACE_BYTES_MAX} characters, not {trace!r}")


class Envelopes:
    """Gives events their ids and stamps, for one region and one origin. Not thread-safe: the caller holds a lock."""

    def __init__(self, region: str, origin: str, now_ms: Callable[[], int], random: Callable[[int], bytes]) -> None:
        self._clock = HybridClock(now_ms)
        self._draw = random
        self._random = b""
        self._drawn = 0
        self._envelope = Event(region=region, origin=origin)

    def seal(self, field: bytes, subject: str, sequence: int, cause: bytes, trace: str) -> tuple[bytes, bytes]:
        """The id and the bytes of an event that happens now; `field` is what Shape.encode gave."""
        stamp = self._clock.tick()
        drawn = self._drawn
        if drawn == len(self._random):
            self._random = self._draw(_RANDOM_BYTES * _IDS_A_DRAW)
            drawn = 0
        self._drawn = end = drawn + _RANDOM_BYTES
        new_id = event_id(stamp >> COUNTER_BITS, self._random[drawn:end])
        envelope = self._envelope
        envelope.id = new_id
        envelope.subject = subject
        envelope.stamp = stamp
        envelope.sequence = sequence
        if not cause and not trace:
            return new_id, envelope.SerializeToString() + field
        envelope.cause = cause
        envelope.trace = trace
        value = envelope.SerializeToString() + field
        envelope.cause = b""
        envelope.trace = ""
        return new_id, value

    def observe(self, stamp: int) -> None:
        """Stamp what follows later than an event that came from elsewhere."""
        self._clock.observe(stamp)
