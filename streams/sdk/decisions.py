"""Decisions: what a game server acts on."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Container, Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas import TOPICS, Event, UndecodableEvent, decode
from streams.sdk import arguments
from streams.sdk.forking import MadeBeforeFork, keep_forever, watch

_log = logging.getLogger(__name__)

TOPIC = "ai.decisions.v1"
#: Far more than are ever answered twice at the same time; about 10 MB.
REMEMBERED_MAX = 100_000
#: The facts by which a decision comes to its end: something takes effect, or nothing does.
ENDS = ("decision_effective", "decision_closed")
_POLL_EVENTS_MAX = 1000
# The client waits without the interpreter: a wait in pieces lets a signal through.
_WAIT_S = 0.5
# A broker that has just given a partition answers in milliseconds.
_PLACE_TIMEOUT_S = 5.0
# librdkafka counts milliseconds in 32 bits: 24 days at most.
_WAIT_MAX_S = 86_400.0
_FIXED = frozenset(
    {
        "bootstrap.servers",
        "metadata.broker.list",
        "group.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "error_cb",
    }
)


class Decisions:
    """The decisions that have come to their end, each once, oldest first; one thread uses it.

    An end is an effect, a `decision_effective` to act on; or none, a `decision_closed`, after which nobody needs to
    wait. Either names the event that called for the decision in `called_by`: the id that `Producer.publish` gave, as
    hexadecimal digits.

    From now on: what was decided before is not given. With a `group`, several game servers share the decisions and one
    that comes back goes on where it was: those it was given are done with when it asks for more, so a server that died
    in between is given the last ones again. A group begins when the first of it is made, and loses nothing from then
    on, unless none of it runs for a week and Kafka forgets where it was.

    subjects: whose decisions to give; it is asked anew each time, so it may change. None: everybody's.
    timeout_s: how long to look for the log's end; when no broker answers, "now" is when one first does.
    client: further settings of librdkafka.
    Raises ArgumentRefused, and KafkaException for a setting that librdkafka does not take.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        subjects: Container[str] | None = None,
        group: str | None = None,
        timeout_s: float = 5.0,
        client: Mapping[str, Any] | None = None,
    ) -> None:
        settings = arguments.checked_client(client, _FIXED)
        settings["bootstrap.servers"] = arguments.checked_bootstrap(bootstrap)
        until = time.monotonic() + arguments.checked_timeout(timeout_s)
        self._subjects = arguments.checked_subjects(subjects)
        self._grouped = group is not None
        if group is not None:
            arguments.checked_text("group", group, arguments.GROUP_BYTES_MAX)
        self._given: dict[str, None] = {}
        #: The offset to go on from, by partition, once what was given is done with.
        self._to_store: dict[int, TopicPartition] = {}
        self._complaint = ""
        self._closed = False
        self._forked = False
        #: The partitions in which it is not known that the group has a place.
        self._placeless: list[TopicPartition] = []
        self._consumer = Consumer(
            {
                "log_level": 2,
                **settings,
                "group.id": group or f"norn-decisions-{uuid.uuid4()}",
                "enable.auto.commit": self._grouped,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "latest",
                "error_cb": self._on_error,
            }
        )
        watch(self)
        if self._grouped:
            # Before there is a member: what is decided until the first has joined is not lost.
            self._begin([TopicPartition(TOPIC, n) for n in range(TOPICS[TOPIC].partitions)], until)
            self._consumer.subscribe([TOPIC], on_assign=self._on_assign)
        else:
            self._consumer.assign(self._log_ends(until))

    def _log_ends(self, until: float) -> list[TopicPartition]:
        ends = [TopicPartition(TOPIC, n, OFFSET_END) for n in range(TOPICS[TOPIC].partitions)]
        for end in ends:
            try:
                end.offset = self._consumer.get_watermark_offsets(end, timeout=_left_s(until))[1]
            except KafkaException as error:
                _log.warning("decisions are read from when the broker is found: %s", error)
                break
        return ends

    def _begin(self, partitions: list[TopicPartition], until: float) -> None:
        """See to it that the group has a place in each partition, to come back to: the log's end where it has none."""
        try:
            self._place(partitions, until)
        except KafkaException as error:
            self._placeless = partitions
            self._on_error(error.args[0])
        else:
            self._placeless = []

    def _place(self, partitions: list[TopicPartition], until: float) -> None:
        ends = {p.partition: self._consumer.get_watermark_offsets(p, timeout=_left_s(until))[1] for p in partitions}
        places = self._consumer.committed(partitions, timeout=_left_s(until))
        new = [TopicPartition(TOPIC, p.partition, ends[p.partition]) for p in places if p.offset < 0]
        if not new:
            return
        try:
            for placed in self._consumer.commit(offsets=new, asynchronous=False):
                if placed.error is not None:
                    raise KafkaException(placed.error)
        except KafkaException as error:
            # The group has members already: each sees to the partitions that it is given.
            if error.args[0].code() not in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION):
                raise

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._begin([TopicPartition(TOPIC, p.partition) for p in partitions], time.monotonic() + _PLACE_TIMEOUT_S)

    def poll(self, timeout_s: float = 0.0) -> list[Event]:
        """The ends that have come: events whose fact is decision_effective or decision_closed.

        Returns as soon as there are some, and waits at most `timeout_s` for them. Raises ArgumentRefused,
        MadeBeforeFork, and RuntimeError once closed.
        """
        until = time.monotonic() + arguments.checked_timeout(timeout_s)
        self._check_open()
        if self._placeless:
            self._begin(self._placeless, until)
        self._store()
        while True:
            events = self._read(min(_left_s(until), _WAIT_S))
            if events or time.monotonic() >= until:
                return events

    def _check_open(self) -> None:
        if self._forked:
            raise MadeBeforeFork("reader of decisions")
        if self._closed:
            raise RuntimeError("this reader of decisions is closed: make another")

    def _store(self) -> None:
        if self._to_store:
            try:
                self._consumer.store_offsets(offsets=list(self._to_store.values()))
            except KafkaException as error:
                # A partition that is another member's now: that one is given its last decisions again.
                _log.info("some decisions may be given again: %s", error)
            self._to_store = {}

    def _read(self, wait_s: float) -> list[Event]:
        """What comes first, and all that has come with it."""
        first = self._consumer.poll(wait_s)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(_POLL_EVENTS_MAX - 1, 0)]
        if self._grouped:
            for message in messages:
                partition, offset = message.partition(), message.offset()
                if message.error() is None and partition is not None and offset is not None:
                    self._to_store[partition] = TopicPartition(TOPIC, partition, offset + 1)
        return [event for message in messages if (event := self._event(message)) is not None]

    def _event(self, message: Message) -> Event | None:
        if (error := message.error()) is not None:
            self._on_error(error)
            return None
        try:
            event = decode(message.value() or b"")
        except UndecodableEvent as error:
            _log.warning("%s offset %s is left to the dead letters: %s", TOPIC, message.offset(), error)
            return None
        fact = event.WhichOneof("fact")
        if fact not in ENDS:
            return None
        if self._subjects is not None and event.subject not in self._subjects:
            return None
        decision: str = getattr(event, fact).decision_id
        if decision in self._given:
            return None
        self._given[decision] = None
        if len(self._given) > REMEMBERED_MAX:
            del self._given[next(iter(self._given))]
        return event

    def _on_error(self, error: KafkaError) -> None:
        if error.str() != self._complaint:
            self._complaint = error.str()
            _log.warning("no decisions at present: %s", self._complaint)

    def close(self) -> None:
        """Leave the group, if there is one. In the child of a fork it does nothing."""
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def after_fork(self) -> None:
        """In the child of a fork: leave all that is the parent's as it is, and refuse everything."""
        self._closed = self._forked = True
        keep_forever(self._consumer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _left_s(until: float) -> float:
    return min(max(0.0, until - time.monotonic()), _WAIT_MAX_S)
