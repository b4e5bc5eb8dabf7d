"""Topics on a broker: made as the table says, and measured."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo, OffsetSpec
from confluent_kafka.cimpl import NewTopic
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from schemas import TOPICS, PermanentError, TemporaryError, Topic

_TIMEOUT_S = 15.0
_LEADERLESS = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
_LOOK_EVERY_S = 0.05
# With three copies or more, two must have an event before it is acknowledged: one broker may be lost at any time.
_SAFE_REPLICATION = 3


class TopicsDiffer(PermanentError):
    """Topics on the broker are not as the table says, and cannot be changed without moving subjects."""

    reason = "topics_differ"


class BrokerAway(TemporaryError):
    """No broker answered in time."""

    reason = "broker_away"


def create_topics(bootstrap: str, topics: Iterable[Topic] = TOPICS.values(), replication: int = 1) -> list[str]:
    """Create the topics that are missing, compare the partitions of the others; returns the names of those created.

    Records are timed by the broker, not by their producer: a stamp is judged by when it arrived.
    Raises TopicsDiffer, BrokerAway, and KafkaException when the broker refuses.
    """
    wanted = list(topics)
    admin = _admin(bootstrap)
    found = _partitions(admin)
    missing = [topic for topic in wanted if topic.name not in found]
    created = _create(admin, missing, replication) if missing else []
    found = _partitions_of(admin, wanted)
    differing = [
        f"{topic.name} has {found[topic.name]} partitions on the broker and {topic.partitions} in the table"
        for topic in wanted
        if found[topic.name] != topic.partitions
    ]
    if differing:
        raise TopicsDiffer(
            f"{'; '.join(differing)}. A subject's partition follows from their number, so they must agree: use another"
            " broker, delete the topic if nothing in it is needed, or run the version of Norn that made it"
        )
    return created


def log_sizes(bootstrap: str, topics: Iterable[Topic] = TOPICS.values()) -> dict[tuple[str, int], tuple[int, int]]:
    """The first offset and the one after the last, of every partition of those topics that the broker has.

    Blocks; raises BrokerAway, and KafkaException when a partition has no leader for `_TIMEOUT_S`.
    """
    admin = _admin(bootstrap)
    found = _partitions(admin)
    places = [(topic.name, n) for topic in topics for n in range(found.get(topic.name, 0))]
    lows = _offsets(admin, places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
    highs = _offsets(admin, places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    return {place: (lows[place], highs[place]) for place in places}


def _admin(bootstrap: str) -> AdminClient:
    # Errors reach the caller as exceptions; librdkafka need not print them as well.
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def _partitions(admin: AdminClient) -> dict[str, int]:
    try:
        listed = admin.list_topics(timeout=_TIMEOUT_S).topics
    except KafkaException as error:
        raise BrokerAway(f"no broker answered within {_TIMEOUT_S:g} s: {error.args[0].str()}") from None
    return {name: len(topic.partitions) for name, topic in listed.items() if topic.error is None}


def _partitions_of(admin: AdminClient, topics: list[Topic]) -> dict[str, int]:
    """Wait until the broker that answers has heard of all topics: the one that made them tells the others."""
    until = time.monotonic() + _TIMEOUT_S
    while missing := {topic.name for topic in topics} - (found := _partitions(admin)).keys():
        if time.monotonic() > until:
            raise BrokerAway(f"made, but not to be seen after {_TIMEOUT_S:g} s: {', '.join(sorted(missing))}")
        time.sleep(_LOOK_EVERY_S)
    return found


def _create(admin: AdminClient, topics: list[Topic], replication: int) -> list[str]:
    config = {"message.timestamp.type": "LogAppendTime"}
    if replication >= _SAFE_REPLICATION:
        config["min.insync.replicas"] = "2"
    asked: dict[str, Future[None]] = admin.create_topics(
        [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=replication,
                config={**config, "retention.ms": str(topic.retention_ms)},
            )
            for topic in topics
        ],
        operation_timeout=_TIMEOUT_S,
        request_timeout=_TIMEOUT_S,
    )
    return [name for name, answer in asked.items() if _was_created(answer)]


def _was_created(answer: Future[None]) -> bool:
    try:
        answer.result()
    except KafkaException as error:
        # Somebody else made it in the meantime.
        if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
            raise
        return False
    return True


def _offsets(admin: AdminClient, places: list[tuple[str, int]], which: Any) -> dict[tuple[str, int], int]:
    if not places:
        return {}
    # A topic that has just been made has no leader for a moment.
    asking = Retrying(
        retry=retry_if_exception(_is_leaderless),
        stop=stop_after_delay(_TIMEOUT_S),
        wait=wait_fixed(_LOOK_EVERY_S),
        reraise=True,
    )
    found: dict[tuple[str, int], int] = asking(_ask_offsets, admin, places, which)
    return found


def _ask_offsets(admin: AdminClient, places: list[tuple[str, int]], which: Any) -> dict[tuple[str, int], int]:
    asked: dict[TopicPartition, Future[ListOffsetsResultInfo]] = admin.list_offsets(
        {TopicPartition(topic, n): which for topic, n in places}, request_timeout=_TIMEOUT_S
    )
    return {(place.topic, place.partition): answer.result().offset for place, answer in asked.items()}


def _is_leaderless(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _LEADERLESS
