"""Producer: what a game server publishes its facts with."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import Message

from schemas import TOPICS, DecisionRequested, EventRefused, NornError, Topic, event_id, topic_of
from schemas.limits import check_links
from schemas.partitions import partition_of
from schemas.requests import check_deadline
from streams.sdk import arguments
from streams.sdk.envelope import SHAPES, Envelopes, Shape, subject_key
from streams.sdk.forking import MadeBeforeFork, keep_forever, watch
from streams.sdk.outbox import Counters, Lane, Outbox
from streams.sdk.sender import Sender
from streams.sdk.session import FIXED, Session
from streams.sdk.spill import Spill

_log = logging.getLogger(__name__)

#: About 100 MB of usual events: two seconds of a very busy server.
BUFFER_EVENTS_MAX = 200_000
BUFFER_BYTES_MAX = 128 * 1024 * 1024
#: Some hours of a busy server at 1,000 events/s.
SPILL_BYTES_MAX = 1024 * 1024 * 1024
#: Longer than the election of a partition's leader takes, so that one does not send a game to its disk.
AWAY_S = 3.0
LINGER_MS = 5
_CLOSE_S = 10.0
# The sending thread may be in a probe, and then has to write what memory holds.
_STOP_S = 30.0
# An event waits this long for company at most; a longer linger is in another unit.
_LINGER_MAX_MS = 60_000
# A subject's partition is worked out once; past this many subjects the table starts anew.
_SUBJECTS_MAX = 100_000

_Subjects = dict[str, tuple[Lane, bytes]]


class _Route:
    """Where one kind of fact goes. The facts of one topic share its lanes and its table of subjects."""

    __slots__ = ("encode", "lanes", "subjects")

    def __init__(self, shape: Shape, lanes: list[Lane], subjects: _Subjects) -> None:
        self.encode = shape.encode
        self.lanes = lanes
        self.subjects = subjects


class Producer:
    """Writes facts to the log in the background; any thread may publish, and none ever waits for the network or a disk.

    The events of a partition arrive in the order they were published, each at least once, with dots that are dense per
    (origin, topic, partition): a reader drops repeats and sees that nothing is missing. An origin is one life of one
    producer. What the broker has not acknowledged after `away_s`, or when memory is half full, is put in files in
    `spill` and sent from there, also by the next producer that is given the folder. A process that is killed loses what
    was in memory and no more: those of the last few milliseconds while the broker answers, those of `away_s` when it
    has just gone, and those of about a second from then on.

    bootstrap: host:port,host:port.  region: of every event.  spill: a folder that no other producer uses.
    origin: a name to begin the origin with, the game server's say.  topics: with the partitions that the broker has.
    linger_ms: how long events gather to be sent together.  client: further settings of librdkafka (security, say).
    Raises ArgumentRefused, SpillInUse, SpillUnreadable, OSError for the folder, and KafkaException for a setting that
    librdkafka does not take. In the child of a fork a producer of the parent raises MadeBeforeFork: make another.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        spill: str | os.PathLike[str],
        region: str = "local",
        origin: str | None = None,
        topics: Mapping[str, Topic] = TOPICS,
        buffer_events_max: int = BUFFER_EVENTS_MAX,
        buffer_bytes_max: int = BUFFER_BYTES_MAX,
        spill_bytes_max: int = SPILL_BYTES_MAX,
        away_s: float = AWAY_S,
        linger_ms: int = LINGER_MS,
        client: Mapping[str, Any] | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        settings = arguments.checked_client(client, FIXED) | {
            "bootstrap.servers": arguments.checked_bootstrap(bootstrap)
        }
        folder = arguments.checked_folder(spill)
        arguments.checked_topics(topics)
        arguments.checked_clock(now_ms)
        arguments.checked_number("away_s", away_s, 0)
        arguments.checked_number("linger_ms", linger_ms, 0, _LINGER_MAX_MS)
        arguments.checked_whole("spill_bytes_max", spill_bytes_max, 0)
        #: Names this life of this producer in every event.
        self.origin = _origin(arguments.checked_origin(origin), now_ms(), random)
        self._now_ms = now_ms
        self._outbox = Outbox(
            Envelopes(arguments.checked_region(region), self.origin, now_ms, random),
            topics,
            arguments.checked_whole("buffer_events_max", buffer_events_max, 1),
            arguments.checked_whole("buffer_bytes_max", buffer_bytes_max, 1),
        )
        self._routes_by_topic = _routes(topics, self._outbox)
        # The topic of a request is that of its tier, so it is worked out for each.
        self._routes = {kind: at for (kind, _), at in self._routes_by_topic.items() if kind is not DecisionRequested}
        opened = Spill(folder)
        try:
            self._sender = Sender(
                self._outbox,
                opened,
                lambda: Session(settings, topics),
                away_s=away_s,
                linger_s=linger_ms / 1000,
                spill_bytes_max=spill_bytes_max,
            )
        except BaseException:
            opened.close()
            raise
        self._sender.start()
        self._closed = False
        self._forked = False
        watch(self)
        atexit.register(self.close)

    def publish(self, fact: Message, *, subject: str, cause: bytes = b"", trace: str = "") -> bytes:
        """Accept a fact and return its event's id; it is sent in the background.

        subject: whose fact it is, 1-256 bytes.  cause: the id of the event that led to it.  trace: a W3C traceparent.
        Raises EventRefused and UnknownFact for what may not be written (schemas/limits.py), BufferFull when memory and
        disk are full, PartitionsDiffer when the broker is set up otherwise than `topics` say, and MadeBeforeFork; then
        no event was made and no dot spent.
        """
        try:
            route = self._routes.get(type(fact)) or self._route(fact)
            content = route.encode(fact)
            lane, key = route.subjects.get(subject) or self._lane(route, subject)
            if cause or trace:
                check_links(cause, trace)
            return self._outbox.put(lane, key, content, subject, cause, trace)
        except NornError:
            self._outbox.count_refusal()
            raise
        except TypeError:
            # What cannot be a key of a table cannot be one of the log.
            self._outbox.count_refusal()
            subject_key(subject)
            raise

    def _route(self, fact: Message) -> _Route:
        if not isinstance(fact, Message):
            raise EventRefused(f"a fact is a message such as schemas.PlayerMoved, not {type(fact).__name__}")
        topic = topic_of(fact)
        route = self._routes_by_topic.get((type(fact), topic))
        if route is None:
            raise EventRefused(f"this producer's table of topics has no {topic}, which carries such a fact")
        if isinstance(fact, DecisionRequested):
            check_deadline(fact.deadline_ms, self._now_ms())
        return route

    def _lane(self, route: _Route, subject: str) -> tuple[Lane, bytes]:
        key = subject_key(subject)
        lane = route.lanes[partition_of(subject, len(route.lanes))]
        if len(route.subjects) >= _SUBJECTS_MAX:
            route.subjects.clear()
        route.subjects[subject] = lane, key
        return lane, key

    def observe(self, stamp: int) -> None:
        """Stamp what is published from now on later than this stamp, that of a decision acted on say.

        A stamp further ahead of this machine's clock than clocks differ is not believed.
        """
        self._outbox.observe(arguments.checked_whole("stamp", stamp, 0))

    def flush(self, timeout_s: float = _CLOSE_S) -> int:
        """Wait until all that was published before now is acknowledged, at most `timeout_s`.

        Returns how many events are not, on disk or in memory. Raises MadeBeforeFork.
        """
        if self._forked:
            raise MadeBeforeFork("producer")
        return self._outbox.wait_acknowledged(arguments.checked_timeout(timeout_s))

    @property
    def counters(self) -> Counters:
        """Where the events are."""
        return self._outbox.counters

    @property
    def sent_by_partition(self) -> dict[tuple[str, int], int]:
        """How many events the broker has acknowledged, by topic and partition; earlier lives' replayed ones too."""
        return self._outbox.sent_by_partition

    @property
    def trouble(self) -> str:
        """What keeps events from being sent at present, in words, or ""."""
        return self._sender.trouble

    def close(self, timeout_s: float = _CLOSE_S) -> int:
        """Accept no more, flush, put the rest on disk; returns how many events wait there for the next producer.

        In the child of a fork it does nothing: what the parent accepted is the parent's.
        """
        timeout_s = arguments.checked_timeout(timeout_s)
        if not self._closed:
            self._closed = True
            atexit.unregister(self.close)
            self._outbox.close()
            self._outbox.wait_acknowledged(timeout_s)
            if not self._sender.stop(_STOP_S):
                _log.error("the sending thread has not ended: %d events may be lost", self._outbox.events)
        return self._outbox.counters.spilled

    def after_fork(self) -> None:
        """In the child of a fork: leave all that is the parent's as it is, and refuse everything."""
        self._closed = self._forked = True
        atexit.unregister(self.close)
        keep_forever(self._sender)
        self._sender.after_fork()
        self._outbox = self._outbox.after_fork(MadeBeforeFork("producer"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _routes(topics: Mapping[str, Topic], outbox: Outbox) -> dict[tuple[type[Message], str], _Route]:
    subjects: dict[str, _Subjects] = {name: {} for name in topics}
    return {
        (kind, name): _Route(shape, outbox.lanes[name], subjects[name])
        for kind, shape in SHAPES.items()
        for name, topic in topics.items()
        if shape.name in topic.facts
    }


def _origin(name: str | None, now_ms: int, random: Callable[[int], bytes]) -> str:
    life = event_id(now_ms, arguments.checked_random(random, 10)).hex()
    return life if name is None else f"{name}-{life}"
