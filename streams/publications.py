"""Publications: events that a transaction has made certain, numbered in it, and sent to the log until that has them.

The SDK's producer numbers events in memory, so what it had not sent when it was killed is said again as another event.
Here the event, its number and the effect that it belongs to commit together: however often it is sent, it is the same
event, and every reader knows a repeat by its number.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka import Producer as KafkaClient
from google.protobuf.message import Message

from schemas import TOPICS, Event, Topic, UnknownFact, fact_name
from schemas.partitions import partition_of
from streams.database import Database, Waiting
from streams.sdk.envelope import SHAPES, Envelopes, subject_key
from streams.sdk.session import SAFETY, TUNING
from streams.statements import statement

log = logging.getLogger(__name__)

# What is sent in one go, and how often it is looked for what an earlier life has left.
SEND_MAX = 500
LOOK_EVERY_S = 1.0
# The broker acknowledges in milliseconds; while it is away this is how often that is said.
FLUSH_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Publication:
    """A fact on its way to the log, checked and encoded."""

    topic: str
    partition: int
    subject: str
    field: bytes
    #: The event that led to it, if one did.
    cause: Event | None = None

    @classmethod
    def of(
        cls, fact: Message, subject: str, cause: Event | None = None, topics: Mapping[str, Topic] = TOPICS
    ) -> Publication:
        """Check and encode a fact. Raises EventRefused and UnknownFact for what may not be written."""
        name = fact_name(fact)
        topic = next((topic for topic in topics.values() if name in topic.facts), None)
        if topic is None:
            raise UnknownFact(f"no topic carries {name}: name it in TOPICS")
        subject_key(subject)
        return cls(topic.name, partition_of(subject, topic.partitions), subject, SHAPES[type(fact)].encode(fact), cause)


_CLAIM = statement("claim_publisher")
_NUMBER = statement("number_publications")
_STORE = statement("store_publication")
_UNSENT = statement("unsent_publications")
_FORGET = statement("forget_publication")


class Publications:
    """One group's publications. `sending` says whether this worker is the one to send them."""

    def __init__(
        self,
        group: str,
        database: Database,
        kafka: str,
        *,
        region: str,
        now_ms: Callable[[], int],
        waiting: Waiting,
        sending: Callable[[], bool],
    ) -> None:
        self._group = group
        self._database = database
        self._settings = {**TUNING, **SAFETY, "bootstrap.servers": kafka}
        self._region = region
        self._now_ms = now_ms
        self._waiting = waiting
        self._sending = sending
        self._envelopes: Envelopes | None = None
        self._client: KafkaClient | None = None
        self._stored = asyncio.Event()

    async def add(self, connection: Any, publications: Sequence[Publication]) -> None:
        """Number and store publications in the caller's transaction; call `stored` once it has committed."""
        if not publications:
            return
        envelopes = await self._sealing(connection)
        lanes: defaultdict[tuple[str, int], list[Publication]] = defaultdict(list)
        for publication in publications:
            lanes[publication.topic, publication.partition].append(publication)
        numbers = {}
        # Two that number at once lock the lanes in one order.
        for lane in sorted(lanes):
            last = await connection.fetchval(_NUMBER, self._group, *lane, len(lanes[lane]))
            numbers[lane] = iter(range(last - len(lanes[lane]) + 1, last + 1))
        rows = []
        # Stamped in the order they were made in, whatever their lanes.
        for each in publications:
            sequence = next(numbers[each.topic, each.partition])
            cause, trace = (each.cause.id, each.cause.trace) if each.cause is not None else (b"", "")
            if each.cause is not None:
                envelopes.observe(each.cause.stamp)
            _, value = envelopes.seal(each.field, each.subject, sequence, cause, trace)
            rows.append((self._group, each.topic, each.partition, sequence, subject_key(each.subject), value))
        await connection.executemany(_STORE, rows)

    def stored(self) -> None:
        """Say that there is something to send."""
        self._stored.set()

    async def run(self) -> None:
        """Send what is stored until cancelled."""
        while True:
            if not self._sending() or not await self._sent_whole():
                await self._idle()

    async def send(self) -> int:
        """Send what there is, at most SEND_MAX, in the order of each partition; gives how many the log has now."""
        self._stored.clear()
        rows = await self._database.read(lambda connection: connection.fetch(_UNSENT, self._group, SEND_MAX))
        if not rows:
            return 0
        acknowledged = await asyncio.to_thread(self._deliver, rows)
        await self._database.read(lambda connection: connection.executemany(_FORGET, acknowledged))
        return len(acknowledged)

    async def _sent_whole(self) -> int:
        # What has begun is brought to its end: a worker that is told to stop leaves nothing sent and not noted.
        sending = asyncio.ensure_future(self.send())
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            await sending
            raise

    def _deliver(self, rows: Sequence[Any]) -> list[tuple[str, str, int, int]]:
        client = self._client = self._client or KafkaClient(self._settings)
        acknowledged: list[tuple[str, str, int, int]] = []
        failures: list[str] = []

        def told(key: tuple[str, int, int]) -> Callable[[Any, Any], None]:
            def report(error: Any, _: Any) -> None:
                if error is None:
                    acknowledged.append((self._group, *key))
                else:
                    failures.append(str(error))

            return report

        try:
            for row in rows:
                place = row["topic"], row["partition"], row["sequence"]
                client.produce(place[0], row["value"], row["key"], place[1], on_delivery=told(place))
        except (BufferError, KafkaException) as error:
            failures.append(str(error))
        if client.flush(FLUSH_TIMEOUT_S):
            failures.append("not acknowledged yet")
        if failures:
            # Its queue is dropped; what the log has had of it all the same is a repeat, and known as one.
            client.purge()
            self._client = None
            self._waiting.begin("Kafka", failures[0])
        else:
            self._waiting.end("Kafka")
        return acknowledged

    async def _sealing(self, connection: Any) -> Envelopes:
        if self._envelopes is None:
            origin = await connection.fetchval(_CLAIM, self._group)
            self._envelopes = Envelopes(self._region, f"{self._group}-{origin}", self._now_ms, os.urandom)
        return self._envelopes

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._stored.wait()
        except TimeoutError:
            return
