"""The watch: looks once a second where groups stand and the log ends, for as long as the web server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import psutil
from aiohttp import web

from streams import status
from streams.database import Database, Waiting
from streams.roster import Member, members
from streams.status import EndOffsets, Group, Partition, Rates, Standing, View, Worker
from streams.web import reading
from streams.web.reading import Broker, Figures

if TYPE_CHECKING:
    from streams.app import Shell

log = logging.getLogger(__name__)

# What people see moves once a second; looking more often would only cost the broker and Postgres.
PERIOD_S = 1.0
# Servers answer in milliseconds; one that has not after this long is away.
LOOK_TIMEOUT_S = 3.0
# The projections are read when somebody asks, and however many ask, no more often than this ...
FIGURES_PERIOD_S = 2.0
# ... and over large tables so much less often that reading takes a fifth of one connection at most.
FIGURES_PAUSE_RATIO = 4
# A page that comes late is worse than one that says how old its figures are.
FIGURES_TIMEOUT_S = 1.5


class Watch:
    """Keeps what was last seen, so that the page is served, with its age, while a server is away."""

    def __init__(self, shell: Shell, stuck_after_s: float = status.STUCK_AFTER_S) -> None:
        self._shell = shell
        self._clock = shell.clock
        self._stuck_after_s = stuck_after_s
        self._started_ms = self._clock.now_ms()
        self._started_s = self._clock.monotonic_s()
        self._version = version("norn")
        self._process = psutil.Process()
        self._ends = EndOffsets()
        self._rates = Rates()
        self._standings: list[Standing] = []
        #: Every group in every partition at the last look, with the ages of that moment.
        self.partitions: list[Partition] = []
        #: When each server last answered, in Unix milliseconds.
        self._seen_ms: dict[str, int] = {}
        self.last_figures = Figures()
        self._refreshing: asyncio.Task[None] | None = None
        self._next_figures_s = 0.0
        self._broker = Broker(shell.servers.kafka)
        # Its own, so that a page that can read does not say that the worker can write, and never takes its connections.
        self._waiting = Waiting()
        self._database = Database(shell.servers.postgres, self._waiting)

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Look for as long as the web server runs (one of aiohttp's cleanup contexts)."""
        tasks = [asyncio.create_task(self._look_every_period())]
        yield
        if self._refreshing is not None:
            tasks.append(self._refreshing)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._database.close()

    async def _look_every_period(self) -> None:
        while True:
            # The log first: what a group has not taken up when it is looked at next had been waiting by then.
            await self._look("Kafka", self._look_at_log)
            await self._look("Postgres", self._look_at_positions)
            await asyncio.sleep(PERIOD_S)

    async def _look(self, server: str, look: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                await look()
        except Exception as error:
            # Whatever the web view cannot read, the worker goes on, and the page says what is wrong.
            known = self._waiting.reasons.get(server) if isinstance(error, TimeoutError) else None
            self._waiting.begin(server, known or f"{type(error).__name__}: {str(error) or 'no answer'}")
        else:
            self._waiting.end(server)
            self._seen_ms[server] = self._clock.now_ms()

    async def _look_at_positions(self) -> None:
        standings = await self._database.read(lambda c: reading.standings(c, self._clock.now_ms()))
        self._rates.note(standings, self._clock.monotonic_s())
        self._standings = standings
        self.partitions = status.partitions(standings, self._ends, self._clock.now_ms())

    async def _look_at_log(self) -> None:
        ends = await asyncio.to_thread(self._broker.end_offsets, {standing.place for standing in self._standings})
        self._ends.note(ends, self._clock.now_ms())

    async def figures(self) -> Figures:
        """The projections' figures, fresh if they can be had at once, else the last known."""
        if self._refreshing is None or self._refreshing.done():
            if self._clock.monotonic_s() < self._next_figures_s or "Postgres" in self._waiting.reasons:
                return self.last_figures
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.wait({self._refreshing}, timeout=FIGURES_TIMEOUT_S)
        return self.last_figures

    async def _refresh(self) -> None:
        begun_s = self._clock.monotonic_s()
        try:
            self.last_figures = await self._database.read(reading.figures)
        except Exception:
            log.exception("the web view cannot read the projections; it shows what it last read")
        ended_s = self._clock.monotonic_s()
        self._next_figures_s = ended_s + max(FIGURES_PERIOD_S, (ended_s - begun_s) * FIGURES_PAUSE_RATIO)

    def view(self) -> View:
        """How much can be told of the groups now."""
        mine = self._shell.positions.group
        seen = any(found.end_offset is not None for found in self.partitions if found.group == mine)
        away = any(server in self.waiting for server in ("Postgres", "Kafka"))
        return View(self._clock.monotonic_s() - self._started_s, away or not seen, self._stuck_after_s)

    @property
    def assigned(self) -> bool:
        """Whether the worker has claimed its share of the log; a share may be empty."""
        return self._shell.positions.claim_number > 0

    @property
    def waiting(self) -> dict[str, str]:
        """What the worker waits for."""
        return {**self._waiting.reasons, **self._shell.waiting.reasons}

    def heartbeat_s(self) -> float | None:
        """Seconds since the worker last asked the log for more, which it does every second when all is quiet."""
        polled_at_s = getattr(self._shell.app.consumer, "polled_at_s", None) if self.assigned else None
        return None if polled_at_s is None else round(self._clock.monotonic_s() - polled_at_s, 1)

    async def status(self) -> dict[str, Any]:
        """All that the page shows."""
        figures = await self.figures()
        shell, now_ms, view = self._shell, self._clock.now_ms(), self.view()
        found = self.partitions
        rates = self._rates.events_per_s(self._clock.monotonic_s())
        groups = status.groups(self._standings, found, figures.dots, rates, view)
        group = shell.positions.group
        worker = Worker(group, self.assigned, self.heartbeat_s(), self.waiting)
        health, why = status.verdict(worker, groups, view)
        mine = next((each for each in groups if each.group == group), Group(group, status.QUIET))
        ages_s = {server: self._age_s(server, now_ms) for server in ("Postgres", "Kafka")}
        empty = not view.blind and not any(each.events for each in groups) and not any(figures.lists.values())
        latencies = shell.metrics.latencies
        return {
            "role": shell.name,
            "group": group,
            "version": self._version,
            "started_at": datetime.fromtimestamp(self._started_ms / 1000, UTC).isoformat(timespec="seconds"),
            "uptime_s": round(view.watched_s, 1),
            "health": health,
            "why": why,
            "waiting": worker.waiting,
            "heartbeat_s": worker.heartbeat_s,
            "notes": status.notes(empty, ages_s, figures.unreadable),
            "ages_s": ages_s,
            "lag_s": mine.lag_s,
            "staleness_s": mine.staleness_s,
            "events": mine.events,
            "events_per_s": mine.events_per_s,
            "duplicates": mine.duplicates,
            "holes": mine.holes,
            "dead_letters": figures.dead_letters,
            "origin": shell.publisher.origin if shell.publisher is not None else "",
            "sent": shell.publisher.counters.sent if shell.publisher is not None else 0,
            "p50_ms": latencies.percentile_ms(50),
            "p99_ms": latencies.percentile_ms(99),
            "memory_mb": round(self._process.memory_info().rss / (1 << 20), 1),
            "spent_usd_micros": figures.spent_usd_micros,
            "groups": [asdict(each) for each in groups],
            "workers": [asdict(each) for each in await asyncio.to_thread(self._workers)],
            "partitions": [{**asdict(each), "holes": figures.dots_of(each).holes} for each in found],
            "lists": figures.lists,
            "unreadable": figures.unreadable,
        }

    def _workers(self) -> list[Member]:
        """The workers of this home; this one is among them however it was started."""
        found = members(self._shell.settings.home)
        here = Member(self._shell.name, self._process.pid, "")
        return found if any(each.pid == here.pid for each in found) else [here, *found]

    def _age_s(self, server: str, now_ms: int) -> float | None:
        seen_ms = self._seen_ms.get(server)
        return None if seen_ms is None else round((now_ms - seen_ms) / 1000, 1)
