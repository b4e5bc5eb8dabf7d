"""norn migrate."""

from __future__ import annotations

import asyncio

from streams.commands.output import Json, answers, emit, locate, settings


def migrate(as_json: Json = False) -> None:
    """Bring the tables of Postgres and ClickHouse up to date, and say what was applied."""
    from streams.preparing import migrate_clickhouse, migrate_postgres

    servers = locate(settings())
    applied = {
        "postgres": asyncio.run(migrate_postgres(servers.postgres)),
        "clickhouse": migrate_clickhouse(servers.clickhouse),
    }
    if as_json:
        emit(applied)
        return
    for store, names in applied.items():
        answers.print(f"[bold]{store}[/]: {', '.join(names) if names else 'nothing to do'}", highlight=False)
    answers.print("Next: `norn topics` shows the topics (--create makes them), `norn run` starts the workers.")
