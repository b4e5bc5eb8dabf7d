"""norn decisions."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.output import Json, answers, emit, foreign, locate, settings

if TYPE_CHECKING:
    from streams.addresses import Servers
    from streams.decision_record import Record
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
        told, found = asyncio.run(_whole(servers, decision_id))
        if as_json:
            life = [asdict(one) for one in told]
            emit({"decision_id": decision_id, "record": asdict(found), "life": life})
        else:
            _show_record(found)
            _show_life(told)
        return

    async def both() -> tuple[list[Line], list[Waiting]]:
        return await asked.recent(servers, limit), await asked.awaiting(servers, limit)

    lines, waiting = asyncio.run(both())
    if as_json:
        emit({"awaiting_approval": [asdict(one) for one in waiting], "recent": [asdict(one) for one in lines]})
    else:
        _show(lines, waiting)


async def _whole(servers: Servers, decision_id: str) -> tuple[list[Told], Record]:
    from streams.decision_record import record
    from streams.decisions import life

    return await life(servers, decision_id), await record(servers, decision_id)


def _say(line: str, indent: int = 0) -> None:
    """One line, whole however narrow the terminal is: what is to be copied from it is never cut."""
    answers.print(f"{' ' * indent}{line}", highlight=False, emoji=False, soft_wrap=True)


def _show(lines: list[Line], waiting: list[Waiting]) -> None:
    from streams.decisions import clock, seconds_left

    if waiting:
        _say("[bold]waits for a yes[/]  [dim]norn approve ID --by NAME, or with --refuse[/]")
    for one in waiting:
        _say(f"{foreign(one.decision_id)}  until {clock(one.until_ms)}, {seconds_left(one) / 3600:,.1f} h left")
        _say(foreign(f"{one.agent} about {one.subject} would {one.action} {one.content}"), 4)
    _say("[bold]the latest[/]" if lines else "no decision has been asked for yet")
    for line in lines:
        done = f" does {line.action}, by {line.route}, {line.rule}" if line.action else ""
        _say(f"{foreign(line.decision_id)}  {clock(line.time_ms)}  {line.state}")
        _say(foreign(f"{line.agent} about {line.subject}{done}"), 4)
        if line.approval_status not in ("", "none"):
            _say(foreign(f"approval: {line.approval_status}{f' by {line.approver}' if line.approver else ''}"), 4)
        if line.reason:
            _say(foreign(f"not done: {line.reason}"), 4)


def _show_record(found: Record) -> None:
    from streams.decisions import clock

    for name, value in found.fields.items():
        text = clock(value) if name == "answered_ms" else str(value)
        _say(f"[bold]{name}[/]: {foreign(text)}")
    for one in found.proposals:
        _say(f"[bold]proposal[/] {one.event_id}  {clock(one.time_ms)}  {one.became}")
        _say(foreign(f"by {one.origin}: {one.action} {one.content}"), 4)
        if one.why:
            _say(foreign(one.why), 4)
    _say("")


def _show_life(told: list[Told]) -> None:
    from streams.decisions import clock

    begun_ms = told[0].time_ms
    for one in told:
        passed = f"{clock(one.time_ms)}  +{one.time_ms - begun_ms:,} ms"
        _say(f"[bold]{one.fact}[/]  {passed}  [dim]{one.event_id} by {foreign(one.origin)}[/]")
        for name, value in one.fields.items():
            _say(f"{name}: {foreign(value if isinstance(value, str) else json.dumps(value))}", 4)
