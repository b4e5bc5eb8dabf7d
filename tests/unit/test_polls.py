"""The shares of a poll, put together again; shares read before a seek, dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from faust.types import TP

from streams.polls import Batch, Poll, polls
from streams.records import Record, Records

A, B = TP("players.actions.v1", 0), TP("players.actions.v1", 1)


@dataclass
class Claimed:
    claim_number: int = 1
    next_offsets: Mapping[TP, int] = field(default_factory=dict)
    set_aside: Collection[TP] = ()

    async def claim(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        return {}

    def release(self) -> None:
        self.claim_number += 1


def stretch(*offsets: int) -> Records:
    return Records.of([Record(offset, 0, None, b"") for offset in offsets])


def offsets(poll: Poll) -> dict[TP, list[int]]:
    return {tp: records.offsets.tolist() for tp, records in poll.records.items()}


async def together(batches: list[Batch], claims: Claimed) -> list[Poll]:
    async def stream() -> AsyncIterator[Batch]:
        for batch in batches:
            yield batch

    return [poll async for poll in polls(stream(), claims)]


async def test_a_poll_holds_all_its_shares() -> None:
    found = await together(
        [Batch(A, stretch(1, 2), 1, True), Batch(B, stretch(3), 1, False), Batch(A, stretch(4), 1, False)], Claimed()
    )
    assert [offsets(poll) for poll in found] == [{A: [1, 2], B: [3]}, {A: [4]}]
    assert [len(poll) for poll in found] == [3, 1]


async def test_a_share_from_before_a_claim_is_dropped() -> None:
    found = await together([Batch(A, stretch(1), 1, False), Batch(A, stretch(2), 2, False)], Claimed(claim_number=2))
    assert [offsets(poll) for poll in found] == [{A: [2]}]


async def test_a_poll_cut_short_by_a_claim_does_not_leak_into_the_next() -> None:
    claims = Claimed()

    async def stream() -> AsyncIterator[Batch]:
        yield Batch(A, stretch(1), 1, True)
        claims.claim_number = 2
        yield Batch(B, stretch(2), 2, False)

    found = [poll async for poll in polls(stream(), claims)]
    assert [offsets(poll) for poll in found] == [{B: [2]}]


async def test_a_poll_without_its_end_is_not_given() -> None:
    assert await together([Batch(A, stretch(1), 1, True)], Claimed()) == []
