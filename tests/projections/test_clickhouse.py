"""ClickHouse as a store: typed columns from raw records, each insert once, migrations that only go forward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import clickhouse_connect
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message_factory import GetMessages
from hypothesis import given
from hypothesis import strategies as st

from projections import PROJECTIONS, VIEWS
from projections.catalog.leaderboard import leaderboard
from projections.catalog.players import players
from projections.clickhouse import (
    fold_views,
    migrate,
    read,
    state_name,
)
from projections.crdt import Grow, Highest, Latest
from projections.errors import SchemaRefused
from projections.events_tables import EVENTS, EVENTS_TABLES, OTHER, event_columns, table_of
from projections.projection import Projection, tables
from projections.records import INSERT_SETTINGS, concatenate, inline_schema, log_fields
from schemas import (
    FACTS,
    DecisionRequested,
    Event,
    HealthChanged,
    ItemGained,
    ItemLost,
    PlayerDied,
    PlayerLevelled,
    PlayerMoved,
    PlayerSaid,
    PlayerScored,
)
from schemas.stamps import pack


@pytest.fixture
def client(clickhouse: str) -> Iterator[Any]:
    client = clickhouse_connect.get_client(dsn=clickhouse, autogenerate_session_id=False)
    yield client
    client.close()


PLAYERS, OWN = "players.actions.v1", "events_players_actions"


def insert(client: Any, log: Sequence[Event], token: str, start: int = 0, topic: str = PLAYERS) -> None:
    located = log_fields(topic, 3)
    facts = {fact for event in log if (fact := event.WhichOneof("fact"))}
    table = table_of(topic, facts)
    client.raw_insert(
        table.name,
        column_names=table.insert_columns(facts),
        insert_block=concatenate(e.SerializeToString() + located(at) for at, e in enumerate(log, start=start)),
        fmt="Protobuf",
        settings={**INSERT_SETTINGS, "insert_deduplication_token": token},
    )


def rows(client: Any, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(query).result_rows]


def test_an_empty_database_gets_every_table_once(client: Any) -> None:
    done = migrate(client)
    assert {"events", OWN, "players_state", "players_fold_players_actions", "players", "leaderboard"} <= set(done)
    assert migrate(client) == []
    for projection in PROJECTIONS:
        assert read(client, projection) == {}
    for view in VIEWS:
        assert rows(client, f"select * from {view.name}") == []


def test_every_field_of_every_fact_has_a_column_of_its_own(client: Any) -> None:
    migrate(client)
    fields = {f"{name}.{field.name}" for name, fact in FACTS.items() for field in fact.DESCRIPTOR.fields}
    for table in (EVENTS, *(table.name for table in EVENTS_TABLES)):
        held = {row[0] for row in rows(client, f"describe table {table}")}
        assert fields <= held
        assert held == {column.name for column in event_columns(OTHER, PROJECTIONS)}


def test_a_record_stands_in_typed_columns_with_its_place_in_the_log(client: Any) -> None:
    migrate(client)
    log = [
        Event(
            id=b"\x01" * 16,
            subject="hero",
            stamp=pack(1_700_000_000_123, 7),
            region="eu",
            origin="life",
            sequence=9,
            decision_requested=DecisionRequested(tier="gold", legal_actions=["fight", "flee"], deadline_ms=5),
        ),
        Event(player_moved=PlayerMoved()),
        Event(player_said=PlayerSaid(text="Grüß dich\0")),
        Event(subject="from a later version"),
    ]
    insert(client, log, "one", start=41)
    columns = 'fact, subject, "decision_requested.legal_actions", "decision_requested.deadline_ms", log_offset'
    assert rows(client, f"select {columns} from {EVENTS} order by log_offset") == [
        ("decision_requested", "hero", ["fight", "flee"], 5, 41),
        ("player_moved", "", [], 0, 42),
        ("player_said", "", [], 0, 43),
        ("none", "from a later version", [], 0, 44),
    ]
    (first,) = rows(
        client,
        "select hex(id), stamp, toUnixTimestamp64Milli(time), region, origin, sequence, log_topic, log_partition "
        f"from {EVENTS} where log_offset = 41",
    )
    stamp = pack(1_700_000_000_123, 7)
    assert first == ("01" * 16, stamp, 1_700_000_000_123, "eu", "life", 9, "players.actions.v1", 3)
    assert rows(client, f"select \"player_said.text\" from {EVENTS} where fact = 'player_said'") == [("Grüß dich\0",)]


def test_an_insert_names_only_the_columns_of_its_facts(client: Any) -> None:
    columns = table_of(PLAYERS, ()).insert_columns({"player_moved", "player_scored"})
    assert {"player_moved.x", "player_scored.points"} <= set(columns)
    assert "gold_gained.amount" not in columns
    migrate(client)
    log = [
        Event(subject="a", player_moved=PlayerMoved(zone="keep", x=2)),
        Event(subject="a", player_scored=PlayerScored(points=3)),
    ]
    insert(client, log, "0-2")
    found = rows(client, f'select fact, "player_moved.zone", "player_scored.points", foldable from {EVENTS}')
    assert sorted(found) == [("player_moved", "keep", 0, True), ("player_scored", "", 3, True)]
    assert read(client, players)[("a",)]["x"] == 2.0


def test_the_columns_of_its_facts_are_all_that_a_table_stores() -> None:
    for table in EVENTS_TABLES:
        filled = {column.name for column in event_columns(table, ()) if column.stored and not column.expression}
        assert set(table.insert_columns(table.facts)) == filled


def test_a_batch_that_is_inserted_again_is_there_once_in_the_events_and_in_every_projection(client: Any) -> None:
    migrate(client)
    first = [Event(subject="a", stamp=n, player_scored=PlayerScored(points=n)) for n in range(1, 6)]
    second = [Event(subject="a", stamp=n, item_gained=ItemGained(item_id="axe")) for n in range(6, 9)]
    for _ in range(3):
        insert(client, first, "players.actions.v1:3:0-5")
    insert(client, second, "players.actions.v1:3:5-8", start=5)
    insert(client, first, "players.actions.v1:3:0-5")
    insert(client, second, "players.actions.v1:3:5-8", start=5)
    assert rows(client, f"select count(), uniqExact(log_offset) from {EVENTS}") == [(8, 8)]
    value = read(client, players)[("a",)]
    assert (value["score"], value["version"]) == (15, 8)
    assert value["inventory"] == {("axe", ""): {"quantity": 3}}


def test_the_same_events_under_another_token_are_other_events(client: Any) -> None:
    migrate(client)
    log = [Event(subject="a", player_scored=PlayerScored(points=1))]
    insert(client, log, "0-1")
    insert(client, log, "1-2", start=1)
    assert read(client, players)[("a",)]["score"] == 2


def test_a_large_insert_is_one_block(client: Any) -> None:
    migrate(client)
    log = [Event(subject=f"hero-{n % 100}", player_scored=PlayerScored(points=1)) for n in range(100_000)]
    insert(client, log, "large")
    insert(client, log, "large")
    assert rows(client, f"select count() from {EVENTS}") == [(100_000,)]
    parts = f"select count() from system.parts where table = '{OWN}' and database = currentDatabase()"
    assert rows(client, parts) == [(1,)]
    assert rows(client, "select sum(score), sum(version) from players") == [(100_000, 100_000)]


def test_entries_that_are_gone_vanish_when_parts_are_merged(client: Any) -> None:
    migrate(client)
    insert(client, [Event(subject="a", item_gained=ItemGained(item_id="axe"))], "0-1")
    insert(client, [Event(subject="a", item_lost=ItemLost(item_id="axe"))], "1-2", start=1)
    assert rows(client, "select * from players_inventory") == []
    client.command("optimize table players_inventory_state final")
    assert rows(client, "select count() from players_inventory_state") == [(0,)]


def test_a_new_column_is_folded_from_then_on_and_keeps_what_the_others_hold(client: Any) -> None:
    before = Projection("heroes", key="subject", score=Grow(PlayerScored, "points"))
    after = Projection(
        "heroes",
        key="subject",
        level=Highest(PlayerLevelled, "level"),
        score=Grow(PlayerScored, "points"),
        place=Latest(PlayerMoved, "zone"),
    )
    migrate(client, [before], ())
    insert(client, [Event(subject="a", stamp=1, player_scored=PlayerScored(points=5))], "0-1")
    done = migrate(client, [after], ())
    own = {f"{OWN}.foldable", "heroes_fold_players_actions", "heroes_state.level", "heroes_state.place", "heroes"}
    other = {f"{OTHER.name}.foldable", "heroes_fold_other"}
    assert set(done) == own | other
    insert(client, [Event(subject="a", stamp=2, player_levelled=PlayerLevelled(level=3))], "1-2", start=1)
    assert read(client, after) == {("a",): {"level": 3, "score": 5, "zone": None, "version": 2, "stamp": 2}}
    assert migrate(client, [after], ()) == []


def test_a_changed_type_or_key_is_refused(client: Any) -> None:
    heroes = Projection("heroes", key="subject", last=Latest(HealthChanged, "health"), deaths=Grow(PlayerDied))
    migrate(client, [heroes], ())
    client.command("alter table heroes_state modify column deaths SimpleAggregateFunction(sum, Float64)")
    with pytest.raises(SchemaRefused, match=r"heroes_state\.deaths is SimpleAggregateFunction"):
        migrate(client, [heroes], ())
    with pytest.raises(SchemaRefused, match="heroes_state is kept by"):
        migrate(client, [Projection("heroes", key=("subject", "hour"), deaths=Grow(PlayerDied))], ())


def test_an_older_enumeration_of_facts_grows(client: Any) -> None:
    migrate(client, [players], [leaderboard])
    client.command(f"drop table {OWN} sync")
    older = "Enum16('none' = 0, 'player_moved' = 16)"
    client.command(f"create table {OWN} (fact {older}) engine = MergeTree order by tuple()")
    done = migrate(client, [players], [leaderboard])
    assert {f"{OWN}.fact", f"{OWN}.subject", f"{OWN}.foldable"} <= set(done)
    assert migrate(client, [players], [leaderboard]) == []


def test_a_fact_that_is_new_to_a_topic_is_stored_from_then_on(client: Any) -> None:
    migrate(client)
    # As if players had not said anything in this topic before.
    client.command(f'alter table {OWN} drop column "player_said.text"')
    client.command(f"alter table {OWN} add column \"player_said.text\" String alias defaultValueOfTypeName('String')")
    insert(client, [Event(subject="a", player_moved=PlayerMoved(x=1))], "0-1")
    assert migrate(client) == [f"{OWN}.player_said.text"]
    insert(client, [Event(subject="a", player_said=PlayerSaid(text="hello"))], "1-2", start=1)
    assert rows(client, f'select "player_said.text" from {EVENTS} order by log_offset') == [("",), ("hello",)]
    assert migrate(client) == []


def test_events_of_before_there_were_several_tables_are_kept_and_read(client: Any) -> None:
    migrate(client)
    insert(client, [Event(subject="a", stamp=1, player_scored=PlayerScored(points=5))], "0-1", topic="older.topic.v1")
    # As it was: one table, and one view for each state, which reads it.
    for table in tables(PROJECTIONS):
        for view in fold_views(table):
            client.command(f"drop view {view} sync")
    for name in (EVENTS, *(table.name for table in EVENTS_TABLES if table is not OTHER)):
        client.command(f"drop table {name} sync")
    client.command(f"rename table {OTHER.name} to {EVENTS}")
    client.command("create materialized view economy_fold to economy_state as select * from economy_state where 0")
    done = migrate(client)
    assert {OTHER.name, "economy_fold", "economy_fold_other", EVENTS} <= set(done)
    assert migrate(client) == []
    insert(client, [Event(subject="a", stamp=2, player_scored=PlayerScored(points=6))], "1-2", start=1)
    assert rows(client, f'select sum("player_scored.points") from {EVENTS}') == [(11,)]
    assert read(client, players)[("a",)]["score"] == 11


def test_an_event_is_kept_whole_and_folded_whatever_topic_it_came_by(client: Any) -> None:
    migrate(client)
    log = [Event(subject="a", stamp=1, player_scored=PlayerScored(points=5)), Event(subject="a", stamp=2)]
    for number, topic in enumerate((PLAYERS, "world.facts.v1", "unheard.of.v1")):
        insert(client, log, f"{topic} {number}", topic=topic)
    held = rows(
        client, f'select log_topic, sum("player_scored.points"), count() from {EVENTS} group by all order by all'
    )
    assert held == [(PLAYERS, 5, 2), ("unheard.of.v1", 5, 2), ("world.facts.v1", 5, 2)]
    assert read(client, players)[("a",)]["score"] == 15
    assert rows(client, f"select count() from {OTHER.name}") == [(4,)]


def test_asking_all_events_reads_only_where_they_may_be(client: Any) -> None:
    migrate(client)
    for start in range(0, 60_000, 30_000):
        log = [Event(subject=f"hero-{start + n}", player_moved=PlayerMoved()) for n in range(30_000)]
        insert(client, log, f"many {start}", start=start)
    asked = f"select count() from {EVENTS} where log_topic = '{PLAYERS}' and log_offset < 100"
    plan = "\n".join(row[0] for row in rows(client, f"explain indexes = 1 {asked}"))
    assert "Granules: 1/8" in plan
    assert rows(client, asked) == [(100,)]


def test_reading_one_key_reads_only_where_it_may_be(client: Any) -> None:
    migrate(client)
    insert(client, [Event(subject=f"hero-{n}", player_moved=PlayerMoved()) for n in range(30_000)], "many")
    plan = "\n".join(
        row[0] for row in rows(client, "explain indexes = 1 select * from players where subject = 'hero-7'")
    )
    assert "PrimaryKey" in plan
    assert "Granules: 1/4" in plan


def test_no_name_in_clickhouse_is_taken_twice() -> None:
    made = [table.name for table in tables(PROJECTIONS)] + [view.name for view in VIEWS]
    below = [name for table in tables(PROJECTIONS) for name in (state_name(table), f"{table.name}_fold")]
    assert len({*made, *below, EVENTS}) == len(made) + len(below) + 1


@given(st.text(max_size=40), st.integers(0, 2**16 - 1), st.integers(0, 2**63 - 1))
def test_a_place_in_the_log_is_appended_as_ordinary_fields(topic: str, partition: int, offset: int) -> None:
    file = descriptor_pb2.FileDescriptorProto(name="place.proto", package="place", syntax="proto3")
    place = file.message_type.add(name="Place")
    kinds = {"log_topic": (1000, 9), "log_partition": (1001, 13), "log_offset": (1002, 6)}
    for name, (number, kind) in kinds.items():
        place.field.add(name=name, number=number, type=kind, label=1)
    message: Any = GetMessages([file])["place.Place"]
    record = Event(subject="hero").SerializeToString() + log_fields(topic, partition)(offset)
    read_back = message.FromString(record)
    assert (read_back.log_topic, read_back.log_partition, read_back.log_offset) == (topic, partition, offset)
    assert Event.FromString(record).subject == "hero"


@given(st.lists(st.integers(0, 40_000), max_size=6))
def test_each_record_stands_behind_its_length(lengths: list[int]) -> None:
    stream = concatenate(bytes(length) for length in lengths)
    found, at = [], 0
    while at < len(stream):
        length = shift = 0
        while True:
            byte, at = stream[at], at + 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(length)
        at += length
    assert found == lengths


def test_the_schema_is_one_line_of_plain_proto() -> None:
    schema = inline_schema()
    assert "\n" not in schema
    assert "message GoldGained{uint64 amount=1;string reason=2;}" in schema
    assert "fixed64 log_offset=1002;" in schema
