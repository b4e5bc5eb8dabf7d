"""Admission: which offers are new, and the envelope that each of them is given. Pure: the same again for the same."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from projections.dots import HOLES_MAX, Origin
from schemas import DecisionRequested, Event, PermanentError, derived_id, event_id
from schemas.stamps import COUNTER_BITS, COUNTER_MAX, following, pack, time_ms
from streams.bridge.asking import CALLING, addressed
from streams.bridge.offers import Batch, Offer, Refusal
from streams.sdk.envelope import SHAPES

# Every event of a batch may open a gap, and one that is given up could never be filled again.
_GAPS_MAX = HOLES_MAX - 100


class TooManyGaps(PermanentError):
    """A client that has left out so much that the bridge would lose count of what is missing."""

    reason = "gap"

    def __init__(self, expected: int) -> None:
        super().__init__(
            f"too many gaps in this client's sequences: send what is missing, from {expected} on, or begin a new client"
        )
        self.expected = expected


@dataclass(slots=True)
class Client:
    """What the bridge knows of one life of a game server's process."""

    name: str
    #: The origin of its events on the log.
    origin: str
    #: Which of its events it has offered.
    numbers: Origin = field(default_factory=Origin)
    #: The last number of its dots, by "topic/partition".
    dots: dict[str, int] = field(default_factory=dict)
    #: The last stamp given to an event that came without a time of its own.
    stamp: int = 0

    @property
    def expected(self) -> int:
        """The lowest sequence that has not come."""
        return self.numbers.holes[0][0] if self.numbers.holes else self.numbers.last + 1


@dataclass(frozen=True, slots=True)
class Record:
    """A record for the log, byte for byte."""

    sequence: int
    topic: str
    partition: int
    key: bytes
    value: bytes
    #: The event's id in hexadecimal, where it may call for a decision.
    calls: str = ""


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a batch: the records of new events, the repeats, what its players must wait with, and refusals.

    Refused here is a request that comes too late.
    """

    records: tuple[Record, ...]
    repeated: tuple[int, ...]
    deferred: tuple[int, ...]
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Here:
    """Where and when a batch is taken."""

    region: str
    now_ms: int
    world_version: int = 0


def admit(client: Client, batch: Batch, waiting: Collection[str], here: Here) -> Admission:
    """Take the new events of a batch, and write down in `client` that they have come.

    waiting: players over their limit, whose new events are left for later. A request that was refused as too late is a
    repeat when it comes again: whether it was taken nobody remembers, and its time is over either way. Raises
    TooManyGaps, and then `client` is not to be used.
    """
    records: list[Record] = []
    repeated: list[int] = []
    deferred: list[int] = []
    refusals: list[Refusal] = []
    for offer in batch.offers:
        if offer.subject in waiting and not has_come(client.numbers, offer.sequence):
            deferred.append(offer.sequence)
        elif _number(client, offer.sequence):
            try:
                records.append(_record(client, offer, here))
            except PermanentError as error:
                refusals.append(Refusal(offer.index, offer.sequence, error.reason, str(error)))
        else:
            repeated.append(offer.sequence)
    for refusal in batch.refusals:
        # What is refused is never sent again, so it is no gap either.
        if refusal.sequence:
            _number(client, refusal.sequence)
    return Admission(tuple(records), tuple(repeated), tuple(deferred), tuple(refusals))


def decision_id(client: Client, offer: Offer) -> str:
    """The id of the decision that an offer asks for: the game's own, or one that follows from the event.

    It follows from what the event's id follows from, so that a repeat is the same decision.
    """
    assert offer.request is not None, "only a request asks for a decision"
    return offer.request.decision_id or derived_id(client.origin, str(offer.sequence))


def has_come(numbers: Origin, sequence: int) -> bool:
    """Whether an event of this number has been offered before."""
    return sequence <= numbers.last and not any(low <= sequence < high for low, high in numbers.holes)


def new_subjects(client: Client, offers: Sequence[Offer]) -> dict[str, int]:
    """How many events are new, by player."""
    found: dict[str, int] = {}
    for offer in offers:
        if not has_come(client.numbers, offer.sequence):
            found[offer.subject] = found.get(offer.subject, 0) + 1
    return found


def _number(client: Client, sequence: int) -> bool:
    new = client.numbers.admit(sequence)
    if len(client.numbers.holes) > _GAPS_MAX:
        raise TooManyGaps(client.expected)
    return new


def _record(client: Client, offer: Offer, here: Here) -> Record:
    """Raises what `addressed` raises, and then `client` has given no dot."""
    stamp = _stamp(client, offer, here.now_ms)
    field = _field(client, offer, time_ms(stamp), here)
    place = f"{offer.topic}/{offer.partition}"
    client.dots[place] = dot = client.dots.get(place, 0) + 1
    # The id is random to everybody else, and the same for the same event.
    drawn = hashlib.blake2b(f"{client.origin}\x1f{offer.sequence}".encode(), digest_size=10).digest()
    envelope = Event(
        id=event_id(stamp >> COUNTER_BITS, drawn),
        subject=offer.subject,
        stamp=stamp,
        region=here.region,
        origin=client.origin,
        sequence=dot,
        cause=offer.cause,
        trace=offer.trace,
    )
    value = envelope.SerializeToString() + field
    calls = envelope.id.hex() if _calls(offer) else ""
    return Record(offer.sequence, offer.topic, offer.partition, offer.key, value, calls)


def _calls(offer: Offer) -> bool:
    return offer.request is not None or Event.FromString(offer.field).WhichOneof("fact") in CALLING


def _field(client: Client, offer: Offer, asked_ms: int, here: Here) -> bytes:
    if offer.request is None:
        return offer.field
    decision = decision_id(client, offer)
    whole = addressed(offer.request, decision, asked_ms, here.now_ms, here.world_version)
    return SHAPES[DecisionRequested].encode(whole)


def _stamp(client: Client, offer: Offer, now_ms: int) -> int:
    """The event's own time, or now; never later than now.

    Events of one player that come with times keep the order of their sequences within a millisecond too, in whatever
    batches they come.
    """
    if offer.time_ms:
        return pack(min(offer.time_ms, now_ms), offer.sequence & COUNTER_MAX)
    client.stamp = following(client.stamp, now_ms)
    return client.stamp
