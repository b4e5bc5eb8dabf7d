"""Positions on a real Postgres: what a poll costs and what is kept do not grow with the lives of producers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from projections import PROJECTIONS
from projections.dots import Origin
from projections.fold import Fold
from schemas import Event, PlayerScored
from schemas.stamps import pack
from schemas.topics import DAY_MS
from streams.database import Database, Waiting
from streams.metrics import Metrics
from streams.positions import LIFE_KEPT_MS, LIVES_FORGOTTEN_MAX, ORIGINS_AT_HAND_MAX, Positions
from streams.processors.commit import Commit
from streams.processors.intake import Intake
from streams.processors.taken import Taken
from streams.records import Record, Records
from tests.workers import rows

TP0 = TP("players.actions.v1", 0)
FOLD = Fold(PROJECTIONS)
NEW_YEAR_MS = 1_800_000_000_000


@dataclass
class Group:
    """A group on a real Postgres, whose polls and clock are the test's."""

    postgres: str
    name: str
    now_ms: int = NEW_YEAR_MS
    offset: int = 0
    intake: Intake = field(default_factory=lambda: Intake("fold"))

    def __post_init__(self) -> None:
        self.database = Database(self.postgres, Waiting())
        self.positions = Positions(self.name, self.database, lambda: self.now_ms, "fold")
        metrics = Metrics("fold", CollectorRegistry())

        async def regain(claim_number: int) -> None: ...

        self.commit = Commit(self.positions, self.database, metrics, regain)

    async def poll(self, *dots: tuple[str, int], stamp_ms: int | None = None) -> Taken:
        """Take up and store events with these dots, appended now."""
        values = [_event(*dot, self.now_ms if stamp_ms is None else stamp_ms) for dot in dots]
        records = [Record(self.offset + n, self.now_ms, None, value) for n, value in enumerate(values)]
        self.offset += len(records)
        taken = await self.intake.take({TP0: Records.of(records)}, self.positions)
        assert taken is not None
        taken.settle()
        assert await self.commit.run(self.positions.claim_number, taken.moves, taken.dead)
        return taken


def _event(origin: str, sequence: int, stamp_ms: int) -> bytes:
    event = Event(id=b"i" * 16, subject="hero", stamp=pack(stamp_ms), region="r", origin=origin, sequence=sequence)
    event.player_scored.CopyFrom(PlayerScored(points=1))
    return event.SerializeToString()


@pytest.fixture
async def group(migrated: str, fresh_name: Callable[[str], str]) -> AsyncIterator[Group]:
    made = Group(migrated, fresh_name("group"))
    await made.positions.claim([TP0])
    yield made
    await made.database.close()


async def test_a_poll_has_its_own_origins_at_hand_and_no_others(group: Group) -> None:
    await group.poll(*((f"life-{n}", 1) for n in range(200)))
    await group.positions.claim([TP0])
    assert group.positions[TP0].dots.origins == {}
    again = await group.poll(("life-7", 1), ("life-7", 2), ("life-9", 3))
    assert (again.events, again.duplicates) == (2, 1)
    assert group.positions[TP0].dots.origins == {"life-7": Origin(2, duplicates=1), "life-9": Origin(3, ((2, 3),))}
    await group.positions.claim([TP0])
    assert (await group.poll(("life-9", 2), ("life-9", 3))).duplicates == 1


async def test_origins_heard_of_longest_ago_are_left_to_postgres_and_known_when_they_come_back(group: Group) -> None:
    for start in range(0, ORIGINS_AT_HAND_MAX + 1_000, 500):
        await group.poll(*((f"life-{n}", 1) for n in range(start, start + 500)))
    at_hand = group.positions[TP0].dots.origins
    assert len(at_hand) == ORIGINS_AT_HAND_MAX
    assert "life-0" not in at_hand
    back = await group.poll(("life-0", 1), ("life-0", 2))
    assert (back.events, back.duplicates) == (1, 1)


async def test_over_a_year_the_lives_that_are_kept_stay_as_many_and_every_count_holds(
    group: Group, migrated: str
) -> None:
    """Ten servers are started anew each day, as with a release a day."""
    for day in range(365):
        await group.poll(*((f"server-{n}-{day}", sequence) for n in range(10) for sequence in (1, 2, 4)))
        group.now_ms += DAY_MS
        if day % 7 == 0:
            # A worker is started anew too, now and then.
            await group.positions.claim([TP0])
            while await group.positions.forget_lives() == LIVES_FORGOTTEN_MAX:
                pass
    [kept] = await rows(migrated, "select count(*) as lives from dots where group_name = $1", group.name)
    assert kept["lives"] <= 10 * (LIFE_KEPT_MS // DAY_MS + 8)
    [position] = await rows(migrated, "select * from positions where group_name = $1", group.name)
    [dots] = await rows(
        migrated,
        "select sum(last) as numbered, sum((select sum(upper(h) - lower(h)) from unnest(holes) h)) as missing"
        " from dots where group_name = $1",
        group.name,
    )
    assert dots["numbered"] - dots["missing"] + position["forgotten_events"] == position["events"] == 365 * 30
    assert dots["missing"] + position["forgotten_missing"] == 365 * 10
    # A repeat of a life that was forgotten is told from a new event, and a new life is taken.
    late = await group.poll(("server-3-5", 2), ("server-3-5", 5), stamp_ms=NEW_YEAR_MS + 5 * DAY_MS)
    assert (late.events, [letter.reason for letter in late.dead]) == (0, ["life_forgotten"] * 2)
    assert (await group.poll(("server-3-365", 1))).events == 1


async def test_a_life_at_hand_is_not_forgotten(group: Group, migrated: str) -> None:
    await group.poll(("steady", 1))
    group.now_ms += LIFE_KEPT_MS + DAY_MS
    assert await group.positions.forget_lives() == 0
    await group.positions.claim([TP0])
    assert await group.positions.forget_lives() == 1
    assert await rows(migrated, "select 1 from dots where group_name = $1", group.name) == []


async def test_a_worker_that_lost_the_partition_forgets_nothing(group: Group, migrated: str) -> None:
    await group.poll(("old", 1))
    group.now_ms += LIFE_KEPT_MS + DAY_MS
    loser = Group(migrated, group.name, group.now_ms)
    await loser.positions.claim([TP0])
    await group.positions.claim([TP0])
    assert await loser.positions.forget_lives() == 0
    await loser.database.close()
