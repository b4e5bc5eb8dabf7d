"""Facts that an older version did not know: set aside by it, and taken up by the version that knows them, unasked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from projections.clickhouse import migrate as migrate_clickhouse
from projections.postgres import migrate
from schemas import Event, GoldGained, PlayerScored
from streams.clickhouse import connect
from streams.embedded import Servers
from tests.log import Life, create_topic, write
from tests.workers import Workers, rows, standing

NEW_FACT = Event.DESCRIPTOR.fields_by_name["gold_gained"].number
#: A fact that no version knows yet.
UNBORN = bytes((0xFA, 0x3E, 0x00))


@pytest.fixture(params=["fold", "history"])
async def workers(
    request: pytest.FixtureRequest,
    servers: Servers,
    postgres: str,
    clickhouse: str,
    fresh_name: Callable[[str], str],
    tmp_path: Path,
) -> AsyncIterator[Workers]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    migrate_clickhouse(connect(clickhouse))
    topic = fresh_name("aside")
    create_topic(servers.kafka, topic, 1)
    here = replace(servers, postgres=postgres, clickhouse=clickhouse)
    started = Workers(here, tmp_path, topic, fresh_name("group"), request.param)
    yield started
    started.close()


async def left_by_an_older_version(workers: Workers, events: list[Event]) -> None:
    """What a worker that does not know GoldGained leaves behind, having read all of these."""
    connection = await asyncpg.connect(workers.servers.postgres)
    await connection.execute(
        "insert into positions (group_name, topic, partition, next_offset, epoch) values ($1, $2, 0, $3, 1)",
        workers.group,
        workers.topic,
        len(events),
    )
    await connection.execute(
        "insert into dots (group_name, topic, partition, origin, last, heard_ms) values ($1, $2, 0, $3, $4, 0)",
        workers.group,
        workers.topic,
        events[0].origin,
        len(events),
    )
    insert = (
        "insert into dead_letters (topic, partition, record_offset, roles, reason, detail, value, appended_ms,"
        " unknown_fields) values ($1, 0, $2, $3, 'unknown_fact', '', $4, $5, $6)"
    )
    for offset, event in enumerate(events):
        value, known = event.SerializeToString(), event.HasField("gold_gained")
        roles, numbers = [workers.role, "policy"], [NEW_FACT if known else 999]
        await connection.execute(insert, workers.topic, offset, roles, value, event.stamp >> 16, numbers)
    await connection.close()


async def held(workers: Workers) -> int:
    """The gold in the store that the role writes."""
    if workers.role == "history":
        client = connect(workers.servers.clickhouse)
        [[gold]] = client.query("select sum(gold_gained.amount) from events").result_rows
        return int(gold)
    [row] = await rows(workers.servers.postgres, "select coalesce(sum(gold), 0) as gold from players")
    return int(row["gold"])


async def test_they_are_taken_up_once_though_nothing_new_comes_and_a_worker_is_killed(workers: Workers) -> None:
    life = Life(partitions=1)
    events = [life.event(GoldGained(amount=number + 1), f"hero-{number % 7}")[1] for number in range(50)]
    unborn = Event.FromString(life.event(GoldGained(), "hero")[1].SerializeToString())
    unborn.ClearField("fact")
    unborn.MergeFromString(UNBORN)
    write(workers.servers.kafka, workers.topic, [(0, event.SerializeToString()) for event in [*events, unborn]])
    await left_by_an_older_version(workers, [*events, unborn])
    worker = workers.start()
    await workers.stored(50)
    workers.kill(worker)
    workers.start()
    fresh = life.event(GoldGained(amount=1_000), "hero-1")[1]
    write(workers.servers.kafka, workers.topic, [(0, fresh.SerializeToString())])
    await workers.stored(51)
    assert await held(workers) == 50 * 51 // 2 + 1_000
    assert (await standing(workers.servers.postgres, workers.group))["holes"] == 0
    letters = await rows(
        workers.servers.postgres, "select record_offset, roles from dead_letters order by record_offset"
    )
    assert [row["roles"] for row in letters] == [["policy"]] * 50 + [sorted([workers.role, "policy"])]
    assert "50 records that an older version set aside are taken up" in workers.log


async def test_a_new_version_is_rolled_out_under_load_and_nothing_is_left_to_clean_up(workers: Workers) -> None:
    life = Life(partitions=1)
    facts = [lambda n: GoldGained(amount=n), lambda n: PlayerScored(points=n)]
    events = [life.event(facts[n % 2](n), f"hero-{n % 40}")[1] for n in range(6_000)]
    values = [(0, event.SerializeToString()) for event in events]
    old = [workers.start_older("gold_gained") for _ in range(2)]
    write(workers.servers.kafka, workers.topic, values[:2_000])
    await workers.read(2_000)
    assert len(await rows(workers.servers.postgres, "select 1 from dead_letters")) == 1_000
    # One by one, as a roll-out does, while the game goes on.
    for number, worker in enumerate(old):
        workers.start()
        write(workers.servers.kafka, workers.topic, values[2_000 + 2_000 * number : 4_000 + 2_000 * number])
        workers.stop(worker)
    await workers.stored(len(events))
    assert await held(workers) == sum(event.gold_gained.amount for event in events)
    assert await rows(workers.servers.postgres, "select * from dead_letters") == []
    found = await standing(workers.servers.postgres, workers.group)
    assert (found["events"], found["repeats"], found["holes"]) == (len(events), 0, 0)
    assert "does not know (numbers" in workers.log


async def test_what_is_newer_than_the_worker_is_said_and_set_aside_with_its_number(workers: Workers) -> None:
    life = Life(partitions=1)
    known = [life.event(GoldGained(amount=1), "hero")[1] for _ in range(3)]
    newer = Event.FromString(life.event(GoldGained(), "hero")[1].SerializeToString())
    newer.ClearField("fact")
    newer.MergeFromString(UNBORN)
    write(workers.servers.kafka, workers.topic, [(0, event.SerializeToString()) for event in [*known, newer, newer]])
    workers.start()
    await workers.read(5)
    [letter] = await rows(workers.servers.postgres, "select roles, reason, unknown_fields from dead_letters")
    assert tuple(letter) == ([workers.role], "unknown_fact", [1007])
    found = await standing(workers.servers.postgres, workers.group)
    assert (found["events"], found["repeats"], found["holes"]) == (3, 1, 0)
    assert workers.log.count("numbers 1007 in Event") == 1
