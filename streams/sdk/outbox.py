"""The outbox: events that are accepted and not yet acknowledged, in memory, and the count of all there were.

The game's threads put events in; the sending thread alone takes them out.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas import EventRefused, NornError, TemporaryError, Topic
from streams.sdk.envelope import Envelopes

#: The events of a batch: what the client library is given, and a spill file is torn by, in one piece.
BATCH_EVENTS_MAX = 1000
# The sending thread needs the interpreter to keep up: a game this far ahead of it lends it a moment now and then.
_GIVE_WAY_EVENTS = 20_000
_GIVE_WAY_MASK = 0x3F


class BufferFull(TemporaryError):
    """No more events fit: the broker has been away so long, or is so slow, that memory or the spill file is full."""

    reason = "buffer_full"


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events of one partition, in the order of their dots: the key and the value of each record."""

    topic: str
    partition: int
    events: list[tuple[bytes, bytes]]
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_bytes", sum(len(value) for _, value in self.events))


@dataclass(frozen=True)
class Counters:
    """Where the events of a producer are. Every accepted one is in `queued`, `spilled` or `sent`, and in one of them.

    queued: in memory, not yet acknowledged.  spilled: in spill files, those an earlier process left there included.
    sent: acknowledged by the broker.  refused: calls of publish that raised, so that no event was made.
    """

    queued: int
    sent: int
    spilled: int
    refused: int


