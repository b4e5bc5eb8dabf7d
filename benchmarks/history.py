"""How fast does the log become history? Kafka to ClickHouse, every fact in typed columns, views included."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.filling import fill
from benchmarks.ground import RUNS, Ground, rate
from projections.events_tables import EVENTS_TABLES
from streams.clickhouse import connect

EVENTS = 2_000_000
SUBJECTS = 10_000


def measure(ground: Ground) -> dict[str, Any]:
    """Write two million events into ClickHouse three times, each time under another group."""
    count = fill(ground, EVENTS, SUBJECTS)
    client = connect(ground.servers.clickhouse)
    runs = []
    for number in range(RUNS):
        group = f"bench-history-{number}"
        for table in EVENTS_TABLES:
            client.command(f"truncate table {table.name}")
        ground.say(f"history, run {number + 1} of {RUNS}")
        with ground.worker("history", group):
            runs.append(round(rate(ground.watch(group, count))))
    held = client.query("select count(), uniqExact(origin, sequence, log_partition) from events").result_rows[0]
    return {
        "events_per_s": median(runs),
        "runs": runs,
        "events": count,
        "checked": {"rows": held[0], "distinct": held[1]},
    }
