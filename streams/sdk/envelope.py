"""Facts into envelopes: what may be written is checked here, then encoded by hand where that is quicker.

Concatenated protobuf messages are one merged message, so an event is the bytes of its envelope followed by the bytes of
its fact as one more field: the fact is encoded once and never copied into the envelope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from schemas import FACTS, DecisionRequested, Event, check_decision_request, check_subject, event_id
from schemas.limits import FACT_BYTES_MAX, FACT_LIMITS, check_links, check_size
from schemas.stamps import COUNTER_BITS, HybridClock

__all__ = ["FACT_BYTES_MAX", "SHAPES", "Envelopes", "Shape", "check_links", "subject_key"]

_RANDOM_BYTES = 10
# One call of the system's random source serves this many ids.
_IDS_A_DRAW = 1024
_LENGTH_DELIMITED = 2


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_SIZES = tuple(map(_varint, range(FACT_BYTES_MAX + 1)))


class Shape:
    """One kind of fact: how it is checked and how it is encoded as a field of Event."""

    __slots__ = ("_check", "_tag", "name")

    def __init__(self, name: str) -> None:
        field = Event.DESCRIPTOR.fields_by_name[name]
        self.name = name
        self._tag = _varint(field.number << 3 | _LENGTH_DELIMITED)
        self._check = _check_request if FACTS[name] is DecisionRequested else FACT_LIMITS[name].check

    def encode(self, fact: Message) -> bytes:
        """The fact as a field of Event. Raises EventRefused for one that is over a limit of schemas/limits.py."""
        self._check(fact)
        body = fact.SerializeToString()
        size = len(body)
        if size > FACT_BYTES_MAX:
            check_size(self.name, size)
        return self._tag + _SIZES[size] + body


def _check_request(fact: Message) -> None:
    assert isinstance(fact, DecisionRequested)
    FACT_LIMITS["decision_requested"].check(fact)
    check_decision_request(fact)


#: How each kind of fact is checked and encoded.
SHAPES: Mapping[type[Message], Shape] = {kind: Shape(name) for name, kind in FACTS.items()}


def subject_key(subject: str) -> bytes:
    """The record key of a subject. Raises EventRefused for one that is no text, empty or too long, or has a NUL."""
    check_subject(subject)
    return subject.encode()


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
