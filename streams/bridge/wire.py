"""What a game server may send a bridge: names, limits, and what is wrong with an event by itself.

The bridge and its client both refuse by these rules, so they know the facts and nothing else of ours: a client needs
neither the bridge nor the agents. What only the bridge knows, which agents there are, it says when it is asked.
"""

from __future__ import annotations

from google.protobuf.message import Message

from schemas import (
    TIERS,
    DecisionRequested,
    EventRefused,
    PermanentError,
    UnknownFact,
    check_decision_request,
    check_subject,
)
from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent
from schemas.limits import FACT_BYTES_MAX, FACT_LIMITS, check_links
from schemas.requests import CONTEXT_BYTES_MAX

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


class Malformed(PermanentError):
    """A body that is no batch at all."""

    reason = "malformed"


class TooLarge(PermanentError):
    """More than one request may bring."""

    reason = "too_large"


class Unnumbered(PermanentError):
    """An event without a number of its own."""

    reason = "unnumbered"


class ContextTooLarge(PermanentError):
    """More than an agent is told of one decision."""

    reason = "context_too_large"


def check_offered(event: OfferedEvent) -> Message:
    """The fact of an event that may be written, as far as the event tells.

    Raises Unnumbered, UnknownFact, TooLarge, ContextTooLarge, and EventRefused with the field and its limit.
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
    check_subject(event.player_id)
    check_links(event.cause, event.trace)
    FACT_LIMITS[name].check(fact)
    if isinstance(fact, DecisionRequested):
        check_context_size(fact.context)
        check_decision_request(_filled(fact))
    return fact


def check_context_size(context: str) -> None:
    """Raises ContextTooLarge."""
    size_bytes = len(context.encode())
    if size_bytes > CONTEXT_BYTES_MAX:
        raise ContextTooLarge(f"a context has at most {CONTEXT_BYTES_MAX} bytes, not {size_bytes}: tell what matters")


def _filled(request: DecisionRequested) -> DecisionRequested:
    """The request with something in each place that a game server may leave to the bridge to fill."""
    filled = DecisionRequested()
    filled.CopyFrom(request)
    filled.decision_id = request.decision_id or "left-out"
    # The bridge, which knows the agents, says which there are.
    filled.agent = request.agent or "left-out"
    filled.tier = request.tier or TIERS[0]
    if not request.legal_actions:
        filled.legal_actions.append("left out")
    return filled
