"""The demo: a real game on real servers, watched, and at the end reconciled to the last event."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from streams.addresses import Servers
from streams.admin import check_topics
from streams.children import Child, Command
from streams.config import Settings
from streams.counting import Counting, Counts, Since
from streams.crew import FOREMOST, MEASURE_ANEW, Crew
from streams.live import Snapshot, snapshot
from streams.preparing import prepare
from streams.reaching import postgres_at
from streams.reconcile import Account, Verdict, produced_events, reconcile
from streams.statements import statement
from streams.world_clock import held

#: Twice a second is as live as a reader can follow.
LOOK_EVERY_S = 0.5
#: Reading every process's memory maps takes a tenth of a second.
WEIGH_EVERY_S = 5.0
#: What an earlier run left to fold is folded first, so that it is not measured with this one; some 30 s hold millions.
BACKLOG_WITHIN_S = 60.0
#: The last requests are answered or have expired after their deadline of ten seconds; the rest is folded in one.
SETTLE_WITHIN_S = 90.0
#: A game saves nothing when it stops: it hands over what it has published.
GAME_STOP_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Play:
    """How the game is played. `seconds` None: until stopped; `pace` None: as fast as the game thinks right."""

    heroes: int = 8
    seed: int = 7
    seconds: float | None = None
    pace: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    counts: Counts
    verdict: Verdict
    decisions: int
    cost_usd_micros: int
    p50_ms: float | None
    p99_ms: float | None
    memory_mb: int
    restarts: int
    #: Seconds that each part of the start took, and until the first event was folded since the command was given.
    started_s: Mapping[str, float]
    game: Mapping[str, Any]


@dataclass(slots=True)
class Timeline:
    """When a start came to what; seconds since the command was given."""

    seconds: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """It has come to `name` now, if it had not before."""
        self.seconds.setdefault(name, round(time.time() - psutil.Process().create_time(), 2))


class Demo:
    """One run on servers that are up. `show` is given a snapshot twice a second, `say` a line now and then."""

    def __init__(
        self,
        play: Play,
        settings: Settings,
        servers: Servers,
        timeline: Timeline,
        *,
        say: Callable[[str], None],
        show: Callable[[Snapshot], None],
    ) -> None:
        self._settings = settings
        self._servers = servers
        self._timeline = timeline
        self._say = say
        self._show = show
        self._counting = Counting(servers)
        self._crew = Crew(settings, servers)
        self._game = Child(game_command(play, settings, servers))
        self._now = Snapshot()
        self._memory_mb = 0
        self._stopping = asyncio.Event()

    def stop(self) -> bool:
        """End the game; what it has published is folded and reconciled. False when there is no game to end."""
        playing = self._game.running and not self._stopping.is_set()
        self._stopping.set()
        return playing

    async def run(self) -> Outcome:
        """Play until the game ends or `stop` is called. Raises ChildFailed, TopicsDiffer, and what Counting raises."""
        await prepare(self._servers)
        await asyncio.to_thread(check_topics, self._servers.kafka)
        self._timeline.mark("topics_and_tables")
        since = await self._counting.since()
        try:
            self._crew.start()
            await self._crew.ready()
            self._timeline.mark("workers")
            stores = {"ClickHouse": self._servers.clickhouse, "Postgres": self._servers.postgres}
            self._now = Snapshot(places={"web page": self._crew.url, **stores})
            if not await self._counting.folded(BACKLOG_WITHIN_S):
                self._say("what an earlier run left is still being folded: latencies include it")
            self._crew.signal(FOREMOST, MEASURE_ANEW)
            await self._play()
            async with held(self._servers.postgres):
                return await self._reckon(since)
        finally:
            await self._game.stop()
            await self._crew.stop()

    async def _play(self) -> None:
        self._game.start()
        self._timeline.mark("game")
        began_s = weighed_s = time.monotonic()
        folded_before: int | None = None
        while self._game.running and not self._stopping.is_set():
            statuses = await self._crew.look()
            answering = {role: said for role, said in statuses.items() if said}
            self._now = snapshot(answering, self._crew.lines(), self._now, time.monotonic() - began_s)
            self._show(self._now)
            folded_before = self._now.folded if folded_before is None else folded_before
            if self._now.folded > folded_before:
                self._timeline.mark("first_event_folded")
            if time.monotonic() - weighed_s > WEIGH_EVERY_S:
                weighed_s = time.monotonic()
                self._memory_mb = max(self._memory_mb, await asyncio.to_thread(memory_mb))
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _reckon(self, since: Since) -> Outcome:
        self._memory_mb = max(self._memory_mb, await asyncio.to_thread(memory_mb))
        self._say("the game stops; handing over its last events")
        game = await report(self._game)
        self._say("waiting until every worker has caught up")
        if not await self._counting.settled(SETTLE_WITHIN_S):
            self._say(f"workers have not caught up within {SETTLE_WITHIN_S:.0f} s")
        statuses = await self._crew.look()
        self._say("counting")
        counts = await self._counting.counts(since)
        accounts = [Account(game["origin"], game["acknowledged"]), *self._crew.accounts()]
        accounts += await self._counting.accounts(since)
        verdict = reconcile(counts.partitions, produced_events(counts.before, accounts, counts.by_origin))
        decisions, cost_usd_micros = await self._world()
        fold = statuses.get(FOREMOST, {})
        return Outcome(
            counts=counts,
            verdict=verdict,
            decisions=decisions,
            cost_usd_micros=cost_usd_micros,
            p50_ms=fold.get("p50_ms"),
            p99_ms=fold.get("p99_ms"),
            memory_mb=self._memory_mb,
            restarts=self._crew.restarts,
            started_s=self._timeline.seconds,
            game=game,
        )

    async def _world(self) -> tuple[int, int]:
        async with postgres_at(self._servers.postgres) as connection:
            row = await connection.fetchrow(statement("count_world"))
        return row["decisions"], row["cost_usd_micros"]


async def report(game: Child) -> dict[str, Any]:
    """Stop the game, and read the last line that it wrote. Raises ChildFailed when it wrote none."""
    status = await game.stop()
    output = game.command.output
    lines = output.read_text().splitlines() if output is not None and output.exists() else []
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise game.failure(f"ended with status {status} and gave no account") from None
    return found


def game_command(play: Play, settings: Settings, servers: Servers) -> Command:
    """How the game is run; its output is one JSON object."""
    arguments = [sys.executable, "-m", "examples.nethack", "--kafka", servers.kafka, "--json"]
    arguments += ["--heroes", str(play.heroes), "--seed", str(play.seed)]
    arguments += ["--status", str(settings.home / "run" / "game.json")]
    if play.seconds is not None:
        arguments += ["--seconds", str(play.seconds)]
    if play.pace is not None:
        arguments += ["--pace", str(play.pace)]
    output = settings.home / "run" / "game.out"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    return Command(
        "game",
        tuple(arguments),
        settings.home / "logs" / "game.log",
        output=output,
        environment={"NORN_HOME": str(settings.home)},
        stop_signal=signal.SIGINT,
        stop_within_s=GAME_STOP_WITHIN_S,
    )


def memory_mb() -> int:
    """The memory of this process and all below it, MiB: shared pages are divided among those who share them (PSS)."""
    me = psutil.Process(os.getpid())
    return sum(map(_memory_bytes, [me, *me.children(recursive=True)])) >> 20


def _memory_bytes(process: psutil.Process) -> int:
    try:
        found = process.memory_full_info()
        return int(getattr(found, "pss", 0) or found.uss)
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:
        # Another account's memory maps are its own affair: what it has in memory is counted whole.
        return _resident_bytes(process)


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
