"""The timetable: the world's time, and when each schedule was and will be due, as Postgres has it."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from streams.groups import POLICY
from streams.policies.schedules import SCHEDULES
from streams.reaching import postgres_at
from streams.statements import statement


@dataclass(frozen=True, slots=True)
class Row:
    """One schedule. Times are the world's, in Unix milliseconds; None for never, or not known."""

    name: str
    times: int
    last_ms: int | None
    next_ms: int | None


@dataclass(frozen=True, slots=True)
class Timetable:
    """The world's time, None before its clock has begun, and its schedules by when they are due next."""

    time_ms: int | None
    rows: tuple[Row, ...]


async def read(postgres: str, group: str = POLICY) -> Timetable:
    """Read it. Raises ServerAway."""
    async with postgres_at(postgres) as connection:
        time_ms = await connection.fetchval(statement("read_world_time"), group)
        clock = await connection.fetchval(statement("read_schedules_clock"), group)
        counted = await connection.fetch(statement("count_schedules"))
    began_ms = orjson.loads(clock)["began_ms"] if clock is not None else time_ms
    return timetable(time_ms, began_ms, {row["schedule"]: (row["times"], row["due_ms"]) for row in counted})


def timetable(time_ms: int | None, began_ms: int | None, counted: dict[str, tuple[int, int]]) -> Timetable:
    """The timetable of a world whose clock began then; `counted` is how often and when last each was due."""
    rows = []
    for schedule in SCHEDULES:
        times, last_ms = counted.get(schedule.name, (0, None))
        next_ms = None
        if time_ms is not None:
            next_ms = schedule.due(time_ms, time_ms + schedule.every_ms, time_ms if began_ms is None else began_ms)[0]
        rows.append(Row(schedule.name, times, last_ms, next_ms))
    return Timetable(time_ms, tuple(sorted(rows, key=lambda row: (row.next_ms or 0, row.name))))
