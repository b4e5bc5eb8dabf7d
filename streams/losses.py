"""Losses: offsets that groups were to read next and the log no longer holds; and accepting them.

A worker never skips. Once a person accepts a loss it is recorded: the position goes on where the log begins, and the
offsets in between count as lost, so that every later count still adds up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from schemas import Topic
from streams.addresses import Servers
from streams.admin import log_sizes
from streams.reaching import postgres_at, reaching
from streams.statements import statement
from streams.topic_ids import topic_ids


@dataclass(frozen=True, slots=True)
class Loss:
    """What one group has lost of one partition: from `next_offset` on, up to where it can go on."""

    group: str
    topic: str
    partition: int
    next_offset: int
    begin: int
    #: The broker's id of a topic that was made anew, whose first record is the next then.
    topic_id: bytes | None = None

    @property
    def records(self) -> int | None:
        """How many records were never read; None where the topic was made anew, which nobody can tell."""
        return self.begin - self.next_offset if self.topic_id is None else None

    @property
    def why(self) -> str:
        """What happened, in words."""
        if self.topic_id is not None:
            return "the topic was deleted and made anew: what was not read of the old one is gone"
        return f"{self.records:,} records were deleted before they were read"


async def losses(servers: Servers) -> list[Loss]:
    """Every loss of every group. Raises ServerAway and BrokerAway."""
    async with postgres_at(servers.postgres) as connection:
        rows = await connection.fetch(statement("read_all_positions"))
    names = {row["topic"] for row in rows}
    with reaching("Kafka", servers.kafka):
        sizes = await asyncio.to_thread(log_sizes, servers.kafka, [Topic(name, (), 1) for name in names])
        ids = await asyncio.to_thread(topic_ids, servers.kafka, names)
    found = []
    for row in rows:
        place = row["group_name"], row["topic"], row["partition"]
        begin, end = sizes.get(place[1:], (None, None))
        if begin is None or end is None:
            # A topic that is not there may come back; there is nothing yet to go on with.
            continue
        known, now = row["topic_id"], ids.get(row["topic"])
        anew = row["next_offset"] > end or (None not in (known, now) and known != now)
        if anew or row["next_offset"] < begin:
            found.append(Loss(*place, row["next_offset"], begin, now or b"" if anew else None))
    return found


async def accept(servers: Servers, found: Iterable[Loss]) -> None:
    """Record these losses, all or none; a group that has moved on meanwhile is left as it is. Raises ServerAway."""
    rows = [(one.group, one.topic, one.partition, one.next_offset, one.begin, one.topic_id or None) for one in found]
    async with postgres_at(servers.postgres) as connection:
        async with connection.transaction():
            await connection.executemany(statement("accept_loss"), rows)
