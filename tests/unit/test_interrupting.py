"""Commands that are interrupted: the first signal ends the work in peace, the next ends everything."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import typer

from streams.commands.interrupting import until_interrupted
from streams.commands.output import INTERRUPTED


class Work:
    """Goes on until it is stopped; `ends` False: it does not end though it was."""

    def __init__(self, ends: bool) -> None:
        self._ends = ends
        self._stopping = asyncio.Event()

    async def run(self) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        await self._stopping.wait()
        if not self._ends:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        return "done"

    def stop(self) -> bool:
        going = not self._stopping.is_set()
        self._stopping.set()
        return going


async def test_the_first_signal_stops_the_work_which_still_gives_what_it_came_to() -> None:
    work = Work(ends=True)
    assert await until_interrupted(work.run(), work.stop) == "done"


async def test_the_second_signal_ends_everything_and_says_what_that_means(capsys: pytest.CaptureFixture[str]) -> None:
    work = Work(ends=False)
    with pytest.raises(typer.Exit) as ended:
        await until_interrupted(work.run(), work.stop, "ended before it was done")
    assert ended.value.exit_code == INTERRUPTED
    assert "ended before it was done" in capsys.readouterr().err
