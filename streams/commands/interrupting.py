"""Commands that run until they are interrupted: the first signal ends the work, the second everything."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import typer

from streams.commands.output import INTERRUPTED, errors

T = TypeVar("T")


async def until_interrupted(work: Coroutine[Any, Any, T], stop: Callable[[], bool], cut_short: str = "") -> T:
    """What `work` gives. A signal calls `stop`; one that comes when `stop` finds nothing left to stop ends everything.

    cut_short: what is printed then.
    """
    running = asyncio.create_task(work)

    def interrupt() -> None:
        if not stop():
            running.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        return await running
    except asyncio.CancelledError:
        if cut_short:
            errors.print(cut_short)
        raise typer.Exit(INTERRUPTED) from None
