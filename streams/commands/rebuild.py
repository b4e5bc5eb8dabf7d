"""norn rebuild."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from schemas import PermanentError
from streams.commands.output import Json, answers, emit, locate, settings


class WorkersRun(PermanentError):
    """Workers of the role that fills the store are running."""

    reason = "workers_run"


def rebuild(
    store: Annotated[str, typer.Argument(help="What is emptied: postgres or clickhouse.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: Json = False,
) -> None:
    """Empty a store, for its workers to fill it again from the beginning of the log. Stop them first.

    Postgres loses its projections, ClickHouse its events and projections; the log, judgements, policies' states and
    what the bridge keeps are untouched.
    """
    from streams.rebuilding import STORES, rebuild_clickhouse, rebuild_postgres
    from streams.roster import members

    if store not in STORES:
        raise typer.BadParameter(f"{store!r} is none of {', '.join(STORES)}", param_hint="STORE")
    found = settings()
    servers = locate(found)
    role = STORES[store][0]
    running = [str(member.pid) for member in members(found.home) if member.role == role]
    if running:
        raise WorkersRun(f"workers of {role} run here (process {', '.join(running)}): stop them first, on all machines")
    if not yes:
        typer.confirm(f"Empty {store}? It lacks something until {role} has taken up the whole log.", abort=True)
    asyncio.run(rebuild_postgres(servers.postgres) if store == "postgres" else rebuild_clickhouse(servers))
    if as_json:
        emit({"rebuilt": store, "role": role})
    else:
        answers.print(f"{store} is empty: `norn run` starts workers that fill it; then `norn reconcile` counts.")
