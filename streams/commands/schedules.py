"""norn schedules."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit, errors, foreign, locate, settings

if TYPE_CHECKING:
    from streams.timetable import Timetable


def schedules(as_json: Json = False) -> None:
    """List the world's schedules: when each was last due, how often so far, and when it is due next.

    Times are those of the world's clock, in UTC. Exits with 1 when nobody has kept that clock yet.
    """
    from streams.timetable import read

    found = asyncio.run(read(locate(settings()).postgres))
    if as_json:
        emit(as_object(found))
    else:
        _show(found)
    if found.time_ms is None:
        errors.print("the world's clock has not begun: `norn worker policy` keeps it")
        raise typer.Exit(DOES_NOT_HOLD)


def as_object(found: Timetable) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "time_ms": found.time_ms,
        "schedules": [
            {"schedule": row.name, "times": row.times, "last_due_ms": row.last_ms, "next_due_ms": row.next_ms}
            for row in found.rows
        ],
    }


def _show(found: Timetable) -> None:
    table = Table("schedule", "last due", "times", "next due", box=None, pad_edge=False, header_style="bold")
    for row in found.rows:
        table.add_row(foreign(row.name), _moment(row.last_ms), f"{row.times:,}", _moment(row.next_ms))
    answers.print(f"the world's time is {_moment(found.time_ms)}", highlight=False)
    answers.print(table)


def _moment(time_ms: int | None) -> str:
    return "-" if time_ms is None else f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
