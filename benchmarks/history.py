"""How fast does the log become history? Kafka to ClickHouse, every fact in typed columns, views included.

Beside it, ClickHouse alone: the same bytes, already cut into inserts, into the same table without views.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.filling import TOPIC, fill
from benchmarks.ground import RUNS, Ground, rate
from benchmarks.mix import NETHACK_MIX
from projections.clickhouse import migrate
from projections.events_tables import EVENTS_TABLES, table_of
from projections.records import INSERT_SETTINGS, concatenate, log_fields
from streams.clickhouse import connect

EVENTS = 2_000_000
SUBJECTS = 10_000
#: As the worker inserts, at most.
INSERT_EVENTS = 200_000
INSERTS_AT_ONCE = 3

_ALONE = "alone"
_READ_S = 30.0
_VIEWS = "select name from system.tables where database = currentDatabase() and engine = 'MaterializedView'"


def measure(ground: Ground) -> dict[str, Any]:
    """Write two million events into ClickHouse three times, each time under another group, and each time by itself."""
    count = fill(ground, EVENTS, SUBJECTS)
    client = connect(ground.servers.clickhouse)
    url = _without_views(ground.servers.clickhouse, client)
    inserts = list(_inserts(ground.servers.kafka))
    runs, alone = [], []
    for number in range(RUNS):
        group = f"bench-history-{number}"
        for table in EVENTS_TABLES:
            client.command(f"truncate table {table.name}")
        ground.say(f"history, run {number + 1} of {RUNS}")
        with ground.worker("history", group):
            runs.append(round(rate(ground.watch(group, count))))
        ground.say(f"ClickHouse alone, run {number + 1} of {RUNS}")
        alone.append(round(count / _seconds(url, inserts)))
    held = client.query("select count(), uniqExact(origin, sequence, log_partition) from events").result_rows[0]
    return {
        "events_per_s": median(runs),
        "runs": runs,
        "clickhouse_alone": {"events_per_s": median(alone), "runs": alone},
        "ratio_clickhouse_alone": round(median(run / other for run, other in zip(runs, alone, strict=True)), 3),
        "events": count,
        "checked": {"rows": held[0], "distinct": held[1]},
    }


def _without_views(url: str, client: Any) -> str:
    """A database of the tables of events alone; gives its URL."""
    client.command(f"create database {_ALONE}")
    url = f"{url.rstrip('/')}/{_ALONE}"
    alone = connect(url)
    migrate(alone)
    for (view,) in alone.query(_VIEWS).result_rows:
        alone.command(f"drop view {view}")
    return url


def _inserts(kafka: str) -> Iterator[bytes]:
    """The topic's records as the worker sends them, an insert at a time, each of one partition."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "bench-history-alone", "enable.auto.commit": False})
    try:
        for partition in consumer.list_topics(TOPIC, _READ_S).topics[TOPIC].partitions:
            records = _records(consumer, partition)
            while batch := list(islice(records, INSERT_EVENTS)):
                yield concatenate(batch)
    finally:
        consumer.close()


def _records(consumer: Consumer, partition: int) -> Iterator[bytes]:
    located = log_fields(TOPIC, partition)
    low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), _READ_S)
    consumer.assign([TopicPartition(TOPIC, partition, low)])
    offset = low - 1
    while offset < high - 1:
        messages = consumer.consume(10_000, _READ_S)
        if not messages:
            raise TimeoutError(f"{TOPIC}[{partition}] gave nothing for {_READ_S:g} s at offset {offset} of {high}")
        for message in messages:
            offset = message.offset() or 0
            yield (message.value() or b"") + located(offset)


def _seconds(url: str, inserts: Sequence[bytes]) -> float:
    """How long all of them take, as many at once as the worker sends."""
    connect(url).command(f"truncate table {table_of(TOPIC, ()).name}")
    # A token is remembered: without new ones the second run would insert nothing.
    run = time.time_ns()
    began = time.perf_counter()
    with ThreadPoolExecutor(INSERTS_AT_ONCE) as threads:
        list(threads.map(partial(_insert, url), inserts, (f"{run}-{number}" for number in range(len(inserts)))))
    return time.perf_counter() - began


def _insert(url: str, block: bytes, token: str) -> None:
    table = table_of(TOPIC, ())
    columns = table.insert_columns(table.facts.intersection(NETHACK_MIX))
    settings = {**INSERT_SETTINGS, "insert_deduplication_token": token}
    connect(url).raw_insert(table.name, columns, insert_block=block, fmt="Protobuf", settings=settings)
