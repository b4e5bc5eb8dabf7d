"""The policy worker, killed between its steps, doubled, and put to sleep: every fact once, and the clock goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import asyncpg
import orjson
import pytest

from projections.postgres import migrate
from schemas import DecisionEffective, Event, PlaceEntered, ScheduleDue
from streams.embedded import Servers
from streams.policies.schedules import due_between
from streams.statements import statement
from tests.log import Life, create_topic, write
from tests.policies import DAY_MS, HOUR_MS, MIDNIGHT_MS
from tests.policy_workers import PARTITIONS, PolicyWorkers, said_by
from tests.sdk import firsts
from tests.workers import rows

pytestmark = pytest.mark.timeout(300)

AGAIN_S = 90


@pytest.fixture
async def workers(
    servers: Servers, postgres: str, fresh_name: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[PolicyWorkers]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    topic = fresh_name("policy")
    create_topic(servers.kafka, topic, PARTITIONS)
    started = PolicyWorkers(replace(servers, postgres=postgres), tmp_path, topic, fresh_name("group"))
    yield started
    started.close()


async def log_of(workers: PolicyWorkers) -> list[Event]:
    """What the group has said so far, repeats included, in the order of each partition."""
    published = await rows(workers.servers.postgres, statement("count_published"))
    return said_by(workers.servers.kafka, workers.topic, [row["origin"] for row in published])


async def world_time(workers: PolicyWorkers) -> int:
    found = await rows(workers.servers.postgres, "select time_ms from world_clocks")
    return found[0]["time_ms"] if found else 0


async def reaches(workers: PolicyWorkers, hour: float, timeout_s: float = AGAIN_S) -> None:
    async def there() -> bool:
        return await world_time(workers) >= MIDNIGHT_MS + hour * HOUR_MS

    await workers.until(there, timeout_s)


async def settled(workers: PolicyWorkers, hour: float) -> list[Event]:
    """The log once the schedules of this hour are on it."""
    found: list[Event] = []

    async def there() -> bool:
        found[:] = await log_of(workers)
        return any(due.due_ms >= MIDNIGHT_MS + hour * HOUR_MS for due in dues(found))

    await workers.until(there, AGAIN_S)
    return found


def dues(events: Sequence[Event]) -> list[ScheduleDue]:
    return [event.schedule_due for event in events if event.HasField("schedule_due")]


def due_before(end_ms: int) -> list[tuple[str, int]]:
    """All that is due from the world's first midnight on; day by day, since no more of the hours is made up for."""
    days = range(MIDNIGHT_MS, end_ms, DAY_MS)
    return [due for day in days for due in due_between(day - 1, min(day + DAY_MS, end_ms) - 1, MIDNIGHT_MS)]


def check_each_once(events: Sequence[Event]) -> None:
    """To every reader, who knows a repeat by its number, each time was told once, and no number is missing."""
    had = firsts(events)
    told = [(due.schedule, due.due_ms) for due in dues(had)]
    assert len(set(told)) == len(told)
    # Of what is due at the last moment the log may have been read between one and the next.
    last_ms = max(due_ms for _, due_ms in told)
    assert sorted(each for each in told if each[1] < last_ms) == sorted(due_before(last_ms))
    by_topic = sorted(event.sequence for event in had)
    assert by_topic == list(range(1, len(had) + 1))
    assert len({(event.origin, event.sequence): event.SerializeToString() for event in events}) == len(
        {event.SerializeToString() for event in events}
    )


async def test_killed_between_the_transaction_and_the_log_nothing_is_lost_or_said_twice(
    workers: PolicyWorkers,
) -> None:
    life = Life(PARTITIONS)
    events = [life.event(PlaceEntered(zone=f"hall {n % 3}", depth=n), f"hero-{n % 5}") for n in range(30)]
    events += [life.event(DecisionEffective(decision_id="d", agent="weather", action="rain"), "world")]
    rubbish = [(0, b"\xff\xff no event"), (1, b"")]
    written = [*((at, event.SerializeToString()) for at, event in events), *rubbish]
    write(workers.servers.kafka, workers.topic, written)
    for dies in ("stored", "delivered"):
        worker = workers.start(dies)
        await workers.until(lambda worker=worker: worker.poll() == -signal.SIGKILL, AGAIN_S)
    workers.start()
    found = await settled(workers, 8)
    check_each_once(found)
    assert len(firsts(found)) < len(found), "what was sent before a kill is sent again, under the same number"
    # What happened before the kills is in the window of the day's first schedules after them.
    context = orjson.loads(next(due.context for due in dues(found) if due.schedule == "social"))
    assert sum(visits for _, visits in context["places"]) == 30
    assert (context["players"], context["deepest"], context["decided"]) == (5, 29, {"weather": {"rain": 1}})
    letters = await rows(workers.servers.postgres, "select reason from dead_letters where 'policy' = any(roles)")
    assert sorted(row["reason"] for row in letters) == ["no_dot", "undecodable"]


async def _hours(workers: PolicyWorkers) -> float:
    return (await world_time(workers) - MIDNIGHT_MS) / HOUR_MS


async def test_others_stand_by_and_one_takes_over_from_the_dead_and_from_the_asleep(workers: PolicyWorkers) -> None:
    first = workers.start()
    await reaches(workers, 1)
    keeper = await keeper_of(workers)
    second = workers.start()
    # The group's generation goes up when another joins, and the one that works is given everything again.
    await workers.until(lambda: workers.log.count("Successfully synced group") >= 3, AGAIN_S)
    await reaches(workers, await _hours(workers) + 1)
    assert await keeper_of(workers) == keeper, "a worker that joins does not push out the one that works"
    workers.kill(first)
    keeper, stood_ms = await another_keeper(workers, keeper)
    await reaches(workers, await _hours(workers) + 1)
    os.kill(second.pid, signal.SIGSTOP)
    workers.start()
    await another_keeper(workers, keeper)
    os.kill(second.pid, signal.SIGCONT)
    found = await settled(workers, await _hours(workers) + 3)
    check_each_once(found)
    # While nobody kept the clock it went on no faster than real time: the session's timeout, not hours.
    ticks = {event.clock_ticked.time_ms for event in firsts(found) if event.HasField("clock_ticked")}
    assert stood_ms in ticks
    assert min(tick for tick in ticks if tick > stood_ms) - stood_ms < HOUR_MS


async def another_keeper(workers: PolicyWorkers, before: str) -> tuple[str, int]:
    """Who keeps the clock after this one, and where the clock stood last in this one's hands."""
    keeper, stood_ms = before, 0

    async def taken_over() -> bool:
        nonlocal keeper, stood_ms
        [clock] = await rows(workers.servers.postgres, "select told_by, time_ms from world_clocks")
        keeper = clock["told_by"]
        if keeper == before:
            stood_ms = clock["time_ms"]
        return keeper != before

    await workers.until(taken_over, AGAIN_S)
    return keeper, stood_ms


async def keeper_of(workers: PolicyWorkers) -> str:
    found = await rows(workers.servers.postgres, "select told_by from world_clocks")
    return str(found[0]["told_by"])
