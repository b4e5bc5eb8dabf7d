"""The event: a fact in its envelope, and the facts by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from schemas.errors import UndecodableEvent, UnknownFact
from schemas.gen.norn.v1.event_pb2 import Event

_ONEOF = Event.DESCRIPTOR.oneofs_by_name["fact"]

#: Every fact by its name in the oneof: the table of contents of the log.
FACTS: Mapping[str, type[Message]] = {
    field.name: GetMessageClass(field.message_type) for field in _ONEOF.fields if field.message_type is not None
}
#: The numbers that facts have in Event.
FACT_NUMBERS = frozenset(field.number for field in _ONEOF.fields)
_NAMES: Mapping[str, str] = {fact.DESCRIPTOR.full_name: name for name, fact in FACTS.items()}

#: Derived ids (a decision's, say) are hashed under this namespace, so that they meet nobody else's.
NAMESPACE = uuid.UUID("6e6f726e-0000-8000-8000-6e6f726e6e6f")


def fact_name(fact: Message | type[Message]) -> str:
    """The fact's name in Event's oneof. Raises UnknownFact for any other message."""
    name = _NAMES.get(fact.DESCRIPTOR.full_name)
    if name is None:
        raise UnknownFact(f"{fact.DESCRIPTOR.full_name} is not a fact: add it to the oneof in norn/v1/event.proto")
    return name


def fact_of(event: Event) -> Message:
    """The fact that an event holds. Raises UnknownFact when it holds none that this version knows."""
    name = event.WhichOneof("fact")
    if name is None:
        raise UnknownFact(f"event {event.id.hex()} of {event.origin} holds no fact that this version of Norn knows")
    fact: Message = getattr(event, name)
    return fact


def decode(value: bytes) -> Event:
    """Read an event from the bytes of a record. Raises UndecodableEvent."""
    try:
        return Event.FromString(value)
    except DecodeError as error:
        raise UndecodableEvent(f"{len(value)} bytes that are not an Event: {error}") from None


def unknown_facts(value: bytes) -> tuple[int, ...]:
    """The numbers of fields of an event that this version does not know: the facts of a newer one."""
    fields: Iterable[Any] = UnknownFieldSet(decode(value))  # type: ignore[assignment]  # its stub lacks __iter__
    return tuple(sorted({field.field_number for field in fields}))


def event_id(time_ms: int, random: bytes) -> bytes:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 of the first 10 bytes of `random`."""
    number = time_ms << 80 | int.from_bytes(random[:10], "big")
    number &= ~(0xF << 76 | 0x3 << 62)
    return (number | 0x7 << 76 | 0x2 << 62).to_bytes(16, "big")


def derived_id(*parts: str) -> str:
    """The same id for the same parts, everywhere and always."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(parts)))
