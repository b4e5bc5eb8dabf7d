"""How a person sees servers start: a bar each, once it takes longer than a person likes to look at nothing."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

# A start-up from a warm disk is over before bars are worth their flicker.
SHOW_AFTER_S = 2.0

#: A server that has come here needs no bar any more.
_DONE = frozenset({"ready", "sharing"})


class ServerProgress:
    """Told of every stage of every server, from several threads; shows bars, or lines where there is no terminal."""

    def __init__(self, console: Console, show_after_s: float = SHOW_AFTER_S) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._stages: dict[str, str] = {}
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description:<10} {task.fields[stage]:<14}"),
            BarColumn(),
            TextColumn("{task.fields[amount]:>16}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._timer = threading.Timer(show_after_s, self._bars.start)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._timer.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Take the bars away: what comes now is for the command to say."""
        self._timer.cancel()
        if self._timer.ident is not None:
            self._timer.join()
        self._bars.stop()

    def __call__(self, server: str, stage: str, done: int | None, total: int | None) -> None:
        """Show that a server has come to a stage, `done` of `total` bytes or steps through it where that is known."""
        with self._lock:
            changed = self._stages.get(server) != stage
            self._stages[server] = stage
            if self._console.is_terminal:
                self._show(server, stage, done, total)
            elif changed:
                self._console.print(f"{server}: {stage}", highlight=False)

    def _show(self, server: str, stage: str, done: int | None, total: int | None) -> None:
        if server not in self._tasks:
            self._tasks[server] = self._bars.add_task(server, total=None, stage=stage, amount="")
        amount = "" if done is None or total is None else f"{done:,} of {total:,}"
        if stage in _DONE:
            done = total = 1
        self._bars.update(self._tasks[server], completed=done or 0, total=total, stage=stage, amount=amount)
