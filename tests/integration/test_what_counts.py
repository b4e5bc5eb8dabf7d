"""What of the log counts: what was committed, and all of it; what is gone is never passed over in silence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from projections.postgres import migrate
from schemas import GoldGained
from streams.addresses import Servers
from tests.log import Life, create_topic, write
from tests.waiting import WITHIN_S, eventually_async
from tests.workers import Workers, rows, standing


@pytest.fixture
async def workers(
    servers: Servers, postgres: str, fresh_name: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[Workers]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    topic = fresh_name("counts")
    create_topic(servers.kafka, topic, 1)
    started = Workers(replace(servers, postgres=postgres), tmp_path, topic, fresh_name("group"))
    yield started
    started.close()


def gold(life: Life, *amounts: int) -> list[bytes]:
    return [life.event(GoldGained(amount=each, reason="quest"), "hero")[1].SerializeToString() for each in amounts]


def transactional(workers: Workers, name: str) -> Producer:
    producer = Producer({"bootstrap.servers": workers.servers.kafka, "transactional.id": f"{workers.group}-{name}"})
    producer.init_transactions(WITHIN_S)
    return producer


def begin(producer: Producer, topic: str, values: Sequence[bytes]) -> None:
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(WITHIN_S) == 0


async def gold_of(workers: Workers) -> int:
    [found] = await rows(workers.servers.postgres, "select coalesce(sum(gold), 0) as gold from players")
    return int(found["gold"])


async def there(workers: Workers, offset: int) -> None:
    await workers.until(lambda: at(workers, offset))


async def at(workers: Workers, offset: int) -> bool:
    return (await standing(workers.servers.postgres, workers.group))["offsets"] == offset


async def test_aborted_records_do_not_count_and_positions_move_over_them(workers: Workers) -> None:
    workers.start()
    life, topic = Life(1), workers.topic
    reused = gold(Life(1, origin=life.origin, sequences={0: 1}), 990)
    writer = transactional(workers, "writer")
    begin(writer, topic, gold(life, 10))
    writer.commit_transaction(WITHIN_S)
    begin(writer, topic, reused)
    writer.abort_transaction(WITHIN_S)
    begin(writer, topic, gold(life, 1))
    writer.commit_transaction(WITHIN_S)
    # Three records, each with its transaction's marker: the log ends in one.
    await there(workers, 6)
    assert await gold_of(workers) == 11
    assert (await standing(workers.servers.postgres, workers.group))["events"] == 2

    slow = transactional(workers, "slow")
    begin(slow, topic, gold(Life(1), 500, 500))
    write(workers.servers.kafka, topic, [(0, value) for value in gold(life, 7)])
    begin(writer, topic, gold(life, 4))
    writer.commit_transaction(WITHIN_S)
    slow.abort_transaction(WITHIN_S)
    # What came behind an open transaction counts once it has ended.
    await there(workers, 12)
    assert await gold_of(workers) == 22


async def test_an_open_transaction_is_waited_for_over_a_restart(workers: Workers) -> None:
    worker = workers.start()
    life = Life(1)
    write(workers.servers.kafka, workers.topic, [(0, value) for value in gold(life, 1)])
    slow = transactional(workers, "slow")
    begin(slow, workers.topic, gold(Life(1), 20))
    write(workers.servers.kafka, workers.topic, [(0, value) for value in gold(life, 2)])
    await there(workers, 1)
    workers.stop(worker)
    workers.start()
    slow.commit_transaction(WITHIN_S)
    await there(workers, 4)
    assert await gold_of(workers) == 23


async def lost(workers: Workers, worker: subprocess.Popen[bytes]) -> str:
    """Waits until the worker has stopped, and gives what it said of a loss."""
    await workers.until(lambda: worker.poll() is not None)
    assert worker.returncode != 0, workers.log
    said = [line for line in workers.log.splitlines() if "OffsetLost" in line or "the next offset is" in line]
    assert said, workers.log
    return "\n".join(said)


def accept_loss(workers: Workers, *options: str) -> tuple[int, dict[str, Any]]:
    """`norn accept-loss --json`: its exit code, and what it printed of this topic."""
    command = [sys.executable, "-m", "streams.cli", "accept-loss", "--json", *options]
    here = {
        "NORN_KAFKA": workers.servers.kafka,
        "NORN_POSTGRES": workers.servers.postgres,
        "NORN_CLICKHOUSE": workers.servers.clickhouse,
    }
    ran = subprocess.run(command, env={**os.environ, **here}, capture_output=True, text=True, timeout=60, check=False)
    printed = json.loads(ran.stdout)
    printed["losses"] = [one for one in printed["losses"] if one["group"] == workers.group]
    return ran.returncode, printed


async def test_retention_that_outruns_a_worker_stops_it(workers: Workers) -> None:
    worker, life, kafka = workers.start(), Life(1), workers.servers.kafka
    write(kafka, workers.topic, [(0, value) for value in gold(life, *[1] * 40)])
    await there(workers, 40)
    os.kill(worker.pid, signal.SIGSTOP)
    # The first answers the fetch that waits at the broker; the rest is unread when most of it is deleted.
    write(kafka, workers.topic, [(0, value) for value in gold(life, 1)])
    write(kafka, workers.topic, [(0, value) for value in gold(life, *[1] * 40)])
    admin = AdminClient({"bootstrap.servers": kafka})
    for deleted in admin.delete_records([TopicPartition(workers.topic, 0, 70)]).values():
        deleted.result(WITHIN_S)
    os.kill(worker.pid, signal.SIGCONT)
    said = await lost(workers, worker)
    assert "the next offset is 41, and the broker holds 70 to 81" in said
    assert "norn accept-loss" in said
    assert await at(workers, 41)
    # Nor does a supervisor's next one go on.
    again = await lost(workers, workers.start())
    assert "the next offset is 41" in again
    assert await at(workers, 41)
    code, printed = accept_loss(workers)
    assert (code, printed["accepted"]) == (1, False)
    assert [(one["next_offset"], one["goes_on_at"], one["records_lost"]) for one in printed["losses"]] == [(41, 70, 29)]
    assert accept_loss(workers, "--yes")[1]["accepted"]
    assert accept_loss(workers) == (0, {"accepted": False, "losses": []})
    workers.start()
    await there(workers, 81)
    assert await gold_of(workers) == 52
    found = await standing(workers.servers.postgres, workers.group)
    assert (found["events"], found["holes"]) == (52, 29)
    [position] = await rows(
        workers.servers.postgres, "select lost, passed from positions where group_name = $1", workers.group
    )
    assert tuple(position) == (29, 0)


@pytest.mark.parametrize("meanwhile", ["asleep", "awake", "stopped"])
async def test_a_topic_made_anew_stops_the_worker_though_it_is_longer(workers: Workers, meanwhile: str) -> None:
    worker, kafka = workers.start(), workers.servers.kafka
    write(kafka, workers.topic, [(0, value) for value in gold(Life(1), *[1] * 40)])
    await there(workers, 40)
    if meanwhile == "asleep":
        os.kill(worker.pid, signal.SIGSTOP)
    if meanwhile == "stopped":
        workers.stop(worker)
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([workers.topic])[workers.topic].result(WITHIN_S)
    await eventually_async(lambda: workers.topic not in admin.list_topics(timeout=WITHIN_S).topics, WITHIN_S)
    create_topic(kafka, workers.topic, 1)
    write(kafka, workers.topic, [(0, value) for value in gold(Life(1), *[1] * 100)])
    if meanwhile == "asleep":
        os.kill(worker.pid, signal.SIGCONT)
    if meanwhile == "stopped":
        worker = workers.start()
    said = await lost(workers, worker)
    assert "the next offset is 40" in said
    assert await at(workers, 40)
    assert await gold_of(workers) == 40
    code, printed = accept_loss(workers, "--yes")
    assert (code, [one["goes_on_at"] for one in printed["losses"]]) == (0, [0])
    workers.start()
    await there(workers, 100)
    assert await gold_of(workers) == 140
