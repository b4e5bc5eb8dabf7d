"""norn worker."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from schemas import TIERS
from streams.commands.output import errors, locate, settings


def worker(
    role: Annotated[
        str, typer.Argument(help="What it does: fold, history, decide, infer or policy.", show_default=False)
    ],
    web_port: Annotated[
        int | None,
        typer.Option(
            help="Port of its web view; 0 takes a free one. Default: NORN_WEB_PORT, else 6066 or the next free one.",
            min=0,
            max=65535,
            show_default=False,
        ),
    ] = None,
    tier: Annotated[
        list[str] | None,
        typer.Option(
            help="infer only: a tier whose requests it answers, gold, silver or bronze; may be repeated. Default: all.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run one worker of a role in this process until Ctrl-C. More workers of a role share its partitions."""
    from streams.crew import MEASURE_ANEW, ROLES
    from streams.listening import port_of, web_socket
    from streams.roster import listed

    if role not in ROLES:
        raise typer.BadParameter(f"{role!r} is none of {', '.join(ROLES)}", param_hint="ROLE")
    if tier and role != "infer":
        raise typer.BadParameter(f"only infer works by tiers, not {role}", param_hint="--tier")
    if unknown := set(tier or ()) - set(TIERS):
        raise typer.BadParameter(f"{unknown.pop()!r} is none of {', '.join(TIERS)}", param_hint="--tier")
    found = settings()
    servers = locate(found)
    listening = web_socket(found, web_port)
    url = f"http://{found.web_host}:{port_of(listening)}/"
    # What a worker is made of takes seconds to import: not before it is known that there is anything to do.
    from streams import roles
    from streams.app import create_app
    from streams.inferring import infer_role
    from streams.web import serve_on
    from streams.worker import await_topics, run

    made = infer_role(tier) if tier else roles.ROLES[role]
    await_topics(servers.kafka, lambda line: errors.print(line, markup=False, highlight=False, soft_wrap=True))
    app = create_app(found, servers, role, made, web_port=port_of(listening), announce=True)
    serve_on(app, listening)
    signal.signal(MEASURE_ANEW, lambda *_: app.shell.metrics.latencies.clear())
    errors.print(f"{role}: web view at {url}", highlight=False)
    with listed(found.home, role, url):
        run(app, found.log_level)
