"""Polls: what one poll of the log brought, put together again from the shares that Faust hands over one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from faust.types import TP

from streams.records import Records

#: Called with the claim that was fenced: wait for the rebalance that should follow, or claim anew if none does.
Regain = Callable[[int], Awaitable[None]]


class Claims(Protocol):
    """Where a group's positions are kept; `streams.positions.Positions` in Postgres."""

    #: Counts the claims made: a batch read under an older claim is stale.
    claim_number: int

    async def claim(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """Take the partitions, fencing whoever had them; gives the next offset to fold of each."""

    def release(self) -> None:
        """Have no partitions any more."""

    async def recognise(self, topic_ids: Mapping[str, bytes]) -> set[str]:
        """Note the ids of claimed topics that were not noted before; gives the topics that are not those noted."""

    @property
    def next_offsets(self) -> Mapping[TP, int]:
        """The next offset of each claimed partition, as stored."""

    @property
    def set_aside(self) -> Collection[TP]:
        """Partitions of which earlier records, set aside then, can be taken up now: polled though nothing is new."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One partition's share of one poll; `more` says that another share of the same poll follows.

    It may hold no records and cover offsets all the same: those of a transaction's markers, say.
    """

    tp: TP
    records: Records
    claim_number: int
    more: bool


@dataclass(slots=True)
class Poll:
    """All that one poll brought: the records of each partition, in the order of the log."""

    claim_number: int
    records: dict[TP, Records] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.records.values()))


async def polls(stream: AsyncIterator[Batch], claims: Claims) -> AsyncIterator[Poll]:
    """Put the shares of each poll together again; shares read under an older claim are dropped."""
    shares: dict[TP, list[Records]] = {}
    claim_number = 0
    async for batch in stream:
        if batch.claim_number != claim_number:
            shares, claim_number = {}, batch.claim_number
        if batch.claim_number != claims.claim_number:
            continue
        shares.setdefault(batch.tp, []).append(batch.records)
        if not batch.more:
            yield Poll(claim_number, {tp: Records.joined(stretches) for tp, stretches in shares.items()})
            shares = {}
