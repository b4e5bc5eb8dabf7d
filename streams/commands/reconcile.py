"""norn reconcile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit, errors, foreign, locate, settings

if TYPE_CHECKING:
    from streams.counting import Counts
    from streams.reconcile import Verdict


def reconcile(
    wait: Annotated[float, typer.Option(help="Seconds to wait for workers that have not caught up.", min=0)] = 10.0,
    as_json: Json = False,
) -> None:
    """Count every event in Kafka, Postgres and ClickHouse, and hold the counts against each other.

    Stop producers first: what is written while it counts makes the counts differ. Exits with 1 when they do. The
    world's clock stands still meanwhile.
    """
    from streams.counting import Counting
    from streams.reconcile import reconcile as judge
    from streams.world_clock import held

    servers = locate(settings())
    counting = Counting(servers)

    async def count() -> Counts:
        async with held(servers.postgres):
            if not await counting.settled(wait):
                errors.print(
                    f"workers have not caught up within {wait:g} s: counting all the same. Are they running?"
                    " `norn worker fold` and `norn worker history` start them.",
                    highlight=False,
                )
            return await counting.counts()

    counts = asyncio.run(count())
    verdict = judge(counts.partitions)
    if as_json:
        emit(as_object(counts, verdict))
    else:
        show(answers, counts, verdict)
    if not verdict.holds:
        raise typer.Exit(DOES_NOT_HOLD)


def as_object(counts: Counts, verdict: Verdict) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "holds": verdict.holds,
        "events_in_kafka": verdict.in_kafka,
        "events_in_postgres": verdict.in_postgres,
        "events_in_clickhouse": verdict.in_clickhouse,
        "holes": verdict.holes,
        "duplicates_dropped": verdict.duplicates_dropped,
        "dead_letters": verdict.dead_letters,
        "log_was_read": counts.scanned,
        "differences": list(verdict.differences),
        "partitions": [
            {
                "topic": counted.topic,
                "partition": counted.partition,
                "in_kafka": counted.in_kafka,
                "in_postgres": counted.postgres.events,
                "in_clickhouse": counted.clickhouse.events,
                "holes": counted.holes,
                "duplicates": counted.postgres.duplicates,
                "dead_letters": counted.dead_letters,
            }
            for counted in counts.partitions
        ],
    }


def show(console: Console, counts: Counts, verdict: Verdict) -> None:
    """The table that people read: partitions that hold nothing are left out."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, footer_style="bold")
    table.add_column("partition", footer="all", no_wrap=True)
    columns = {
        "Kafka": [counted.in_kafka for counted in counts.partitions],
        "Postgres": [counted.postgres.events for counted in counts.partitions],
        "ClickHouse": [counted.clickhouse.events for counted in counts.partitions],
        "holes": [counted.holes for counted in counts.partitions],
        "repeats": [counted.postgres.duplicates for counted in counts.partitions],
        "dead\nletters": [counted.dead_letters for counted in counts.partitions],
    }
    for name, numbers in columns.items():
        table.add_column(name, justify="right", footer=f"{sum(numbers):,}")
    for index, counted in enumerate(counts.partitions):
        if any(numbers[index] for numbers in columns.values()):
            table.add_row(foreign(counted.name), *(f"{numbers[index]:,}" for numbers in columns.values()))
    console.print(table)
    if verdict.produced is not None:
        console.print(f"producers had {verdict.produced:,} events acknowledged", highlight=False)
    if not counts.scanned:
        console.print("the log is too large to be read for this: repeats and holes are those that Postgres has seen")
    if verdict.holds:
        console.print("[bold green]it holds[/]: nothing was lost and nothing was counted twice")
    for difference in verdict.differences:
        console.print(f"[bold red]✗[/] {foreign(difference)}", highlight=False)
