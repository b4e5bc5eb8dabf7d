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

_log = logging.getLogger(__name__)

TOPIC = "ai.decisions.v1"
#: The facts by which a decision comes to its end: something takes effect, or nothing does.
ENDS = ("decision_effective", "decision_closed")
#: Far more than are ever answered twice at the same time; about 10 MB.
REMEMBERED_MAX = 100_000
_POLL_EVENTS_MAX = 1000


class Decisions:
    """The decisions that have come to their end, each once, oldest first; one thread uses it.

    An end is an effect, a `decision_effective` to act on; or none, a `decision_closed`, after which nobody needs to
    wait. Either names the event that called for the decision in `called_by`: the id that `Producer.publish` gave, as
    hexadecimal digits.

    From now on: what was decided before is not given. With a `group`, several game servers share the decisions and one
    that comes back goes on where it was: those it was given are done with when it asks for more, so a server that died
    in between is given the last ones again.

    subjects: whose decisions to give; it is asked anew each time, so it may change. None: everybody's.
    timeout_s: how long to look for the log's end; when no broker answers, "now" is when one first does.
    client: further settings of librdkafka.
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
        self._subjects = subjects
        self._given: dict[str, None] = {}
        self._to_store: list[Message] = []
        self._grouped = group is not None
        self._complaint = ""
        self._consumer = Consumer(
            {
                **(client or {}),
                "bootstrap.servers": bootstrap,
                "group.id": group or f"norn-decisions-{uuid.uuid4()}",
                "enable.auto.commit": self._grouped,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "latest",
                "log_level": 2,
                "error_cb": self._on_error,
            }
        )
        if self._grouped:
            self._consumer.subscribe([TOPIC])
        else:
            self._consumer.assign(self._ends(timeout_s))

    def _ends(self, timeout_s: float) -> list[TopicPartition]:
        until = time.monotonic() + timeout_s
        ends = [TopicPartition(TOPIC, n, OFFSET_END) for n in range(TOPICS[TOPIC].partitions)]
        for end in ends:
            try:
                left_s = max(0.0, until - time.monotonic())
                end.offset = self._consumer.get_watermark_offsets(end, timeout=left_s)[1]
            except KafkaException as error:
                _log.warning("decisions are read from when the broker is found: %s", error)
                break
        return ends

    def poll(self, timeout_s: float = 0.0) -> list[Event]:
        """The ends that have come: events whose fact is decision_effective or decision_closed.

        Waits at most `timeout_s` for some.
        """
        for message in self._to_store:
            self._consumer.store_offsets(message)
        messages = self._consumer.consume(_POLL_EVENTS_MAX, timeout_s)
        self._to_store = [message for message in messages if self._grouped and message.error() is None]
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
        """Leave the group, if there is one."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
