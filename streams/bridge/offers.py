"""Offers: what the body of a dispatch holds, checked one by one, so that a bad event does not fail its neighbours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from inference.agent import Agent
from inference.agents import AGENTS
from schemas import TOPICS, DecisionRequested, PermanentError, topic_of
from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent
from schemas.partitions import partition_of
from streams.bridge.asking import asked
from streams.bridge.parts import Unreadable, event_of_json, event_of_protobuf, parts_of_json, parts_of_protobuf
from streams.bridge.wire import BATCH_EVENTS_MAX, CLIENT_PATTERN, JSON, SEQUENCE_MAX, Malformed, check_offered
from streams.harmless import harmless
from streams.sdk.envelope import SHAPES, subject_key

_CLIENT = re.compile(CLIENT_PATTERN)
# A reason is for a person to read; protobuf's own go on to list every field there is.
_DETAIL_MAX = 300


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


def read(content_type: str, body: bytes, agents: Mapping[str, Agent] = AGENTS) -> Batch:
    """The batch of a body; `agents` are those that may be asked. Raises Malformed and TooLarge."""
    if content_type == JSON:
        client, parts = parts_of_json(body)
    else:
        client, parts = parts_of_protobuf(body)
    if not isinstance(client, str) or not _CLIENT.fullmatch(client):
        raise Malformed("client is 1 to 64 letters, digits, '.', '_' and '-': one life of your game server's process")
    if not parts:
        raise Malformed(f"events is a list of 1 to {BATCH_EVENTS_MAX} events")
    event_of = event_of_json if content_type == JSON else event_of_protobuf
    read_ones = [_offered(index, event_of(part), agents) for index, part in enumerate(parts)]
    return Batch(
        client,
        tuple(one for one in read_ones if isinstance(one, Offer)),
        tuple(one for one in read_ones if isinstance(one, Refusal)),
    )


def _offered(index: int, event: OfferedEvent | Unreadable, agents: Mapping[str, Agent]) -> Offer | Refusal:
    if isinstance(event, Unreadable):
        return Refusal(index, event.sequence, Malformed.reason, _short(event.detail))
    try:
        return _offer(index, event, agents)
    except PermanentError as error:
        sequence = event.sequence if event.sequence <= SEQUENCE_MAX else 0
        return Refusal(index, sequence, error.reason, _short(str(error)))


def _offer(index: int, event: OfferedEvent, agents: Mapping[str, Agent]) -> Offer:
    """What an event offers. Raises what `check_offered` and `asked` raise."""
    fact = check_offered(event)
    request = asked(fact, agents) if isinstance(fact, DecisionRequested) else None
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
        subject_key(event.player_id),
        SHAPES[type(fact)].encode(fact) if request is None else b"",
        request,
    )


def _short(detail: str) -> str:
    return harmless(detail.partition("\n")[0])[:_DETAIL_MAX]
