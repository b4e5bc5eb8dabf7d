"""norn migrate."""

from __future__ import annotations

import asyncio

from streams.commands.output import Json, answers, emit, locate, settings


def migrate(as_json: Json = False) -> None:
    """Bring the tables of Postgres and ClickHouse up to date, and say what was applied."""
    from streams.preparing import migrate_clickhouse, migrate_postgres, without_past

    servers = locate(settings())
    applied = {
        "postgres": asyncio.run(migrate_postgres(servers.postgres)),
        "clickhouse": migrate_clickhouse(servers.clickhouse),
    }
    begin = asyncio.run(without_past(servers.postgres, applied["postgres"]))
    if as_json:
        emit({**applied, "without_past": begin})
        return
    for store, names in applied.items():
        answers.print(f"[bold]{store}[/]: {', '.join(names) if names else 'nothing to do'}", highlight=False)
    if begin:
        answers.print(
            f"[bold]without their past[/]: {', '.join(begin)} begin with the events from now on. To give them the past"
            " too: `norn rebuild postgres`, while no fold worker runs.",
            highlight=False,
        )
    answers.print("Next: `norn topics` shows the topics (--create makes them), `norn run` starts the workers.")
