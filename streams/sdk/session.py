"""A session: one life of one client of librdkafka, which sends batches in order until it fails or is let go.

librdkafka keeps the order of each partition and never drops a record by itself: no record expires, and an error that
would leave a gap stops the client. What was not acknowledged is then given back, to be sent again by another session.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as KafkaClient

from schemas import PermanentError, Topic
from streams.sdk.outbox import Batch

# How long a client that is let go may take to give up what it has in flight; what is left then is simply forgotten.
_PURGE_S = 2.0

#: What the order of events and their safety depend on; nobody may set these otherwise.
SAFETY: Mapping[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "enable.gapless.guarantee": True,
    "message.timeout.ms": 0,
    # Larger than what the outbox lets into a session at a time, so that the client never refuses a record.
    "queue.buffering.max.messages": 10_000_000,
    "queue.buffering.max.kbytes": 2_000_000,
}
#: Those, by all their names, and what a producer says itself.
FIXED = frozenset(
    {*SAFETY, "request.required.acks", "delivery.timeout.ms", "bootstrap.servers", "metadata.broker.list", "error_cb"}
)
TUNING: Mapping[str, Any] = {
    "compression.type": "lz4",
    # Events have gathered before they come here; this is for the pieces of one batch to meet.
    "linger.ms": 1,
    "reconnect.backoff.max.ms": 1000,
    "socket.keepalive.enable": True,
    # Only what is critical: the sending thread logs the rest in its own words, once.
    "log_level": 2,
}


class PartitionsDiffer(PermanentError):
    """A topic on the broker has another number of partitions than this producer was told."""

    reason = "partitions_differ"


@dataclass(eq=False, slots=True)
class _Sent:
    batch: Batch
    acknowledged: bool = False


class Session:
    """Sends batches and tells which are acknowledged. One thread uses it."""

    def __init__(self, settings: Mapping[str, Any], topics: Mapping[str, Topic]) -> None:
        self._topics = topics
        self._client = KafkaClient({**TUNING, **settings, **SAFETY, "error_cb": self._on_error})
        self._sent: deque[_Sent] = deque()
        self._partitions: Mapping[str, int] = {}
        #: Events that are sent and not acknowledged.
        self.in_flight = 0
        #: Why this session can send nothing more, or "".
        self.failure = ""
        #: The last complaint of the client, which goes on trying.
        self.complaint = ""

    def probe(self, timeout_s: float) -> bool:
        """Whether a broker answers within `timeout_s`; notes which topics it has, and creates none."""
        try:
            listed = self._client.list_topics(timeout=timeout_s).topics
        except KafkaException as error:
            self.complaint = self.complaint or error.args[0].str()
            return False
        self._partitions = {name: len(topic.partitions) for name, topic in listed.items() if topic.error is None}
        self.complaint = ""
        return True

    def has_place_for(self, batch: Batch) -> bool:
        """Whether the broker has the batch's topic. Raises PartitionsDiffer when it has it otherwise than expected."""
        found = self._partitions.get(batch.topic)
        if found is None:
            return False
        topic = self._topics.get(batch.topic)
        # A batch that an earlier version left on disk may be of a topic that this one does not know.
        expected = topic.partitions if topic is not None else max(found, batch.partition + 1)
        if found != expected or batch.partition >= found:
            raise PartitionsDiffer(
                f"{batch.topic} has {found} partitions on the broker and {expected} in this producer's table of topics:"
                " the same subject would go to another partition. Give the topic as many partitions as the table says,"
                " or run the version of Norn that the broker was set up for"
            )
        return True

    def send(self, batch: Batch) -> None:
        """Hand a batch to the client; `failure` tells when it would not take it."""
        sent = _Sent(batch)
        messages: list[dict[str, Any]] = [{"key": key, "value": value} for key, value in batch.events]
        # A broker takes an idempotent client's records of a partition in sequence only: the last one speaks for all.
        messages[-1]["callback"] = partial(self._on_delivery, sent)
        self._sent.append(sent)
        self.in_flight += len(messages)
        try:
            taken = self._client.produce_batch(batch.topic, messages, batch.partition)
        except KafkaException as error:
            self._refused(f"the client refused {batch.topic}: {error}")
            return
        if taken != len(messages):
            refused = next(message["_error"] for message in messages if "_error" in message)
            self._refused(f"the client refused a record of {batch.topic}: {refused}")

    def poll(self, timeout_s: float) -> None:
        """Serve what the client has to say, for `timeout_s` or until it fails."""
        until = time.monotonic() + timeout_s
        try:
            self._client.poll(timeout_s)
            while (left_s := until - time.monotonic()) > 0:
                self._client.poll(left_s)
        except KafkaException as error:
            # The client raises what stops it for good; it never tells its error callback of that.
            self.failure = self.failure or error.args[0].str()

    def acknowledged(self) -> list[Batch]:
        """The batches that are acknowledged, in the order they were sent, up to the first that is not; each once."""
        done = []
        while self._sent and self._sent[0].acknowledged:
            batch = self._sent.popleft().batch
            self.in_flight -= len(batch.events)
            done.append(batch)
        return done

    def close(self) -> list[tuple[Batch, bool]]:
        """Let the client go; returns the batches `acknowledged` has not told of, with whether they are acknowledged."""
        client = self._client
        client.purge()
        until = time.monotonic() + _PURGE_S
        while len(client) and time.monotonic() < until:
            client.poll(0.01)
        del self._client
        return [(sent.batch, sent.acknowledged) for sent in self._sent]

    def _refused(self, refusal: str) -> None:
        # A client that has stopped for good refuses everything; why it stopped is told by a poll.
        self.poll(0)
        self.failure = self.failure or refusal

    def _on_delivery(self, sent: _Sent, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            sent.acknowledged = True
        elif not self.failure:
            self.failure = f"{sent.batch.topic} partition {sent.batch.partition}: {error.str()}"

    def _on_error(self, error: KafkaError) -> None:
        self.complaint = error.str()
