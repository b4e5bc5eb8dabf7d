"""Offers: what the body of a dispatch holds, checked one by one, so that a bad event does not fail its neighbours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message

from schemas import TOPICS, DecisionRequested, EventRefused, PermanentError, UnknownFact, fact_name, topic_of
from schemas.gen.norn.v1.bridge_pb2 import DispatchRequest, OfferedEvent
from schemas.partitions import partition_of
from streams.bridge.asking import asked
from streams.sdk.envelope import FACT_BYTES_MAX, SHAPES, check_links, subject_key

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
#: How a body may be written, by its Content-Type.
CONTENT_TYPES = (JSON, PROTOBUF, "application/protobuf")

#: A batch has at most this many events (spec A.12).
BATCH_EVENTS_MAX = 50
#: Each event may have 10 KB (spec C.9, of which I-42 makes a limit per event), and JSON says the same in more bytes.
BODY_BYTES_MAX = 1024 * 1024
#: A name for files, metrics and the origin of events.
CLIENT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
#: What Postgres can count to, less the end of a range.
SEQUENCE_MAX = 2**63 - 2
# Beyond the year 10000 no clock is right, and a stamp has 48 bits for it.
TIME_MS_MAX = 253_402_300_800_000

#: The facts that a game server may produce.
OFFERED = tuple(field.name for field in OfferedEvent.DESCRIPTOR.oneofs_by_name["fact"].fields)

_CLIENT = re.compile(CLIENT_PATTERN)


class Malformed(PermanentError):
    """A body that is no batch at all."""

    reason = "malformed"


class TooLarge(PermanentError):
    """More than one request may bring."""

    reason = "too_large"


class Unnumbered(PermanentError):
    """An event without a number of its own."""

    reason = "unnumbered"


@dataclass(frozen=True, slots=True)
class Offer:
    """An event that may be taken: its place in the batch, and all of its envelope that the bridge does not give it."""

    index: int
    sequence: int
    subject: str
    time_ms: int
    cause: bytes
    trace: str
    topic: str
    partition: int
    key: bytes
    #: The fact as a field of Event; empty for a request.
    field: bytes
    #: The request for a decision, which is made whole when it is taken.
    request: DecisionRequested | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that may not be taken, ever. Its sequence is 0 when it had none that could be read."""

    index: int
    sequence: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one body offers."""

    client: str
    offers: tuple[Offer, ...]
    refusals: tuple[Refusal, ...]


def read(content_type: str, body: bytes) -> Batch:
    """The batch of a body. Raises Malformed and TooLarge."""
    client, entries = _from_json(body) if content_type == JSON else _from_protobuf(body)
    if not isinstance(client, str) or not _CLIENT.fullmatch(client):
        raise Malformed("client is 1 to 64 letters, digits, '.', '_' and '-': one life of your game server's process")
    if not entries:
        raise Malformed(f"events is a list of 1 to {BATCH_EVENTS_MAX} events")
    if len(entries) > BATCH_EVENTS_MAX:
        raise TooLarge(f"a batch has at most {BATCH_EVENTS_MAX} events, not {len(entries)}: send several")
    read_ones = [_read(index, entry) for index, entry in enumerate(entries)]
    return Batch(
        client,
        tuple(one for one in read_ones if isinstance(one, Offer)),
        tuple(one for one in read_ones if isinstance(one, Refusal)),
    )


def _from_protobuf(body: bytes) -> tuple[Any, list[Any]]:
    try:
        request = DispatchRequest.FromString(body)
    except DecodeError as error:
        raise Malformed(f"the body is no norn.v1.DispatchRequest: {error}") from None
    return request.client, list(request.events)


def _from_json(body: bytes) -> tuple[Any, list[Any]]:
    try:
        said = orjson.loads(body)
    except ValueError as error:
        raise Malformed(f"the body is no JSON: {error}") from None
    if not isinstance(said, dict) or not isinstance(said.get("events"), list):
        raise Malformed('the body is an object {"client": "...", "events": [...]}')
    if unknown := sorted(said.keys() - {"client", "events"}):
        raise Malformed(f"a batch has client and events, not {', '.join(unknown)[:200]}")
    return said.get("client"), said["events"]


def _read(index: int, entry: Any) -> Offer | Refusal:
    if isinstance(entry, OfferedEvent):
        event = entry
    else:
        try:
            event = ParseDict(entry, OfferedEvent())
        except (JsonError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            return Refusal(index, _sequence(entry), "malformed", _short(error))
    try:
        return checked(event, index)
    except PermanentError as error:
        sequence = event.sequence if event.sequence <= SEQUENCE_MAX else 0
        return Refusal(index, sequence, error.reason, _short(error))


def checked(event: OfferedEvent, index: int = 0) -> Offer:
    """What an event offers. Raises Unnumbered, UnknownFact, TooLarge, EventRefused, and what `asked` raises."""
    if not 0 < event.sequence <= SEQUENCE_MAX:
        raise Unnumbered(f"an event's sequence is 1 to {SEQUENCE_MAX}, not {event.sequence}")
    name = event.WhichOneof("fact")
    if name is None:
        raise UnknownFact(f"an event holds one of {', '.join(OFFERED)}")
    fact = getattr(event, name)
    if fact.ByteSize() > FACT_BYTES_MAX:
        raise TooLarge(f"a fact has at most {FACT_BYTES_MAX} bytes, not {fact.ByteSize()}")
    if event.time_ms > TIME_MS_MAX:
        raise EventRefused(f"time_ms is milliseconds since 1970, not {event.time_ms}")
    key = subject_key(event.player_id)
    check_links(event.cause, event.trace)
    _check_texts(event.player_id, fact)
    request = asked(event.decision_requested) if name == "decision_requested" else None
    topic = topic_of(fact if request is None else request)
    return Offer(
        index,
        event.sequence,
        event.player_id,
        event.time_ms,
        event.cause,
        event.trace,
        topic,
        partition_of(event.player_id, TOPICS[topic].partitions),
        key,
        SHAPES[type(fact)].encode(fact) if request is None else b"",
        request,
    )


def _check_texts(player_id: str, fact: Message) -> None:
    """A NUL could never be stored in Postgres: said to the sender now, it need not become a dead letter later."""
    texts = [player_id] + [
        getattr(fact, field.name)
        for field in fact.DESCRIPTOR.fields
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
    ]
    if any("\x00" in text for text in texts):
        raise EventRefused(f"a text in {fact_name(fact)} or player_id holds a NUL character")


def _sequence(entry: Any) -> int:
    """The number of an event that cannot be read otherwise, so that its sender knows which it was."""
    said = entry.get("sequence") if isinstance(entry, dict) else None
    if isinstance(said, str) and said.isascii() and said.isdigit() and len(said) < 20:
        said = int(said)
    return said if isinstance(said, int) and not isinstance(said, bool) and 0 < said <= SEQUENCE_MAX else 0


def _short(error: Exception) -> str:
    # Protobuf's own errors go on to list every field there is.
    return str(error).partition("\n")[0].replace("\x00", "\\0")[:300]
