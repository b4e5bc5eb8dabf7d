"""Kafka's request to fetch by topic id (version 13), which aiokafka does not speak.

A topic that is deleted and made anew has its old name and new offsets. Asked by name, the broker goes on at the old
offset as soon as the new log is as long; asked by id, it says that there is no such topic any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.types import (
    AbstractType,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID = 100, 103
#: The version whose answer this one is turned into, which aiokafka knows.
ANSWERED_AS = 11


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


_TAGS = ("tags", TaggedFields)


class FetchResponse_v13(Response):  # type: ignore[misc]
    """What the broker answers."""

    API_KEY = 1
    API_VERSION = 13
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("session_id", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("highwater_offset", Int64),
                        ("last_stable_offset", Int64),
                        ("log_start_offset", Int64),
                        (
                            "aborted_transactions",
                            CompactArray(("producer_id", Int64), ("first_offset", Int64), _TAGS),
                        ),
                        ("preferred_read_replica", Int32),
                        ("message_set", CompactBytes),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class FetchRequest_v13(RequestStruct):  # type: ignore[misc]
    """What is asked."""

    FLEXIBLE_VERSION = True
    API_KEY = 1
    API_VERSION = 13
    RESPONSE_TYPE = FetchResponse_v13
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("max_wait_time", Int32),
        ("min_bytes", Int32),
        ("max_bytes", Int32),
        ("isolation_level", Int8),
        ("session_id", Int32),
        ("session_epoch", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("current_leader_epoch", Int32),
                        ("fetch_offset", Int64),
                        ("last_fetched_epoch", Int32),
                        ("log_start_offset", Int64),
                        ("max_bytes", Int32),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        ("forgotten_topics_data", CompactArray(("topic_id", _Uuid), ("partitions", CompactArray(Int32)), _TAGS)),
        ("rack_id", CompactString("utf-8")),
        _TAGS,
    )


class OldBroker(Exception):
    """The broker is older than 3.1, and cannot be asked by id."""


class FetchById(Request[FetchRequest_v13]):  # type: ignore[misc]
    """aiokafka's request to fetch, by the ids of its topics. Sending it raises OldBroker before Kafka 3.1."""

    API_KEY = 1

    def __init__(self, by_name: FetchRequest, ids: Mapping[str, bytes]) -> None:
        self._asked = by_name
        self._ids = ids

    def prepare(self, versions: dict[int, tuple[int, int]]) -> FetchRequest_v13:
        """The request in the version to be sent, given those that the broker knows."""
        if versions.get(self.API_KEY, (0, 0))[1] < FetchRequest_v13.API_VERSION:
            raise OldBroker
        return self.build(FetchRequest_v13)

    def build(self, request_struct_class: type[FetchRequest_v13]) -> FetchRequest_v13:
        """The request as it goes over the wire: without a session, and with epochs that are not known."""
        asked = self._asked
        topics: list[tuple[Any, ...]] = [
            (self._ids[topic], [(number, -1, offset, -1, -1, most, {}) for number, offset, most in partitions], {})
            for topic, partitions in asked.topics
        ]
        limits = (asked._max_wait_ms, asked._min_bytes, asked._max_bytes)
        return request_struct_class(-1, *limits, asked._isolation_level, 0, -1, topics, [], asked._rack_id, {})

    def answer(self, response: Any) -> Any:
        """The answer by the names of the topics, as of the version that aiokafka knows."""
        names = {number: name for name, number in self._ids.items()}
        if response.error_code:
            # It says of no partition what is wrong: of all, then.
            failed = {name: [number for number, _, _ in partitions] for name, partitions in self._asked.topics}
            return _answered({name: [_failed(n, response.error_code) for n in failed[name]] for name in failed})
        return _answered(
            {
                names[number]: [
                    (partition, code, highwater, stable, start, _pairs(aborted), replica, data or b"")
                    for partition, code, highwater, stable, start, aborted, replica, data, _ in partitions
                ]
                for number, partitions, _ in response.topics
            }
        )


def gone(answer: Any) -> set[str]:
    """The topics of an answer that the broker no longer has under their id."""
    codes = {UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID}
    return {topic for topic, partitions in answer.topics if any(each[1] in codes for each in partitions)}


def told(answer: Any, topics: Collection[str], code: int) -> Any:
    """The answer with this error for these topics."""
    return _answered(
        {
            topic: [_failed(each[0], code) for each in partitions] if topic in topics else partitions
            for topic, partitions in answer.topics
        }
    )


def _answered(topics: Mapping[str, list[tuple[Any, ...]]]) -> Any:
    return SimpleNamespace(API_VERSION=ANSWERED_AS, topics=list(topics.items()))


def _failed(partition: int, code: int) -> tuple[Any, ...]:
    return partition, code, -1, -1, -1, None, -1, b""


def _pairs(aborted: Any) -> list[tuple[int, int]]:
    return [(producer, first) for producer, first, _ in aborted or ()]
