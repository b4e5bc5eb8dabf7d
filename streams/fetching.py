"""Polling aiokafka's fetcher for columns.

aiokafka keeps fetching, metadata, positions and the group; what is replaced is the way from the bytes of a fetch to
the records of a poll, on which it makes a Python object of each record and appends it. Its class for a fetch's bytes
hides them, so they are taken from the answer as it comes from the client.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any, Protocol

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError, UnknownTopicOrPartitionError
from aiokafka.protocol.fetch import FetchRequest
from faust.types import TP

from schemas import TemporaryError
from streams.fetch_by_id import FetchById, OldBroker, gone, told
from streams.records import Records
from streams.unpacking import Fetched

# What a poll takes at most of keys and values, beside its limit on records: events are at most 10 KB where Norn's
# producers write them, and records of anybody else's may be of any size.
POLL_BYTES_MAX = 256 << 20


log = logging.getLogger(__name__)


class TopicIds(Protocol):
    """Asks the broker for the ids of topics, leaving out those that it does not have or gives no id."""

    async def __call__(self, topics: Collection[str]) -> Mapping[str, bytes]:
        """The ids, of 16 bytes, by the names of the topics. Raises TemporaryError."""


class Tap:
    """aiokafka's client as its fetcher sees it: notes what the last fetch of each partition brought.

    It asks for topics by the ids that they had when their positions were first claimed, so that a topic made anew under
    the same name is out of range.
    """

    def __init__(self, client: Any, topic_ids: TopicIds) -> None:
        self._client = client
        self._topic_ids = topic_ids
        #: The ids that the topics had when they were first asked for.
        self.ids: dict[str, bytes] = {}
        #: Topics that were deleted since, or are others now under the same name.
        self.replaced: set[str] = set()
        # Until a broker is found to be too old for it.
        self._by_id = True
        #: For each partition: the offset asked for, the bytes, and the aborted transactions among them.
        self._brought: dict[TP, tuple[int, bytes, list[tuple[int, int]]]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """Ask the broker."""
        if not isinstance(request, FetchRequest):
            return await self._client.send(node_id, request, **options)
        response = await self._fetch(node_id, request, options)
        asked = {TP(topic, each[0]): each[1] for topic, partitions in request.topics for each in partitions}
        for tp, raw, aborted in _answers(response):
            self._brought[tp] = asked[tp], raw, aborted
        return response

    async def pin(self, topics: Collection[str]) -> None:
        """Note the ids of the topics that were not noted before, and which of all that were noted are `replaced`."""
        found = await self._topic_ids({*topics, *self.ids})
        self.replaced.update(topic for topic, number in self.ids.items() if found.get(topic) != number)
        self.ids = {**found, **self.ids}

    async def _fetch(self, node_id: int, request: FetchRequest, options: Mapping[str, Any]) -> Any:
        ids = self.ids
        if not self._by_id or any(topic not in ids for topic, _ in request.topics):
            return await self._client.send(node_id, request, **options)
        by_id = FetchById(request, ids)
        try:
            answer = by_id.answer(await self._client.send(node_id, by_id, **options))
        except OldBroker:
            log.warning("This Kafka is older than 3.1: a topic that is deleted and made anew may go unnoticed")
            self._by_id = False
            return await self._client.send(node_id, request, **options)
        if lost := gone(answer):
            # This broker may only not have heard of a topic yet.
            try:
                await self.pin(lost)
            except TemporaryError as error:
                log.info("%s", error)
            answer = told(answer, lost - self.replaced, UnknownTopicOrPartitionError.errno)
            answer = told(answer, lost & self.replaced, OffsetOutOfRangeError.errno)
        return answer

    def fetched(self, hidden: PartitionRecords) -> Fetched | None:
        """What aiokafka has wrapped as `hidden`, from which nothing was taken yet, as columns.

        None where a later fetch of the partition has taken its place.
        """
        tp = TP(*hidden._tp)
        asked, raw, aborted = self._brought.pop(tp, (None, b"", []))
        if asked is None or asked != hidden.next_fetch_offset:
            return None
        committed = hidden._isolation_level == READ_COMMITTED
        return Fetched(tp, raw, asked, aborted=aborted if committed else (), check_crcs=hidden._check_crcs)


def _answers(response: Any) -> Iterator[tuple[TP, bytes, list[tuple[int, int]]]]:
    for topic, partitions in response.topics:
        for partition, _, _, *data in partitions:
            # Since version 11 a preferred replica is between the aborted transactions and the bytes; before 4 there
            # were no transactions.
            version = response.API_VERSION
            aborted = data[2] if version >= 11 else data[-2] if version >= 4 else None
            yield TP(topic, partition), data[-1], aborted or []


async def poll(fetcher: Any, wanted: Set[TP], records_max: int) -> dict[TP, Records]:
    """What has been fetched of these partitions and not been taken, within a poll's limits.

    Moves the positions over it. The fetcher's client is a Tap. Raises what a fetch came to where it failed, and
    CorruptRecordException.
    """
    if fetcher._subscriptions.reassignment_in_progress:
        await fetcher._subscriptions.wait_for_assignment()
    drained: dict[TP, Records] = {}
    bytes_max = POLL_BYTES_MAX
    for tp, result in list(fetcher._records.items()):
        if tp not in wanted:
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
            continue
        if records_max <= 0 or bytes_max <= 0:
            break
        if isinstance(result, FetchResult):
            if (stretch := _taken(fetcher, tp, result, records_max, bytes_max)) is not None:
                drained[TP(*tp)] = stretch
                records_max -= len(stretch)
                bytes_max -= stretch.keys.nbytes + stretch.values.nbytes
        elif isinstance(result._error, NoOffsetForPartitionError):
            # Kafka keeps no position of this one; the claim will say what it is.
            _forget(fetcher, tp)
        elif drained:
            # Raised by the next poll.
            break
        else:
            _forget(fetcher, tp)
            result.check_raise()
    return drained


def _taken(fetcher: Any, tp: Any, result: FetchResult, records_max: int, bytes_max: int) -> Records | None:
    if not result.check_assignment(tp):
        _forget(fetcher, tp)
        return None
    try:
        fetched = result._partition_records
        if isinstance(fetched, PartitionRecords):
            fetched = result._partition_records = fetcher._client.fetched(fetched)
        if fetched is None:
            _forget(fetcher, tp)
            return None
        stretch: Records = fetched.take(records_max, bytes_max)
    except Exception:
        # Fetched again: the position has not moved.
        _forget(fetcher, tp)
        raise
    result._update_position()
    if fetched.over:
        _forget(fetcher, tp)
    return stretch if stretch.high > stretch.low else None


def _forget(fetcher: Any, tp: Any) -> None:
    """Let the fetcher fetch the partition again."""
    del fetcher._records[tp]
    fetcher._notify(fetcher._wait_consume_future)
