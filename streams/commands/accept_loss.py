"""norn accept-loss."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit, errors, foreign, locate, settings


def accept_loss(
    yes: Annotated[bool, typer.Option("--yes", help="Accept: record the losses, and let workers go on.")] = False,
    as_json: Json = False,
) -> None:
    """Show what workers were to read next and the log no longer holds; with --yes, record it as lost and go on.

    Without --yes nothing changes, and the exit code is 1 when something is lost. Restoring the topic loses nothing.
    """
    from streams.losses import accept, losses

    servers = locate(settings())
    found = asyncio.run(losses(servers))
    if yes and found:
        asyncio.run(accept(servers, found))
    if as_json:
        rows = [
            {"group": one.group, "topic": one.topic, "partition": one.partition, "next_offset": one.next_offset,
             "goes_on_at": one.begin, "records_lost": one.records, "why": one.why}
            for one in found
        ]  # fmt: skip
        emit({"accepted": yes and bool(found), "losses": rows})
    elif not found:
        answers.print("nothing is lost: the log holds all that is still to be read")
    else:
        table = Table("group", "partition", "next", "goes on at", "why", box=None, pad_edge=False)
        for one in found:
            place = f"{one.topic}/{one.partition}"
            table.add_row(foreign(one.group), foreign(place), f"{one.next_offset:,}", f"{one.begin:,}", one.why)
        answers.print(table)
        if yes:
            answers.print("Recorded. Workers that stopped for it can be started again.")
        else:
            errors.print(
                "To restore the topic loses nothing. `norn accept-loss --yes` records these offsets as lost.",
                highlight=False,
            )
    if found and not yes:
        raise typer.Exit(DOES_NOT_HOLD)
