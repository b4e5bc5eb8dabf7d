"""norn: the command line. One command a file in streams/commands; COMMANDS is their table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import typer

from schemas import NornError
from streams.commands import (
    accept_loss,
    approve,
    bench,
    bridge,
    bridge_replay,
    chaos,
    decisions,
    demo,
    doctor,
    migrate,
    rebuild,
    reconcile,
    run,
    schedules,
    topics,
    up,
    version,
    worker,
    world,
)
from streams.commands.output import FAILED, INTERRUPTED, errors
from streams.harmless import harmless_logs

COMMANDS: Mapping[str, Callable[..., Any]] = {
    "demo": demo.demo,
    "up": up.up,
    "run": run.run,
    "worker": worker.worker,
    "bridge": bridge.bridge,
    "bridge-replay": bridge_replay.bridge_replay,
    "world": world.world,
    "decisions": decisions.decisions,
    "approve": approve.approve,
    "topics": topics.topics,
    "migrate": migrate.migrate,
    "reconcile": reconcile.reconcile,
    "accept-loss": accept_loss.accept_loss,
    "rebuild": rebuild.rebuild,
    "schedules": schedules.schedules,
    "doctor": doctor.doctor,
    "bench": bench.bench,
    "chaos": chaos.chaos,
    "version": version.version,
}

HELP = """Norn runs the world behind a game.

Every action is a fact on Kafka, folded exactly once into Postgres and ClickHouse. The servers are those of NORN_KAFKA,
NORN_POSTGRES and NORN_CLICKHOUSE, else the embedded ones of NORN_HOME, which `norn up` and `norn demo` start.
"""

EXIT_CODES = """Exit codes: 0 done, and what was asked about holds. 1 it does not hold, or something is missing; the
output says what. 2 the command was written wrongly. 3 it could not be done; the message says what to do.
130 interrupted."""


def build() -> typer.Typer:
    """The application with every command in the table."""
    app = typer.Typer(
        name="norn",
        help=HELP,
        epilog=EXIT_CODES,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        add_completion=False,
        pretty_exceptions_show_locals=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, command in COMMANDS.items():
        app.command(name)(command)
    return app


def main() -> None:
    """Run the command that the arguments name; leaves the process with its exit code."""
    harmless_logs()
    try:
        build()()
    except NornError as error:
        errors.print(f"[bold red]{type(error).__name__}[/]:", end=" ")
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
