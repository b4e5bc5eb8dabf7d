"""A total at the end of what Postgres holds: the events that do not fit are isolated, in one pass over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from projections import PROJECTIONS
from projections.fold import Fold
from projections.postgres import Writer
from schemas import Event, GoldGained
from schemas.limits import NUMBER_MAX
from schemas.stamps import pack
from streams.clock import Clock
from streams.database import Database, Waiting
from streams.metrics import Metrics
from streams.polls import Batch
from streams.positions import Positions
from streams.processors.commit import Commit
from streams.processors.fold import FoldProcessor
from streams.processors.intake import Intake
from streams.records import Record, Records
from tests.waiting import eventually_async
from tests.workers import rows

TP0 = TP("players.actions.v1", 0)
NOW_MS = 1_800_000_000_000


def gold(sequence: int, subject: str, amount: int) -> Record:
    event = Event(subject=subject, stamp=pack(NOW_MS), region="local", origin="o", sequence=sequence)
    event.gold_gained.CopyFrom(GoldGained(amount=amount))
    return Record(sequence - 1, NOW_MS, None, event.SerializeToString())


@pytest.mark.parametrize("events", [60, 6_000])
async def test_what_does_not_fit_is_isolated_and_everything_else_is_folded(
    migrated: str, fresh_name: Callable[[str], str], events: int
) -> None:
    fold, writer = Fold(PROJECTIONS), Writer(PROJECTIONS)
    database = Database(migrated, Waiting(), writer.prepare)
    positions = Positions(fresh_name("group"), database, lambda: NOW_MS, "fold")
    metrics, merges = Metrics("fold", CollectorRegistry()), []

    async def regain(claim_number: int) -> None: ...

    class Counting(Writer):
        async def merge(self, connection: object, deltas: object) -> None:
            merges.append(deltas)
            await super().merge(connection, deltas)  # type: ignore[arg-type]

    processor = FoldProcessor(
        fold=fold,
        intake=Intake("fold"),
        writer=Counting(PROJECTIONS),
        positions=positions,
        commit=Commit(positions, database, metrics, regain),
        metrics=metrics,
        clock=Clock(),
    )
    await positions.claim([TP0])
    # Every third is the full player's; the row has room for two of them.
    found = [gold(n + 1, "full" if n % 3 == 0 else f"hero-{n % 50}", 10) for n in range(events)]

    async def stream() -> AsyncIterator[Batch]:
        yield Batch(TP0, Records.of([gold(1, "full", 1)]), positions.claim_number, False)
        await eventually_async(lambda: positions.next_offsets[TP0] == 1)
        await rows(migrated, "update players_by_region set gold_plus = $1 where subject = 'full'", NUMBER_MAX - 25)
        later = [Record(record.offset + 1, *record[1:3], _renumbered(record.value or b"")) for record in found]
        yield Batch(TP0, Records.of(later), positions.claim_number, False)

    await processor.run(stream())
    dead = await rows(migrated, "select reason from dead_letters")
    assert [row["reason"] for row in dead] == ["store_failed"] * (events // 3 - 2)
    [row] = await rows(migrated, "select sum(gold) as gold from players where subject <> 'full'")
    assert row["gold"] == 10 * (events - events // 3)
    [position] = await rows(
        migrated, "select events, next_offset from positions where group_name = $1", positions.group
    )
    assert tuple(position) == (1 + events - (events // 3 - 2), 1 + events)
    # One for the first event, one that is refused, and one for what fits.
    assert len(merges) == 3
    await database.close()


def _renumbered(value: bytes) -> bytes:
    event = Event.FromString(value)
    event.sequence += 1
    return event.SerializeToString()
