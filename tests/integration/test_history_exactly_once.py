"""The history worker: every record in ClickHouse once, whatever dies meanwhile."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from projections import clickhouse as history
from projections.postgres import migrate
from schemas import PlayerMoved, PlayerScored
from streams.clickhouse import connect
from streams.embedded import Servers
from tests.log import Life, create_topic, write
from tests.proxy import proxy
from tests.workers import Workers, rows, standing


@pytest.fixture
async def workers(
    servers: Servers, postgres: str, clickhouse: str, fresh_name: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[Workers]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    mine = replace(servers, postgres=postgres, clickhouse=clickhouse)
    history.migrate(connect(mine.clickhouse))
    topic = fresh_name("history")
    create_topic(servers.kafka, topic)
    started = Workers(mine, tmp_path, topic, fresh_name("group"), role="history")
    yield started
    started.close()


def records(life: Life, events: int) -> list[tuple[int, bytes]]:
    facts = [lambda n: PlayerScored(points=n % 9 + 1), lambda n: PlayerMoved(zone="keep", x=n, y=1)]
    made = [life.event(facts[n % 2](n), f"hero-{n % 300}") for n in range(events)]
    return [(partition, event.SerializeToString()) for partition, event in made]


def counted(workers: Workers) -> tuple[Any, ...]:
    client = connect(workers.servers.clickhouse)
    found: tuple[Any, ...] = client.query(
        "select count(), uniqExact(origin, log_partition, sequence), sum(`player_scored.points`) from events"
    ).result_rows[0]
    return found


async def test_kill_9_three_times_leaves_every_record_once(workers: Workers) -> None:
    made = records(Life(), 60_000)
    points = sum(n % 9 + 1 for n in range(0, 60_000, 2))
    worker = workers.start()
    for part in range(4):
        begun = (await standing(workers.servers.postgres, workers.group))["events"]
        write(workers.servers.kafka, workers.topic, made[part * 15_000 : (part + 1) * 15_000])
        await workers.stored(begun + 1)
        if part < 3:
            workers.kill(worker)
            worker = workers.start()
    await workers.stored(len(made))
    assert counted(workers) == (60_000, 60_000, points)


async def test_an_insert_whose_end_was_not_noted_is_not_repeated(workers: Workers) -> None:
    life = Life(partitions=1)
    made = records(life, 1_000)
    write(workers.servers.kafka, workers.topic, made)
    worker = workers.start()
    await workers.stored(1_000)
    workers.kill(worker)
    # The crash between the insert and its note: the position goes back to where the range began, the range stays.
    await rows(
        workers.servers.postgres,
        "update positions p set next_offset = r.low, events = 0 from ranges r "
        "where p.group_name = r.group_name and p.topic = r.topic and p.partition = r.partition",
    )
    await rows(workers.servers.postgres, "delete from dots")
    before = counted(workers)
    more = records(life, 500)
    write(workers.servers.kafka, workers.topic, more)
    workers.start()

    async def caught_up() -> bool:
        return (await standing(workers.servers.postgres, workers.group))["offsets"] >= 1_500

    await workers.until(caught_up, 60)
    assert before[0] == 1_000
    assert counted(workers)[:2] == (1_500, 1_500)


async def test_a_repeat_and_rubbish_stay_out_and_neighbours_go_in(workers: Workers) -> None:
    made = records(Life(partitions=1), 3_000)
    write(workers.servers.kafka, workers.topic, [*made[:1_500], (0, b"\xff\xff\xff"), *made[1_500:], *made[-100:]])
    workers.start()
    await workers.stored(3_000)

    async def stepped_over() -> bool:
        return (await standing(workers.servers.postgres, workers.group))["offsets"] >= 3_101

    await workers.until(stepped_over, 30)
    assert counted(workers)[:2] == (3_000, 3_000)
    found = await rows(workers.servers.postgres, "select roles, reason from dead_letters")
    assert [tuple(row) for row in found] == [(["history"], "undecodable")]


async def test_clickhouse_away_for_30_s_is_waited_for_and_caught_up_with(workers: Workers) -> None:
    address = urlsplit(workers.servers.clickhouse)
    made = records(Life(), 8_000)
    with proxy(address.hostname or "127.0.0.1", address.port or 8123) as way:
        direct = workers.servers
        workers.servers = replace(direct, clickhouse=direct.clickhouse.replace(f":{address.port}", f":{way.port}"))
        worker = workers.start()
        workers.servers = direct
        write(direct.kafka, workers.topic, made[:4_000])
        await workers.stored(4_000)
        way.cut()
        write(direct.kafka, workers.topic, made[4_000:])
        await workers.until(lambda: "ClickHouse is away" in workers.log)
        gone = time.monotonic()
        await workers.until(lambda: time.monotonic() - gone >= 30, 40)
        assert worker.poll() is None
        way.mend()
        await workers.stored(8_000)
    await workers.until(lambda: "ClickHouse is back" in workers.log)
    assert counted(workers)[:2] == (8_000, 8_000)
