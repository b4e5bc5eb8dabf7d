"""Postgres as a store: migrations that only go forward, reads by key, merges side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from projections import PROJECTIONS, VIEWS
from projections.catalog.leaderboard import leaderboard
from projections.catalog.places import places
from projections.catalog.players import players
from projections.crdt import Grow, Highest, Latest
from projections.errors import SchemaRefused
from projections.fold import Fold
from projections.indexes import INDEXES
from projections.migrations import Migration, migrations, pending
from projections.postgres import COPY_ROWS_MIN, Writer, migrate, read
from projections.projection import Projection
from schemas import (
    Event,
    HealthChanged,
    ItemGained,
    ItemLost,
    PlaceEntered,
    PlayerDied,
    PlayerLevelled,
    PlayerMoved,
    PlayerScored,
)


@pytest.fixture
async def connection(postgres: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres)
    yield connection
    await connection.close()


@pytest.fixture
async def migrated(connection: Any) -> Any:
    await migrate(connection)
    return connection


async def merge(connection: Any, projections: tuple[Projection, ...], *batches: list[Event]) -> None:
    writer, fold = Writer(projections), Fold(projections)
    await writer.prepare(connection)
    async with connection.transaction():
        for batch in batches:
            await writer.merge(connection, fold.events(batch))


async def test_an_empty_database_gets_every_table_once(connection: Any) -> None:
    done = await migrate(connection)
    assert {"0001_create_log_tables", "players_by_region", "players", "players_inventory", "leaderboard"} <= set(done)
    assert await migrate(connection) == []
    for projection in PROJECTIONS:
        assert await read(connection, projection) == {}
    for view in VIEWS:
        assert await connection.fetch(f"select * from {view.name}") == []
    for table in ("positions", "dots", "dead_letters", "ranges"):
        assert await connection.fetch(f"select * from {table}") == []


async def test_the_indexes_that_readers_need_are_made_with_their_tables(connection: Any) -> None:
    done = await migrate(connection)
    for index in INDEXES:
        assert index.name in done
        where = await connection.fetchval("select tablename from pg_indexes where indexname = $1", index.name)
        assert where == index.table
    await connection.execute(f"drop index {INDEXES[0].name}")
    assert await migrate(connection) == [INDEXES[0].name], "a database that lacks one is given it"


async def test_two_that_migrate_at_once_do_not_disturb_each_other(postgres: str) -> None:
    connections = [await asyncpg.connect(postgres) for _ in range(4)]
    done = await asyncio.gather(*(migrate(each) for each in connections))
    assert sorted(map(bool, done)) == [False, False, False, True]
    for each in connections:
        await each.close()


async def test_a_new_column_is_added_and_keeps_what_the_others_hold(connection: Any) -> None:
    before = Projection("heroes", key="subject", score=Grow(PlayerScored, "points"))
    after = Projection(
        "heroes",
        key="subject",
        level=Highest(PlayerLevelled, "level"),
        score=Grow(PlayerScored, "points"),
        moves=Grow(PlayerMoved),
    )
    await migrate(connection, [before], ())
    await merge(connection, (before,), [Event(subject="a", stamp=1, player_scored=PlayerScored(points=5))])
    assert await migrate(connection, [after], ()) == ["heroes_by_region.level", "heroes_by_region.moves", "heroes"]
    log = [Event(subject="a", stamp=2, player_levelled=PlayerLevelled(level=3)), Event(subject="b", player_moved={})]
    await merge(connection, (after,), log)
    assert await read(connection, after) == {
        ("a",): {"level": 3, "score": 5, "moves": 0, "version": 2, "stamp": 2},
        ("b",): {"level": None, "score": 0, "moves": 1, "version": 1, "stamp": 0},
    }


async def test_a_view_on_another_is_made_anew_with_it(connection: Any) -> None:
    await migrate(connection)
    fewer = Projection("players", key="subject", **{k: v for k, v in players.crdts.items() if k != "position"})
    assert await migrate(connection, [fewer], [leaderboard]) == ["players"]
    assert await connection.fetch("select rank, subject, score, level, gold from leaderboard") == []
    columns = await connection.fetch("select column_name from information_schema.columns where table_name = 'players'")
    assert "zone" not in {row["column_name"] for row in columns}


async def test_a_changed_type_is_refused_and_nothing_is_changed(connection: Any) -> None:
    before = Projection("heroes", key="subject", last=Latest(HealthChanged, "health"))
    await migrate(connection, [before], ())
    await connection.execute("drop view heroes")
    await connection.execute("alter table heroes_by_region alter column health type double precision")
    more = Projection("heroes", key="subject", deaths=Grow(PlayerDied), last=Latest(HealthChanged, "health"))
    with pytest.raises(SchemaRefused, match=r"heroes_by_region\.health is double precision and declared bigint"):
        await migrate(connection, [more], ())
    assert "deaths" not in {row["attname"] for row in await connection.fetch(
        "select attname from pg_attribute where attrelid = 'heroes_by_region'::regclass"
    )}  # fmt: skip


async def test_a_changed_key_is_refused(connection: Any) -> None:
    await migrate(connection, [Projection("deaths", key="zone", deaths=Grow(PlayerDied))], ())
    other = Projection("deaths", key=("zone", "killer"), deaths=Grow(PlayerDied))
    with pytest.raises(SchemaRefused, match=r"deaths_by_region is kept by \(zone, region\)"):
        await migrate(connection, [other], ())


async def test_a_migration_that_has_changed_since_it_was_applied_is_refused(migrated: Any) -> None:
    await migrated.execute("update migrations set checksum = 'other'")
    with pytest.raises(SchemaRefused, match="0001_create_log_tables has changed since it was applied"):
        await migrate(migrated)


def test_only_migrations_that_are_not_applied_are_pending() -> None:
    one, two = Migration("0001_create_a", "create table a ()"), Migration("0002_create_b", "create table b ()")
    assert pending((one, two), {one.name: one.checksum}) == (two,)
    assert migrations("postgres")[0].name == "0001_create_log_tables"


@pytest.mark.parametrize("view", ["players", "players_inventory", "places", "quests_flags", "decisions"])
async def test_one_key_is_read_by_the_index(migrated: Any, view: str) -> None:
    key = {"places": "zone", "decisions": "decision_id"}.get(view, "subject")
    plan = await migrated.fetch(f"explain select * from {view} where {key} = 'hero-1'")
    text = "\n".join(row[0] for row in plan)
    assert "_by_region_pkey" in text
    assert "Seq Scan" not in text


async def test_the_leaderboard_ranks_by_score_and_then_by_name(migrated: Any) -> None:
    points = {"ann": 5, "bob": 9, "cid": 5}
    await merge(
        migrated, (players,), [Event(subject=s, player_scored=PlayerScored(points=p)) for s, p in points.items()]
    )
    rows = await migrated.fetch("select rank, subject, score from leaderboard order by rank")
    assert [tuple(row) for row in rows] == [(1, "bob", 9), (2, "ann", 5), (3, "cid", 5)]


async def test_an_item_that_is_gone_leaves_no_row(migrated: Any) -> None:
    gained = [Event(subject="a", item_gained=ItemGained(item_id=f"item-{n}", kind="axe")) for n in range(3)]
    lost = [Event(subject="a", item_lost=ItemLost(item_id=f"item-{n}", kind="axe")) for n in (0, 2)]
    await merge(migrated, (players,), gained, lost)
    rows = await migrated.fetch("select item_id, quantity from players_inventory_by_region")
    assert [tuple(row) for row in rows] == [("item-1", 1)]
    assert (await read(migrated, players))[("a",)]["inventory"] == {("item-1", "axe"): {"quantity": 1}}


async def test_two_large_batches_in_one_transaction_are_each_added_once(migrated: Any) -> None:
    batch = [Event(subject=f"hero-{n}", player_scored=PlayerScored(points=1)) for n in range(COPY_ROWS_MIN + 10)]
    await merge(migrated, (players,), batch, batch)
    assert await migrated.fetchval("select sum(score) from players") == 2 * len(batch)


async def test_a_batch_that_was_rolled_back_has_left_nothing(migrated: Any) -> None:
    writer, fold = Writer([players]), Fold([players])
    await writer.prepare(migrated)
    batch = [Event(subject=f"hero-{n}", player_scored=PlayerScored(points=1)) for n in range(COPY_ROWS_MIN + 10)]
    rolled_back = migrated.transaction()
    await rolled_back.start()
    await writer.merge(migrated, fold.events(batch))
    await rolled_back.rollback()
    async with migrated.transaction():
        await writer.merge(migrated, fold.events(batch[:5]))
    assert await migrated.fetchval("select sum(score) from players") == 5


async def test_workers_that_change_the_same_places_at_once_do_not_deadlock(postgres: str, migrated: Any) -> None:
    zones = [f"zone-{n}" for n in range(200)]
    fold, writer = Fold([places]), Writer([places])

    async def work(order: list[str]) -> None:
        connection = await asyncpg.connect(postgres)
        await writer.prepare(connection)
        for _ in range(10):
            async with connection.transaction():
                await writer.merge(connection, fold.events(Event(place_entered=PlaceEntered(zone=z)) for z in order))
        await connection.close()

    await asyncio.gather(work(zones), work(zones[::-1]), work(sorted(zones, key=lambda zone: zone[::-1])))
    assert {value["visits"] for value in (await read(migrated, places)).values()} == {30}


async def test_the_order_of_locks_is_that_of_the_bytes_in_a_database_of_another_collation(migrated: Any) -> None:
    statements = next(iter(Writer([places])._statements.values()))
    for statement in (statements.add_arrays, statements.add_stage):
        assert 'order by "zone" collate "C", "region" collate "C"' in statement
