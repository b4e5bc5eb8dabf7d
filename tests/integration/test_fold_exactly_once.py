"""The fold worker, killed, joined, stopped and fed rubbish: every event counts once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from projections.postgres import migrate
from schemas import Event, GoldGained, PlayerMoved, PlayerScored
from schemas.stamps import pack
from streams.embedded import Servers
from tests.log import Life, create_topic, write
from tests.proxy import proxy
from tests.workers import Workers, rows, standing

# "Folding again within 30 s of each kill" is the promise; a loaded machine may not make it a lie.
AGAIN_S = 30
# A constraint of the test's own, so that there is something that Postgres refuses.
REFUSED_POINTS = 1_000_000


@pytest.fixture
async def workers(
    servers: Servers, postgres: str, fresh_name: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[Workers]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    topic = fresh_name("fold")
    create_topic(servers.kafka, topic)
    started = Workers(replace(servers, postgres=postgres), tmp_path, topic, fresh_name("group"))
    yield started
    started.close()


def scores(life: Life, events: int, subjects: int = 500) -> list[tuple[int, Event]]:
    """Facts whose sum tells whether one is missing or counted twice."""
    facts = [
        lambda n: PlayerScored(points=n % 9 + 1),
        lambda n: GoldGained(amount=n % 100, reason="quest"),
        lambda n: PlayerMoved(zone="keep", x=n, y=1),
    ]
    return [life.event(facts[n % 3](n), f"hero-{n % subjects}") for n in range(events)]


def raw(events: list[tuple[int, Event]]) -> list[tuple[int, bytes]]:
    return [(partition, event.SerializeToString()) for partition, event in events]


async def totals(postgres: str) -> tuple[int, int]:
    found = await rows(postgres, "select coalesce(sum(score), 0) as score, coalesce(sum(gold), 0) as gold from players")
    return int(found[0]["score"]), int(found[0]["gold"])


def expected(events: list[tuple[int, Event]]) -> tuple[int, int]:
    return (
        sum(event.player_scored.points for _, event in events),
        sum(event.gold_gained.amount for _, event in events),
    )


async def test_kill_9_three_times_loses_nothing_and_repeats_nothing(workers: Workers) -> None:
    events = scores(Life(), 100_000)
    worker = workers.start()
    for part in range(4):
        begun = (await standing(workers.servers.postgres, workers.group))["events"]
        write(workers.servers.kafka, workers.topic, raw(events[part * 25_000 : (part + 1) * 25_000]))
        await workers.stored(begun + 1, AGAIN_S)
        if part < 3:
            workers.kill(worker)
            worker = workers.start()
    await workers.stored(len(events))
    state = await standing(workers.servers.postgres, workers.group)
    assert state == {"offsets": 100_000, "events": 100_000, "holes": 0, "repeats": 0}
    assert await totals(workers.servers.postgres) == expected(events)


async def test_workers_join_and_leave_under_load(workers: Workers) -> None:
    events = scores(Life(), 60_000)
    first = workers.start()
    write(workers.servers.kafka, workers.topic, raw(events[:15_000]))
    await workers.stored(1)
    second = workers.start()
    write(workers.servers.kafka, workers.topic, raw(events[15_000:30_000]))
    await workers.stored(30_000)
    workers.stop(first)
    write(workers.servers.kafka, workers.topic, raw(events[30_000:45_000]))
    await workers.stored(45_000)
    workers.start()
    workers.kill(second)
    write(workers.servers.kafka, workers.topic, raw(events[45_000:]))
    await workers.stored(60_000)
    assert await totals(workers.servers.postgres) == expected(events)
    assert (await standing(workers.servers.postgres, workers.group))["repeats"] == 0


async def test_a_worker_that_slept_through_its_own_death_stores_nothing(workers: Workers) -> None:
    events = scores(Life(), 30_000)
    sleeper = workers.start()
    write(workers.servers.kafka, workers.topic, raw(events[:10_000]))
    await workers.stored(10_000)
    os.kill(sleeper.pid, signal.SIGSTOP)
    workers.start()
    write(workers.servers.kafka, workers.topic, raw(events[10_000:20_000]))
    await workers.stored(20_000)
    os.kill(sleeper.pid, signal.SIGCONT)
    write(workers.servers.kafka, workers.topic, raw(events[20_000:]))
    await workers.stored(30_000)
    assert await totals(workers.servers.postgres) == expected(events)


async def test_what_came_twice_counts_once_and_what_is_missing_is_a_hole(workers: Workers) -> None:
    events = scores(Life(), 5_000)
    lost = events.pop(1_000)
    write(workers.servers.kafka, workers.topic, raw([*events, *events[-700:]]))
    workers.start()
    # The repeats come last, and may be stored by themselves.
    await workers.read(4_999 + 700)
    state = await standing(workers.servers.postgres, workers.group)
    assert (state["events"], state["holes"], state["repeats"]) == (4_999, 1, 700)
    write(workers.servers.kafka, workers.topic, raw([lost]))
    await workers.stored(5_000)
    assert (await standing(workers.servers.postgres, workers.group))["holes"] == 0
    assert await totals(workers.servers.postgres) == expected([*events, lost])


@pytest.mark.parametrize("neighbours", [50, 5_000])
async def test_rubbish_becomes_dead_letters_and_its_neighbours_are_folded(workers: Workers, neighbours: int) -> None:
    life, strange = Life(partitions=1), Life(partitions=1)
    good = [life.event(PlayerScored(points=1), "hero") for _ in range(neighbours)]
    far = pack(time.time_ns() // 1_000_000 + 3_600_000)
    unknown = strange.event(PlayerScored(), "hero")[1]
    unknown.ClearField("fact")
    odd = [
        b"\xff\xff\xff not an event",
        # Field 3000 of the envelope is a fact of some later version.
        unknown.SerializeToString() + b"\xc2\xbb\x01\x00",
        strange.event(PlayerScored(points=5), "hero", stamp=far)[1].SerializeToString(),
        strange.event(PlayerScored(points=2**63 + 5), "hero")[1].SerializeToString(),
        strange.event(PlayerScored(points=REFUSED_POINTS), "hero")[1].SerializeToString(),
    ]
    values = [event.SerializeToString() for _, event in good]
    middle = len(values) // 2
    await rows(workers.servers.postgres, f"alter table players_by_region add check (score < {REFUSED_POINTS})")
    write(workers.servers.kafka, workers.topic, [(0, v) for v in [*values[:middle], *odd, *values[middle:]]])
    workers.start()
    await workers.stored(neighbours)
    found = await rows(workers.servers.postgres, "select reason, value from dead_letters order by record_offset")
    reasons = ["undecodable", "unknown_fact", "future_stamp", "fold_failed", "store_failed"]
    assert [row["reason"] for row in found] == reasons
    assert [row["value"] for row in found] == odd
    assert await totals(workers.servers.postgres) == (neighbours, 0)
    state = await standing(workers.servers.postgres, workers.group)
    assert state["events"] == neighbours
    assert state["offsets"] == neighbours + len(odd)


async def test_postgres_away_for_30_s_is_waited_for_and_caught_up_with(workers: Workers) -> None:
    address = urlsplit(workers.servers.postgres)
    events = scores(Life(), 20_000)
    with proxy(address.hostname or "127.0.0.1", address.port or 5432) as way:
        direct = workers.servers.postgres
        through = direct.replace(f":{address.port}/", f":{way.port}/")
        workers.servers = replace(workers.servers, postgres=through)
        worker = workers.start()
        write(workers.servers.kafka, workers.topic, raw(events[:10_000]))
        workers.servers = replace(workers.servers, postgres=direct)
        await workers.stored(10_000)
        way.cut()
        write(workers.servers.kafka, workers.topic, raw(events[10_000:]))
        await workers.until(lambda: "Postgres is away" in workers.log)
        gone = time.monotonic()
        await workers.until(lambda: time.monotonic() - gone >= 30, 40)
        assert worker.poll() is None
        way.mend()
        await workers.stored(20_000)
    await workers.until(lambda: "Postgres is back" in workers.log)
    assert await totals(workers.servers.postgres) == expected(events)
