"""Topics on a broker: made as the table says, compared with it, mended and measured."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo, OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from schemas import TOPICS, PermanentError, TemporaryError, Topic
from streams.topic_settings import Difference, at_creation, differences

_TIMEOUT_S = 15.0
_LEADERLESS = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
_LOOK_EVERY_S = 0.05

MAKE, MEND = "norn topics --create", "norn topics --fix"


class TopicsDiffer(PermanentError):
    """Topics on the broker are not as the table says; the message names what mends them, where anything does."""

    reason = "topics_differ"

    def __init__(self, message: str, mend: str = "") -> None:
        """`mend` is the command that mends it, empty where none does."""
        super().__init__(f"{message}. `{mend}` mends it." if mend else message)
        self.mend = mend


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
    _check_partitions(wanted, _partitions_of(admin, wanted))
    return created


def check_topics(bootstrap: str, topics: Iterable[Topic] = TOPICS.values()) -> None:
    """Look whether the broker has the topics with the settings that Norn's promises rest on.

    Blocks; raises TopicsDiffer, which names the command that mends it, BrokerAway, and KafkaException when the broker
    refuses.
    """
    wanted = list(topics)
    admin = _admin(bootstrap)
    found = _partitions(admin)
    missing = [topic.name for topic in wanted if topic.name not in found]
    if missing:
        raise TopicsDiffer(f"the broker lacks {', '.join(missing)}", MAKE)
    _check_partitions(wanted, found)
    if differing := _differences(admin, wanted):
        raise TopicsDiffer("; ".join(map(str, differing)), MEND)


def topic_differences(bootstrap: str, topics: Iterable[Topic] = TOPICS.values()) -> list[Difference]:
    """The settings that break a promise, of those topics that the broker has. Raises what `check_topics` raises."""
    admin = _admin(bootstrap)
    found = _partitions(admin)
    return _differences(admin, [topic for topic in topics if topic.name in found])


def mend_topics(bootstrap: str, found: Iterable[Difference]) -> None:
    """Give those settings the values that are wanted, and leave all others as they are.

    Records that are in the log keep the times that they have. Raises KafkaException when the broker refuses.
    """
    by_topic: dict[str, list[ConfigEntry]] = {}
    for one in found:
        setting = ConfigEntry(one.setting, one.wanted, incremental_operation=AlterConfigOpType.SET)
        by_topic.setdefault(one.topic, []).append(setting)
    resources = [
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=settings) for topic, settings in by_topic.items()
    ]
    admin = _admin(bootstrap)
    # Without any the client would refuse to ask.
    asked = admin.incremental_alter_configs(resources, request_timeout=_TIMEOUT_S) if resources else {}
    for answer in asked.values():
        answer.result()


def log_sizes(bootstrap: str, topics: Iterable[Topic] = TOPICS.values()) -> dict[tuple[str, int], tuple[int, int]]:
    """The first offset and the one after the last committed, of every partition of those topics that the broker has.

    What an open transaction has written, and all behind it, is not there for readers yet.

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


def _check_partitions(topics: list[Topic], found: Mapping[str, int]) -> None:
    differing = [
        f"{topic.name} has {found[topic.name]} partitions on the broker and {topic.partitions} in the table"
        for topic in topics
        if found[topic.name] != topic.partitions
    ]
    if differing:
        raise TopicsDiffer(
            f"{'; '.join(differing)}. A subject's partition follows from their number, so they must agree: use another"
            " broker, delete the topic if nothing in it is needed, or run the version of Norn that made it"
        )


def _differences(admin: AdminClient, topics: list[Topic]) -> list[Difference]:
    if not topics:
        return []
    listed = admin.list_topics(timeout=_TIMEOUT_S).topics
    resources = {topic.name: ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics}
    asked = admin.describe_configs(list(resources.values()), request_timeout=_TIMEOUT_S)
    found = []
    for topic in topics:
        told = asked[resources[topic.name]].result()
        settings = {name: entry.value for name, entry in told.items() if entry.value is not None}
        copies = min((len(partition.replicas) for partition in listed[topic.name].partitions.values()), default=1)
        found += differences(topic, settings, copies)
    return found


def _create(admin: AdminClient, topics: list[Topic], replication: int) -> list[str]:
    asked: dict[str, Future[None]] = admin.create_topics(
        [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=replication,
                config=at_creation(topic, replication),
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
        {TopicPartition(topic, n): which for topic, n in places},
        isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=_TIMEOUT_S,
    )
    return {(place.topic, place.partition): answer.result().offset for place, answer in asked.items()}


def _is_leaderless(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _LEADERLESS
