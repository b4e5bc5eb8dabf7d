"""norn demo."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from schemas import PermanentError
from streams.commands.interrupting import until_interrupted
from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit, errors, foreign, settings
from streams.commands.progress import ServerProgress

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.demo import Outcome, Play
    from streams.live import Snapshot

# Where there is no terminal a line now and then is enough.
LINE_EVERY_S = 2.0
CUT_SHORT = "ended before it was reconciled; the next `norn demo` folds what is left, and reconciles all of it"
#: A home plays one game at a time; whoever holds the lock is named in it.
LOCK = "demo.lock"


class NoGame(PermanentError):
    """The game is not installed."""

    reason = "no_game"


class AnotherDemo(PermanentError):
    """Another demo is running on this home."""

    reason = "another_demo"


def demo(
    seconds: Annotated[
        float | None, typer.Option(help="End by itself after so long. Default: when you press Ctrl-C.", min=1)
    ] = None,
    heroes: Annotated[int, typer.Option(help="How many heroes play at once.", min=1, max=1000)] = 8,
    seed: Annotated[int, typer.Option(help="The same seed has the same heroes.", min=0)] = 7,
    pace: Annotated[
        float | None, typer.Option(help="Keys a second of each hero; 0 is as fast as possible. Default: 20.", min=0)
    ] = None,
    as_json: Json = False,
) -> None:
    """Play a real game on real servers, show what Norn makes of it, and reconcile it to the last event.

    Starts the servers that no URL is given for, the topics, the tables, the workers and NetHack. Ctrl-C ends the game,
    waits until all is folded, and prints the reconciliation; a second Ctrl-C ends at once. A home that has been played
    on before goes on, and is reconciled as a whole. With --json, progress goes to standard error.
    Exits with 1 when the reconciliation does not hold.
    """
    if importlib.util.find_spec("nle") is None:
        raise NoGame("NetHack is not installed: pip install 'norn[demo]'")
    from streams.demo import Play

    found = settings()
    console = errors if as_json else answers
    with alone(found.home):
        outcome = _run(Play(heroes, seed, seconds, pace), found, console, live=console.is_terminal and not as_json)
    if as_json:
        emit(as_object(outcome))
    else:
        _show_outcome(console, outcome)
    if not outcome.verdict.holds:
        raise typer.Exit(DOES_NOT_HOLD)


def _run(play: Play, found: Settings, console: Console, *, live: bool) -> Outcome:
    from streams.demo import Demo, Timeline
    from streams.embedded import start

    timeline = Timeline()
    with ServerProgress(console) as progress:
        with start(
            found.home, kafka=found.kafka, postgres=found.postgres, clickhouse=found.clickhouse, progress=progress
        ) as servers:
            timeline.mark("servers")
            progress.close()
            with _showing(console, live) as (say, show):
                say("starting the workers")
                demo = Demo(play, found, servers, timeline, say=say, show=show)
                return asyncio.run(until_interrupted(demo.run(), demo.stop, CUT_SHORT))


@contextmanager
def _showing(console: Console, live: bool) -> Iterator[tuple[Callable[[str], None], Callable[[Snapshot], None]]]:
    """How the run speaks: a live view on a terminal, else lines."""
    from streams.live import render

    def say(what: str) -> None:
        console.print(f"[dim]{foreign(what)}[/]", highlight=False)

    if live:
        with Live(console=console, auto_refresh=False, transient=True) as view:
            yield say, lambda now: view.update(render(now), refresh=True)
        return
    lines = _Lines(console)
    yield say, lines.show


class _Lines:
    """Prints a snapshot as a line, now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told_s = -LINE_EVERY_S

    def show(self, now: Snapshot) -> None:
        """Print it, unless the last one was printed just now."""
        from streams.live import line

        if self._told_s < 0:
            for name, url in now.places.items():
                self._console.print(f"{name}: {url}", highlight=False, soft_wrap=True)
        if now.elapsed_s - self._told_s >= LINE_EVERY_S:
            self._told_s = now.elapsed_s
            self._console.print(line(now), highlight=False, soft_wrap=True)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the home for this demo. Raises AnotherDemo, which names the process that holds it."""
    from streams.files import locked

    folder = home / "run"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    with ExitStack() as held:
        try:
            held.enter_context(locked(path, timeout_s=0))
        except TimeoutError:
            raise AnotherDemo(
                f"process {path.read_text() or '?'} plays a demo on {home}: stop it, or set NORN_HOME to another folder"
            ) from None
        path.write_text(str(os.getpid()))
        yield


def as_object(outcome: Outcome) -> dict[str, Any]:
    """What `--json` prints."""
    verdict = outcome.verdict
    return {
        "holds": verdict.holds,
        "events_produced": verdict.produced,
        "events_in_kafka": verdict.in_kafka,
        "events_in_postgres": verdict.in_postgres,
        "events_in_clickhouse": verdict.in_clickhouse,
        "holes": verdict.holes,
        "duplicates_dropped": verdict.duplicates_dropped,
        "dead_letters": verdict.dead_letters,
        "decisions": outcome.decisions,
        "cost_usd_micros": outcome.cost_usd_micros,
        "p50_ms": outcome.p50_ms,
        "p99_ms": outcome.p99_ms,
        "memory_mb": outcome.memory_mb,
        "restarts": outcome.restarts,
        "events_of_this_run": (verdict.produced or 0) - outcome.counts.before,
        "started_s": dict(outcome.started_s),
        "differences": list(verdict.differences),
    }


def _show_outcome(console: Console, outcome: Outcome) -> None:
    from streams.commands.reconcile import show
    from streams.live import usd

    show(console, outcome.counts, outcome.verdict)
    latency = "-" if outcome.p99_ms is None else f"{outcome.p50_ms:,.0f} / {outcome.p99_ms:,.0f} ms"
    console.print(
        f"{outcome.decisions:,} decisions took effect, {usd(outcome.cost_usd_micros)} spent; from produced to committed"
        f" in Postgres {latency} (p50 / p99); {outcome.memory_mb:,} MB at most; workers started again:"
        f" {outcome.restarts}",
        highlight=False,
        soft_wrap=True,
    )
