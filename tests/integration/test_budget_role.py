"""The budget's writer and a worker's purse over a real log: the writer killed between its steps, and the sums hold."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import orjson
import pytest

from inference.budget import HELD_MAX_MS, LAPSE_GRACE_MS
from inference.purse import Reservation
from inference.validation import Refused
from projections.postgres import migrate
from schemas import BudgetAsked, BudgetSettled, CostSampled, Event
from streams.embedded import Servers
from streams.purse import CALLS_PER_ASK, LogPurse
from streams.sdk import Producer
from streams.statements import statement
from tests.log import create_topic
from tests.policy_workers import PARTITIONS, PolicyWorkers, only_topic
from tests.sdk import firsts, read
from tests.workers import rows

pytestmark = pytest.mark.timeout(300)

AGAIN_S = 60
AGAIN_MS = AGAIN_S * 1000
#: One full ask, what a dead worker has called, and three calls more.
CALLS = CALLS_PER_ASK + 1 + 3
CAPS = [{"scope": "total", "period": "month", "calls": CALLS}]
VERDICTS = ("budget_reserved", "budget_refused")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def workers(
    servers: Servers,
    postgres: str,
    fresh_name: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[PolicyWorkers]:
    monkeypatch.setenv("NORN_CAPS", orjson.dumps(CAPS).decode())
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    topic = fresh_name("budget")
    create_topic(servers.kafka, topic, PARTITIONS)
    # In real time, and between two schedules: nothing but the budget has anything to say.
    found = replace(servers, postgres=postgres)
    started = PolicyWorkers(found, tmp_path, topic, fresh_name("group"), speed=1.0, clock_start="2026-01-01T00:01")
    yield started
    started.close()


@pytest.fixture
def producer(workers: PolicyWorkers, tmp_path: Path) -> Iterator[Producer]:
    with Producer(workers.servers.kafka, spill=tmp_path / "spill", topics=only_topic(workers.topic)) as found:
        yield found


@pytest.fixture
async def purse(workers: PolicyWorkers, producer: Producer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LogPurse]:
    # What is granted lasts as long as the test, however long its workers take to start.
    monkeypatch.setattr("streams.purse.HELD_MS", HELD_MAX_MS)
    topics = only_topic(workers.topic)
    found = LogPurse(workers.servers.kafka, producer, holder="w", now_ms=now_ms, topics=topics)
    listening = asyncio.create_task(found.run())
    yield found
    listening.cancel()
    await asyncio.wait([listening])


async def log_of(workers: PolicyWorkers) -> list[Event]:
    """What the budget's writer has said, repeats included."""
    origins = [row["origin"] for row in await rows(workers.servers.postgres, statement("count_published"))]
    found = await asyncio.to_thread(read, workers.servers.kafka, origins, only_topic(workers.topic).values())
    return [event for events in found.values() for event in events if event.subject == "budget"]


def settled(events: list[Event]) -> dict[str, BudgetSettled]:
    return {event.budget_settled.ask_id: event.budget_settled for event in events if event.HasField("budget_settled")}


async def spent(workers: PolicyWorkers) -> tuple[int, int]:
    """What the writer holds for spent in all in this month: calls, and micro-dollars."""
    [row] = await rows(
        workers.servers.postgres, "select value from policy_states where policy = 'budget' and entry = 'spent'"
    )
    [amount] = [each[3] for each in orjson.loads(row["value"]) if each[:2] == ["total", "month"]]
    return amount[0], amount[1]


async def test_a_writer_that_is_killed_between_its_steps_grants_once_counts_once_and_holds_the_cap(
    workers: PolicyWorkers, producer: Producer, purse: LogPurse
) -> None:
    first = asyncio.create_task(purse.take("karma", "gold", 100, within_ms=AGAIN_MS))
    worker = workers.start("delivered")
    await workers.until(lambda: worker.poll() == -signal.SIGKILL, AGAIN_S)
    # Of a worker that died: one call made of two reserved, and nobody comes back for the other.
    producer.publish(
        BudgetAsked(
            ask_id="ghost", holder="dead", agent="quest", tier="silver", calls=2, usd_micros=500,
            until_ms=now_ms() - LAPSE_GRACE_MS,
        ),
        subject="budget",
    )  # fmt: skip
    producer.publish(
        CostSampled(source="ai_inference", agent="quest", tier="silver", ask_id="ghost", calls=1, cost_usd_micros=30),
        subject="quest",
    )
    # What was granted is drawn upon while nobody writes the budget.
    taken = [await first, *[await purse.take("karma", "gold", 100, within_ms=1_000) for _ in range(3)]]
    assert all(isinstance(one, Reservation) for one in taken)
    workers.start()
    more = [await purse.take("karma", "gold", 100, within_ms=AGAIN_MS) for _ in range(CALLS_PER_ASK - 4)]
    for one in (*taken, *more):
        assert isinstance(one, Reservation)
        purse.settle(one, 20, 1)

    async def lapsed() -> bool:
        return {"lapsed", "returned"} <= {one.reason for one in settled(await log_of(workers)).values()}

    await workers.until(lapsed, AGAIN_S)
    last = [await purse.take("weather", "silver", 50, within_ms=AGAIN_MS) for _ in range(4)]
    assert [type(one) for one in last] == [Reservation] * 3 + [Refused]
    assert last[3] == Refused("budget", f"total per month: {CALLS + 1} calls of {CALLS}")
    for one in last[:3]:
        assert isinstance(one, Reservation)
        purse.settle(one, 10, 1)

    async def all_settled() -> bool:
        return await spent(workers) == (CALLS, CALLS_PER_ASK * 20 + 30 + 3 * 10)

    await workers.until(all_settled, AGAIN_S)
    found = await log_of(workers)
    had = firsts(found)
    assert len(had) < len(found), "what was sent before a kill is sent again, under the same number"
    verdicts = Counter(
        getattr(event, name).ask_id for event in had for name in VERDICTS if event.WhichOneof("fact") == name
    )
    assert set(verdicts.values()) == {1}
    ghost = settled(had)["ghost"]
    assert (ghost.calls, ghost.usd_micros, ghost.reason) == (1, 30, "lapsed")
