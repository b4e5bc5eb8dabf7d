"""Dead letters: records that could not be used, kept whole in Postgres and told of on the log.

The row is written in the transaction that steps over the record, so none is lost; it is the outbox from which the
DeadLettered event is published, at least once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from faust.types import TP
from google.protobuf.message import Message

from schemas import DeadLettered, UnknownFact
from schemas.event import FACT_NUMBERS, unknown_facts
from streams.statements import statement

# One round of publishing; the next follows at once while there are more.
PUBLISH_BATCH_MAX = 200

# One transaction takes up as many of the records that were set aside: some megabytes.
SET_ASIDE_MAX = 1_000

# A larger record stays in Postgres alone: with its envelope the event would pass the 10 KB that a fact may have.
PUBLISHED_VALUE_BYTES_MAX = 8_000

# A detail is for people; the record itself holds the rest.
DETAIL_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be used, where it stands in the log, and why. The reasons are those of schemas.errors."""

    topic: str
    partition: int
    offset: int
    role: str
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    #: When the broker appended the record, in Unix milliseconds.
    appended_ms: int = 0
    #: The numbers of facts that this version does not know, where that is why.
    unknown_fields: tuple[int, ...] = ()

    @classmethod
    def of(cls, record: Any, tp: TP, role: str, reason: str, error: BaseException) -> DeadLetter:
        """The dead letter of a Kafka record that raised `error`."""
        # Postgres text cannot hold NUL, which an error that quotes the record may.
        detail = f"{type(error).__name__}: {error}".replace("\x00", "\\0")[:DETAIL_CHARACTERS_MAX]
        unknown = unknown_facts(record.value) if isinstance(error, UnknownFact) else ()
        kept = record.key, record.value, record.timestamp, unknown
        return cls(tp.topic, tp.partition, record.offset, role, reason, detail, *kept)


class Publisher(Protocol):
    """The part of the SDK's Producer that the shell uses."""

    def publish(self, fact: Message, *, subject: str, cause: bytes = b"", trace: str = "") -> bytes:
        """Queue a fact; gives its event's id."""

    def flush(self, timeout_s: float = ...) -> int:
        """Wait for acknowledgements; gives how many are still missing."""


async def store(connection: Any, letters: list[DeadLetter]) -> None:
    """Write dead letters in the caller's transaction; to one that is there already only the role is added."""
    if letters:
        rows = [
            (x.topic, x.partition, x.offset, x.role, x.reason, x.detail, x.key, x.value, x.appended_ms, _numbers(x))
            for x in letters
        ]
        await connection.executemany(statement("store_dead_letter"), rows)


def _numbers(letter: DeadLetter) -> list[int] | None:
    return list(letter.unknown_fields) or None


async def set_aside(connection: Any, role: str, partitions: Sequence[TP]) -> list[Any]:
    """Records of facts that the role did not know and this version does, in the order of the log, SET_ASIDE_MAX."""
    topics, numbers = [tp.topic for tp in partitions], [tp.partition for tp in partitions]
    rows: list[Any] = await connection.fetch(
        statement("read_set_aside"), role, sorted(FACT_NUMBERS), topics, numbers, SET_ASIDE_MAX
    )
    return rows


async def take_up(connection: Any, role: str, places: Sequence[tuple[TP, int]]) -> bool:
    """Note in the caller's transaction that the role takes these up after all; False when it had done so already.

    `places`: partitions and offsets. What no role has set aside any more is a dead letter no longer.
    """
    keys = [tp.topic for tp, _ in places], [tp.partition for tp, _ in places], [offset for _, offset in places]
    taken: int = await connection.fetchval(statement("take_up_set_aside"), role, *keys)
    await connection.execute(statement("drop_taken_up"), *keys)
    return taken == len(places)


async def unpublished(connection: Any) -> list[Any]:
    """The next dead letters that the log has not been told of."""
    rows: list[Any] = await connection.fetch(statement("unpublished_dead_letters"), PUBLISH_BATCH_MAX)
    return rows


def fact(row: Any) -> DeadLettered:
    """The fact that tells of a stored dead letter; a record too large for an event stays in Postgres alone."""
    whole = len(row["key"] or b"") + len(row["value"] or b"") <= PUBLISHED_VALUE_BYTES_MAX
    return DeadLettered(
        reason=row["reason"],
        detail=row["detail"],
        topic=row["topic"],
        partition=row["partition"],
        offset=row["record_offset"],
        key=row["key"] or b"" if whole else b"",
        value=row["value"] or b"" if whole else b"",
        role=", ".join(row["roles"]),
    )


async def mark_published(connection: Any, rows: list[Any]) -> None:
    """Note that the log has been told of these."""
    keys = [(row["topic"], row["partition"], row["record_offset"]) for row in rows]
    await connection.executemany(statement("mark_dead_letter_published"), keys)
