"""norn bridge-replay."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit


def bridge_replay(
    file: Annotated[
        Path, typer.Argument(help="A sidecar's dead-letter file.", exists=True, dir_okay=False, show_default=False)
    ],
    to: Annotated[str, typer.Option(help="The address of the bridge to send them to.")] = "http://127.0.0.1:8000",
    as_json: Json = False,
) -> None:
    """Send the events of a dead-letter file to a bridge. What the log has already is not doubled; the file stays."""
    from streams.bridge.client.replaying import replay
    from streams.bridge.client.service import Service

    service = Service(to)
    try:
        done = replay(file, service)
    finally:
        service.close()
    if as_json:
        emit(asdict(done))
    else:
        answers.print(
            f"{done.accepted} sent, {done.repeated} were on the log already, {done.refused} refused,"
            f" {done.damaged} lines damaged"
        )
    if done.refused or done.damaged:
        raise typer.Exit(DOES_NOT_HOLD)
