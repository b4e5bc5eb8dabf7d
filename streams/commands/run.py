"""norn run."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.output import answers, emit, errors, locate, settings

if TYPE_CHECKING:
    from streams.children import Change
    from streams.keeping import Keeper


def run(
    workers: Annotated[
        str | None,
        typer.Option(
            help="How many of each, as fold=2,infer=1,bridge=1. Default: NORN_WORKERS, else one of each role.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a change on standard output, and nothing else there.")
    ] = False,
) -> None:
    """Start this machine's workers and keep them until Ctrl-C, with a line for each change.

    One that dies is started again, ever later while it keeps dying. The servers are those of `norn up`, or those given
    by URL; none is started here. Each worker's log is below NORN_HOME/logs.
    """
    from streams.keeping import Keeper, as_line, as_object, counts

    found = settings()
    wanted = counts(found.workers if workers is None else workers)
    # Where no servers are known, that is to be said once, here, and not in every worker's log.
    locate(found)

    def tell(change: Change) -> None:
        if as_json:
            emit(as_object(change))
        else:
            answers.print(as_line(change), markup=False, highlight=False, soft_wrap=True)

    asyncio.run(_until_signalled(Keeper(found, wanted, tell)))


async def _until_signalled(keeper: Keeper) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        if not stop.is_set():
            errors.print("stopping the workers")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    await keeper.run(stop)
