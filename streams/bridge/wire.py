"""What a game server may send a bridge: names, limits, and what is wrong with an event by itself.

The bridge and its client both refuse by these rules, so they know the facts and nothing else of ours: a client needs
neither the bridge nor the agents. What only the bridge knows, which agents there are, it says when it is asked.
"""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from schemas import EventRefused, PermanentError, UnknownFact, fact_name
from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent
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
#: Which ids a game server may give its decisions, and name when it completes them.
DECISION_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
#: What Postgres can count to, less the end of a range.
SEQUENCE_MAX = 2**63 - 2
# Beyond the year 10000 no clock is right, and a stamp has 48 bits for it.
TIME_MS_MAX = 253_402_300_800_000

#: The facts that a game server may produce.
OFFERED = tuple(field.name for field in OfferedEvent.DESCRIPTOR.oneofs_by_name["fact"].fields)


class Malformed(PermanentError):
    """A body that is no batch at all."""

    reason = "malformed"


class TooLarge(PermanentError):
    """More than one request may bring."""

    reason = "too_large"


class Unnumbered(PermanentError):
    """An event without a number of its own."""

    reason = "unnumbered"


def check_offered(event: OfferedEvent) -> tuple[Message, bytes]:
    """The fact of an event that may be written, and its bytes as a field of Event.

    Raises Unnumbered, UnknownFact, TooLarge and EventRefused.
    """
    if not 0 < event.sequence <= SEQUENCE_MAX:
        raise Unnumbered(f"an event's sequence is 1 to {SEQUENCE_MAX}, not {event.sequence}")
    name = event.WhichOneof("fact")
    if name is None:
        raise UnknownFact(f"an event holds one of {', '.join(OFFERED)}")
    fact: Message = getattr(event, name)
    if fact.ByteSize() > FACT_BYTES_MAX:
        raise TooLarge(f"a fact has at most {FACT_BYTES_MAX} bytes, not {fact.ByteSize()}")
    if event.time_ms > TIME_MS_MAX:
        raise EventRefused(f"time_ms is milliseconds since 1970, not {event.time_ms}")
    subject_key(event.player_id)
    check_links(event.cause, event.trace)
    _check_texts(event.player_id, fact)
    return fact, SHAPES[type(fact)].encode(fact)


def _check_texts(player_id: str, fact: Message) -> None:
    """A NUL could never be stored in Postgres: said to the sender now, it need not become a dead letter later."""
    texts = [player_id] + [
        getattr(fact, field.name)
        for field in fact.DESCRIPTOR.fields
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
    ]
    if any("\x00" in text for text in texts):
        raise EventRefused(f"a text in {fact_name(fact)} or player_id holds a NUL character")
