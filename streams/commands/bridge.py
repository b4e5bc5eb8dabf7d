"""norn bridge."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.commands.output import errors, locate, settings


def bridge(
    port: Annotated[
        int | None,
        typer.Option(help="Where it listens. Default: NORN_BRIDGE_PORT, else 8000.", min=1, max=65535),
    ] = None,
) -> None:
    """Serve game servers that speak HTTP until Ctrl-C: their events onto the log, decisions to them."""
    found = settings()
    servers = locate(found)
    from streams.bridge.server import run
    from streams.roster import listed

    listens_at = found.bridge_port if port is None else port
    errors.print(f"bridge: http://{found.bridge_host}:{listens_at}/openapi.json", highlight=False)
    with listed(found.home, "bridge", f"http://{found.bridge_host}:{listens_at}/"):
        run(found, servers, listens_at)
