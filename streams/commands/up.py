"""norn up."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING

from streams.commands.output import Json, answers, emit, errors, settings
from streams.commands.progress import ServerProgress

if TYPE_CHECKING:
    from streams.addresses import Servers
    from streams.preparing import Prepared


NEXT = """Next, each in a terminal of its own:
  norn run                              starts this machine's workers and keeps them
  python -m examples.nethack --heroes 8 plays a game, whose events they fold
  norn reconcile                        counts every event in Kafka, Postgres and ClickHouse"""


def up(as_json: Json = False) -> None:
    """Start the servers that no URL is given for, make topics and tables, and stay until Ctrl-C.

    Servers given as NORN_KAFKA, NORN_POSTGRES or NORN_CLICKHOUSE are prepared, not started. With --json one object is
    printed as soon as all of them are ready.
    """
    from streams.embedded import start
    from streams.preparing import prepare

    found = settings()
    ended = threading.Event()
    with ServerProgress(errors) as progress:
        with start(
            found.home, kafka=found.kafka, postgres=found.postgres, clickhouse=found.clickhouse, progress=progress
        ) as servers:
            prepared = asyncio.run(prepare(servers))
            progress.close()
            _show(servers, prepared, as_json)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: ended.set())
            ended.wait()
            errors.print("stopping the servers")


def _show(servers: Servers, prepared: Prepared, as_json: bool) -> None:
    if as_json:
        emit({"kafka": servers.kafka, "postgres": servers.postgres, "clickhouse": servers.clickhouse})
        return
    for name, url in (("Kafka", servers.kafka), ("Postgres", servers.postgres), ("ClickHouse", servers.clickhouse)):
        answers.print(f"[bold]{name:<12}[/]{url}", soft_wrap=True, highlight=False)
    made = len(prepared.topics), len(prepared.postgres) + len(prepared.clickhouse)
    answers.print(f"{made[0]} topics made, {made[1]} migrations applied. Ctrl-C stops what was started here.")
    answers.print(NEXT, markup=False, highlight=False, soft_wrap=True)
