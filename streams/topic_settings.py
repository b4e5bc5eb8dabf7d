"""What a topic's settings must be on a broker for Norn's promises to hold, and what differs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas import Topic

KEPT_FOR_EVER = -1
#: With three copies or more, two must have an event before it is acknowledged: one broker may be lost at any time.
SAFE_REPLICATION = 3
IN_SYNC_LEAST = 2
#: The largest batch that librdkafka makes (`message.max.bytes`); a topic that takes less refuses it for good.
BATCH_BYTES_MAX = 1_000_000
#: Kafka's own default, which has room for such a batch and its frame.
MESSAGE_BYTES_MAX = 1_048_588


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of a topic that breaks a promise: what it is on the broker, what it must be, and why."""

    topic: str
    setting: str
    found: str
    wanted: str
    why: str

    def __str__(self) -> str:
        return f"{self.topic} has {self.setting}={self.found} in place of {self.wanted} ({self.why})"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A setting, what it must be for a topic, whether a value that was found will do, and what it is for."""

    setting: str
    wanted: Callable[[Topic], str]
    does: Callable[[str, Topic], bool]
    why: str
    #: The rule is for topics that have at least so many copies.
    replication: int = 1


def _keeps(found: str, topic: Topic) -> bool:
    kept_ms = int(found)
    return kept_ms == KEPT_FOR_EVER or (topic.retention_ms != KEPT_FOR_EVER and kept_ms >= topic.retention_ms)


RULES = (
    _Rule(
        "message.timestamp.type",
        lambda topic: "LogAppendTime",
        lambda found, topic: found == "LogAppendTime",
        "a stamp is judged by when the broker took the record; else any producer's clock decides what came last",
    ),
    _Rule(
        "cleanup.policy",
        lambda topic: "delete",
        lambda found, topic: found == "delete",
        "a compacted topic keeps only the last event of each subject",
    ),
    _Rule("retention.ms", lambda topic: str(topic.retention_ms), _keeps, "the log is the truth, and is folded again"),
    _Rule(
        "retention.bytes",
        lambda topic: str(KEPT_FOR_EVER),
        lambda found, topic: int(found) == KEPT_FOR_EVER,
        "events are kept by their age, however many there are",
    ),
    _Rule(
        "max.message.bytes",
        lambda topic: str(MESSAGE_BYTES_MAX),
        lambda found, topic: int(found) >= BATCH_BYTES_MAX,
        "producers send batches of this size",
    ),
    _Rule(
        "min.insync.replicas",
        lambda topic: str(IN_SYNC_LEAST),
        lambda found, topic: int(found) >= IN_SYNC_LEAST,
        "an acknowledged event must outlive the broker that took it",
        replication=SAFE_REPLICATION,
    ),
    _Rule(
        "unclean.leader.election.enable",
        lambda topic: "false",
        lambda found, topic: found == "false",
        "a copy that lags may not become the truth",
        replication=2,
    ),
)


def differences(topic: Topic, settings: Mapping[str, str], replication: int) -> list[Difference]:
    """What breaks a promise in a topic with these settings and so many copies; a setting not told of is passed over."""
    return [
        Difference(topic.name, rule.setting, found, rule.wanted(topic), rule.why)
        for rule in RULES
        if replication >= rule.replication
        and (found := settings.get(rule.setting)) is not None
        and not rule.does(found, topic)
    ]


def at_creation(topic: Topic, replication: int) -> dict[str, str]:
    """The settings that a topic is made with: those that a broker's own defaults may have otherwise."""
    return {rule.setting: rule.wanted(topic) for rule in RULES if replication >= rule.replication}
