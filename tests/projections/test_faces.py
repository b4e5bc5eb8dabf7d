"""Four faces, one value: Python, columns, Postgres and ClickHouse against the reference, however events are batched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count
from typing import Any

import asyncpg
import clickhouse_connect
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from projections import clickhouse as history
from projections import postgres as truth
from projections.decoding import Decoder
from projections.events_tables import EVENTS_TABLES, OTHER, EventsTable
from projections.fold import Deltas, Fold
from projections.memory import Memory
from projections.projection import Projection
from projections.records import INSERT_SETTINGS, concatenate, log_fields
from schemas import Event
from tests.projections.worlds import REGIONS, SEEN, WORLD, events, seen_of, split

#: Each example is many events in every projection: few of them go a long way.
IN_A_DATABASE = settings(
    max_examples=15,
    # Shrinking asks hundreds of times, which takes a database minutes.
    phases=(Phase.explicit, Phase.generate),
)

fold, decoder = Fold(WORLD), Decoder(WORLD)
#: Events, where to cut them into batches, and for each batch whether it is folded by columns.
LOGS = events(fold.facts, least=40, most=120)
CUTS = st.lists(st.integers(0, 120), min_size=2, max_size=5)
FACES = st.tuples(*[st.booleans()] * 6)


def raw(batch: Sequence[Event]) -> list[bytes]:
    return [event.SerializeToString() for event in batch]


def expected(projection: Projection, log: Sequence[Event]) -> dict[tuple[Any, ...], dict[str, Any]]:
    memory = Memory(projection)
    return memory.values(memory.fold_all(log))


def plain(value: Any) -> Any:
    """A value as text in one order: 0.0 and -0.0 are equal numbers, and here they must be the same."""
    if isinstance(value, dict):
        return {plain(key): plain(value[key]) for key in sorted(value, key=plain)}
    if isinstance(value, list | tuple):
        return repr([plain(item) for item in value])
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def in_their_own(batch: Sequence[Event]) -> list[tuple[EventsTable, list[Event]]]:
    """A batch by the tables that store the fields of its facts."""
    found: dict[EventsTable, list[Event]] = {}
    for event in batch:
        table = next(table for table in EVENTS_TABLES if event.WhichOneof("fact") in table.facts)
        found.setdefault(table, []).append(event)
    return list(found.items())


def same(found: dict[tuple[Any, ...], dict[str, Any]], wanted: dict[tuple[Any, ...], dict[str, Any]]) -> None:
    assert plain(found) == plain(wanted)


@settings(max_examples=100)
@given(events(fold.facts, least=25, most=80))
def test_columns_give_the_rows_that_python_gives(log: list[Event]) -> None:
    one: Deltas = fold.events(log)
    other: Deltas = fold.columns(decoder.columns(raw(log)))
    assert {name: plain(rows) for name, rows in one.items()} == {name: plain(rows) for name, rows in other.items()}
    for table in fold.tables:
        keys = [row[: len(table.row_keys)] for row in one.get(table.name, ())]
        assert keys == sorted(set(keys))
        assert all(len(row) == len(table.columns) for row in one.get(table.name, ()))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_postgres_holds_what_the_reference_holds(postgres: str, runner: asyncio.Runner) -> None:
    by_arrays, by_copy = truth.Writer(WORLD), truth.Writer(WORLD, copy_rows_min=0)
    connection: Any = runner.run(asyncpg.connect(postgres))
    runner.run(truth.migrate(connection, WORLD))
    runner.run(by_copy.prepare(connection))

    async def merged(batches: list[list[Event]], by_columns: Sequence[bool]) -> list[Any]:
        names = ", ".join(table.by_region for table in fold.tables)
        await connection.execute(f"truncate {names}")
        for batch, columns in zip(batches, by_columns, strict=False):
            deltas = fold.columns(decoder.columns(raw(batch))) if columns else fold.events(batch)
            async with connection.transaction():
                await (by_copy if columns else by_arrays).merge(connection, deltas)
        return [await truth.read(connection, projection) for projection in WORLD]

    @IN_A_DATABASE
    @given(LOGS, CUTS, FACES)
    def holds(log: list[Event], cuts: list[int], by_columns: Sequence[bool]) -> None:
        found = runner.run(merged(split(log, cuts), by_columns))
        for projection, values in zip(WORLD, found, strict=True):
            same(values, expected(projection, log))

    holds()
    runner.run(connection.close())


def test_a_join_in_postgres_is_what_seeing_all_the_events_would_have_given(
    postgres: str, runner: asyncio.Runner
) -> None:
    writer = truth.Writer(WORLD)
    connection: Any = runner.run(asyncpg.connect(postgres))
    runner.run(truth.migrate(connection, WORLD))
    runner.run(writer.prepare(connection))

    async def joined(ours: list[Event], theirs: list[Event]) -> list[Any]:
        names = ", ".join(table.by_region for table in fold.tables)
        await connection.execute(f"truncate {names}")
        async with connection.transaction():
            await writer.merge(connection, fold.events(ours))
        for _ in range(2):
            async with connection.transaction():
                await writer.join(connection, fold.events(theirs))
        return [await truth.read(connection, projection) for projection in WORLD]

    @IN_A_DATABASE
    @given(LOGS, SEEN, SEEN)
    def holds(log: list[Event], a: dict[str, int], b: dict[str, int]) -> None:
        most = {region: max(a[region], b[region]) for region in REGIONS}
        found = runner.run(joined(seen_of(log, a), seen_of(log, b)))
        for projection, values in zip(WORLD, found, strict=True):
            same(values, expected(projection, seen_of(log, most)))

    holds()
    runner.run(connection.close())


@pytest.mark.parametrize("home", ["their own tables", "the other table"])
def test_clickhouse_holds_what_the_reference_holds(clickhouse: str, home: str) -> None:
    client: Any = clickhouse_connect.get_client(dsn=clickhouse, autogenerate_session_id=False)
    history.migrate(client, WORLD)
    inserts = count()
    tables = [*(table.name for table in EVENTS_TABLES), *(history.state_name(table) for table in fold.tables)]

    @settings(IN_A_DATABASE, max_examples=10)
    @given(LOGS, CUTS)
    def holds(log: list[Event], cuts: list[int]) -> None:
        for table in tables:
            client.command(f"truncate table {table}")
        located, offset = log_fields("topic", 3), 0
        for batch in split(log, cuts):
            for table, some in in_their_own(batch) if home == "their own tables" else [(OTHER, batch)]:
                records = [value + located(offset + at) for at, value in enumerate(raw(some))]
                client.raw_insert(
                    table.name,
                    table.insert_columns({fact for event in some if (fact := event.WhichOneof("fact"))}),
                    insert_block=concatenate(records),
                    fmt="Protobuf",
                    settings={**INSERT_SETTINGS, "insert_deduplication_token": f"insert {next(inserts)}"},
                )
            offset += len(batch)
        for projection in WORLD:
            same(history.read(client, projection), expected(projection, log))

    holds()
    client.close()
