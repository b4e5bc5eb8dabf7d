"""Standby: one member of a group has all partitions, the others wait until it is gone.

Kafka's own membership is the election: a member that dies is missed after the session timeout, and the next in line is
given everything. The one that was given it last stays, so that neither a worker that joins nor one that wakes up pushes
out the one that works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

_TIME_BYTES = 8


class OneMember(AbstractPartitionAssignor):  # type: ignore[misc]
    """Assigns every partition to one member. aiokafka takes assignors as classes: make a member's own with `here`."""

    name = "norn-one-member"
    version = 0
    now_ms: Callable[[], int]
    #: When this member started, and when it was last given the partitions, 0 while it has none; Unix milliseconds.
    started_ms: ClassVar[int] = 0
    held_ms: ClassVar[int] = 0

    @classmethod
    def here(cls, now_ms: Callable[[], int]) -> type[OneMember]:
        """The assignor of a member that starts now."""
        return type("OneMemberHere", (cls,), {"now_ms": staticmethod(now_ms), "started_ms": now_ms(), "held_ms": 0})

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """All to the member that was given them last, else to the one that started first."""
        chosen = min(members, key=lambda member: (*_rank(members[member]), member))
        topics = sorted({topic for metadata in members.values() for topic in metadata.subscription})
        everything = [(topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in topics]
        held = {member: everything if member == chosen else [] for member in members}
        return {member: ConsumerProtocolMemberAssignment(cls.version, mine, b"") for member, mine in held.items()}

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member tells the others of itself."""
        told = cls.held_ms.to_bytes(_TIME_BYTES) + cls.started_ms.to_bytes(_TIME_BYTES)
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), told)

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Remember when this member was given the partitions; of two that think they have them the later is right."""
        has_any = any(partitions for _, partitions in assignment.assignment)
        cls.held_ms = cls.now_ms() if has_any else 0


def _rank(metadata: ConsumerProtocolMemberMetadata) -> tuple[int, int]:
    told = metadata.user_data
    return -int.from_bytes(told[:_TIME_BYTES]), int.from_bytes(told[_TIME_BYTES:])
