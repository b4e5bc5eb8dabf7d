"""norn decisions."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from streams.commands.output import Json, answers, emit, foreign, locate, settings

if TYPE_CHECKING:
    from streams.decisions import Line, Told, Waiting


def decisions(
    decision_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="Show the whole life of this one.", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option(help="How many of each to list.", min=1, max=10_000)] = 20,
    as_json: Json = False,
) -> None:
    """List the latest decisions and those that wait for a person's yes, or show the whole life of one.

    `norn approve` gives the yes, or a no, until the time that is shown; until then nothing happens.
    """
    from streams import decisions as asked

    servers = locate(settings())
    if decision_id:
        told = asyncio.run(asked.life(servers, decision_id))
        if as_json:
            emit({"decision_id": decision_id, "life": [asdict(one) for one in told]})
        else:
            _show_life(told)
        return

    async def both() -> tuple[list[Line], list[Waiting]]:
        return await asked.recent(servers, limit), await asked.awaiting(servers, limit)

    lines, waiting = asyncio.run(both())
    if as_json:
        emit({"awaiting_approval": [asdict(one) for one in waiting], "recent": [asdict(one) for one in lines]})
    else:
        _show(lines, waiting)


def _show(lines: list[Line], waiting: list[Waiting]) -> None:
    from streams.decisions import clock, seconds_left

    if waiting:
        named = ("waits for a yes", "about", "agent", "would", "until", "left")
        table = Table(*named, box=None, pad_edge=False, header_style="bold")
        for one in waiting:
            texts = (one.decision_id, one.subject, one.agent, f"{one.action} {one.content}")
            hours = f"{seconds_left(one) / 3600:,.1f} h"
            table.add_row(*map(foreign, texts), clock(one.until_ms), hours)
        answers.print(table)
        answers.print("[dim]norn approve ID --by NAME, or with --refuse[/]")
    table = Table("decision", "when", "about", "agent", "action", "route", "", box=None, pad_edge=False)
    for line in lines:
        rest = (line.subject, line.agent, line.action, line.route, line.state)
        table.add_row(foreign(line.decision_id), clock(line.time_ms), *map(foreign, rest))
    answers.print(table if lines else "no decision has been asked for yet")


def _show_life(told: list[Told]) -> None:
    from streams.decisions import clock

    begun_ms = told[0].time_ms
    for one in told:
        answers.print(f"[bold]{one.fact}[/]  {clock(one.time_ms)}  +{one.time_ms - begun_ms:,} ms", highlight=False)
        for name, value in one.fields.items():
            text = value if isinstance(value, str) else json.dumps(value)
            answers.print(f"    {name}: {foreign(text)}", highlight=False, soft_wrap=True)