class Lane:
    """One partition as this producer writes it: its last dot, how many are acknowledged, and those that wait."""

    __slots__ = ("acknowledged", "partition", "sequence", "topic", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.sequence = 0
        self.acknowledged = 0
        self.waiting: list[tuple[bytes, bytes]] = []


class Outbox:
    """Holds at most `events_max` events and about `bytes_max` bytes of them; beyond that publishing is refused."""

    def __init__(self, envelopes: Envelopes, topics: Mapping[str, Topic], events_max: int, bytes_max: int) -> None:
        self.lanes = {name: [Lane(name, n) for n in range(topic.partitions)] for name, topic in topics.items()}
        self.events_max = events_max
        self.bytes_max = bytes_max
        #: Set when the sending thread has something to do.
        self.wake = threading.Event()
        #: True while the sending thread sleeps until `wake`.
        self.idle = False
        self._envelopes = envelopes
        self._events = 0
        self._bytes = 0
        self._spilled = 0
        #: Of those on disk, how many an earlier process left there: they are sent before any of this one's.
        self._earlier = 0
        self._refused = 0
        self._refusal: NornError | None = None
        self._closed = False
        self._sent: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._give_way_events = min(_GIVE_WAY_EVENTS, events_max // 8)

    def put(self, lane: Lane, key: bytes, content: bytes, subject: str, cause: bytes, trace: str) -> bytes:
        """Accept an event under the lane's next dot; returns its id. Raises BufferFull, or what `refuse` was given."""
        with self._lock:
            if self._events >= self.events_max or self._bytes >= self.bytes_max or self._refusal is not None:
                raise self._refusal or self._full()
            sequence = lane.sequence + 1
            event_id, value = self._envelopes.seal(content, subject, sequence, cause, trace)
            lane.sequence = sequence
            lane.waiting.append((key, value))
            self._events += 1
            self._bytes += len(value)
        if self.idle:
            self.idle = False
            self.wake.set()
        if not sequence & _GIVE_WAY_MASK and self._events > self._give_way_events:
            time.sleep(0)
        return event_id

    def _full(self) -> BufferFull:
        return BufferFull(
            f"{self._events} events of {self._bytes} bytes wait in memory and {self._spilled} on disk: the broker is"
            " away or too slow, and the spill is full or cannot be written; drop this event, or try again later"
        )

    def observe(self, stamp: int) -> None:
        """Stamp what follows later than an event that came from elsewhere."""
        with self._lock:
            self._envelopes.observe(stamp)

    def take(self) -> list[Batch]:
        """Everything that waits, in batches; the events of one partition keep their order. They stay counted."""
        with self._lock:
            taken = [(lane, lane.waiting) for lanes in self.lanes.values() for lane in lanes if lane.waiting]
            for lane, _ in taken:
                lane.waiting = []
        return [
            Batch(lane.topic, lane.partition, events[start : start + BATCH_EVENTS_MAX])
            for lane, events in taken
            for start in range(0, len(events), BATCH_EVENTS_MAX)
        ]

    @property
    def events(self) -> int:
        """How many events are in memory: those to take, and those taken that are neither acknowledged nor on disk."""
        return self._events

    @property
    def crowded(self) -> bool:
        """Half full: time to move to disk while there is still room for what comes meanwhile."""
        return self._events > self.events_max // 2 or self._bytes > self.bytes_max // 2

    def sent(self, batch: Batch) -> None:
        """The broker has acknowledged a batch that was in memory."""
        self.lanes[batch.topic][batch.partition].acknowledged += len(batch.events)
        self._move(batch, events=-len(batch.events), size_bytes=-batch.size_bytes, sent=len(batch.events))

    def spilled(self, batch: Batch) -> None:
        """A batch has gone from memory to disk."""
        self._move(batch, events=-len(batch.events), size_bytes=-batch.size_bytes, spilled=len(batch.events))

    def replayed(self, batch: Batch) -> None:
        """The broker has acknowledged a batch that was on disk."""
        if self._earlier:
            self._earlier -= len(batch.events)
        else:
            self.lanes[batch.topic][batch.partition].acknowledged += len(batch.events)
        self._move(batch, spilled=-len(batch.events), sent=len(batch.events))

    def found(self, events: int) -> None:
        """An earlier process has left events on disk."""
        with self._lock:
            self._spilled += events
            self._earlier += events

    def _move(self, batch: Batch, events: int = 0, size_bytes: int = 0, spilled: int = 0, sent: int = 0) -> None:
        with self._lock:
            self._events += events
            self._bytes += size_bytes
            self._spilled += spilled
            self._sent[batch.topic, batch.partition] += sent
            self._settled.notify_all()

    def count_refusal(self) -> None:
        """A call of publish has raised."""
        with self._lock:
            self._refused += 1

    def refuse(self, error: NornError | None) -> None:
        """Raise this from every `put` from now on; None lifts that."""
        if error is not self._refusal:
            with self._lock:
                self._refusal = self._refusal if self._closed else error

    def close(self) -> None:
        """Accept no more events."""
        with self._lock:
            self._refusal = EventRefused("this producer is closed: make another")
            self._closed = True

    def after_fork(self, error: NornError) -> Outbox:
        """For the child of a fork: an outbox with nothing in it, whose locks nobody holds, and which refuses all."""
        empty = Outbox(self._envelopes, {}, self.events_max, self.bytes_max)
        empty.refuse(error)
        return empty

    def wait_acknowledged(self, timeout_s: float) -> int:
        """Wait until every event accepted before now is acknowledged, at most `timeout_s`; returns how many are not.

        Those accepted meanwhile are not waited for, or whoever never stops publishing would wait for ever.
        """
        with self._lock:
            every = (lane for lanes in self.lanes.values() for lane in lanes)
            behind = [(lane, lane.sequence) for lane in every if lane.acknowledged < lane.sequence]

            def lacking() -> int:
                return self._earlier + sum(max(0, sequence - lane.acknowledged) for lane, sequence in behind)

            self._settled.wait_for(lambda: not lacking(), timeout_s)
            return lacking()

    @property
    def counters(self) -> Counters:
        """One consistent reading of all counters."""
        with self._lock:
            return Counters(self._events, self._sent.total(), self._spilled, self._refused)

    @property
    def sent_by_partition(self) -> dict[tuple[str, int], int]:
        """How many events the broker has acknowledged, by topic and partition."""
        with self._lock:
            return {place: sent for place, sent in self._sent.items() if sent}
