"""The world's clock: tells the log the world's time about once a second, from where it last stood.

Where it stands is in Postgres, and moves in the transaction that makes the tick certain. While nobody keeps it, the
world's time goes on no faster than real time, so that a fast world has not lived weeks because its worker was away.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from schemas import ClockTicked
from streams.database import Database
from streams.policy import WORLD
from streams.publications import Publication, Publications
from streams.reaching import postgres_at
from streams.statements import statement

# Once a second is as fine as anybody looks; a fast world ticks more often, so that its schedules lie apart,
# but a tick is an event like any other, and ten a second are enough of them.
PERIOD_MAX_S, PERIOD_MIN_S = 1.0, 0.1
WORLD_S_PER_TICK = 300.0

# Longer than anybody counts; a clock whose holder was killed goes on by itself after it.
HOLD_S = 300.0

_HOLD = statement("hold_world_clocks")
_READ = statement("read_world_clock")
_STORE = statement("store_world_clock")


@dataclass(frozen=True, slots=True)
class Pace:
    """World seconds in a real second, and where the clock begins, None for the real time."""

    speed: float = 1.0
    start_ms: int | None = None

    @property
    def period_s(self) -> float:
        """Real seconds between two ticks."""
        return min(PERIOD_MAX_S, max(PERIOD_MIN_S, WORLD_S_PER_TICK / self.speed))

    def time_ms(self, stood_ms: int, real_ms: int, *, kept: bool) -> int:
        """The world's time `real_ms` of real time after it stood there; `kept` says that it was kept meanwhile."""
        return stood_ms + round(max(0, real_ms) * (self.speed if kept else min(1.0, self.speed)))


class WorldClock:
    """Ticks for as long as `keeping` says that this worker is the one to keep the clock."""

    def __init__(
        self,
        group: str,
        database: Database,
        publications: Publications,
        pace: Pace,
        *,
        now_ms: Callable[[], int],
        keeping: Callable[[], bool],
        publication: Callable[[ClockTicked], Publication] = lambda tick: Publication.of(tick, WORLD),
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._group = group
        self._database = database
        self._publications = publications
        self._pace = pace
        self._now_ms = now_ms
        self._keeping = keeping
        self._publication = publication
        self._sleep = sleep
        self._keeper = uuid.uuid4().hex

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            if self._keeping():
                await self.tick()
            await self._sleep(self._pace.period_s)

    async def tick(self) -> int | None:
        """Tell the time once; gives it, in Unix milliseconds of the world, or None while the clock is held."""

        async def work(connection: Any) -> int | None:
            now_ms = self._now_ms()
            stood = await connection.fetchrow(_READ, self._group)
            if stood is not None and stood["held"]:
                return None
            if stood is None:
                time_ms = now_ms if self._pace.start_ms is None else self._pace.start_ms
            else:
                kept = stood["told_by"] == self._keeper
                time_ms = self._pace.time_ms(stood["time_ms"], now_ms - stood["told_ms"], kept=kept)
            await connection.execute(_STORE, self._group, time_ms, now_ms, self._keeper)
            await self._publications.add(connection, [self._publication(ClockTicked(time_ms=time_ms))])
            return time_ms

        told: int | None = await self._database.write(work)
        self._publications.stored()
        return told


@asynccontextmanager
async def held(postgres: str) -> AsyncIterator[None]:
    """Hold every clock of the world meanwhile, so that the log can come to rest. Raises ServerAway.

    All that was told before is stored by then; afterwards time goes on as after a time in which nobody kept it.
    """
    await _hold(postgres, HOLD_S)
    try:
        yield
    finally:
        await _hold(postgres, 0)


async def _hold(postgres: str, seconds: float) -> None:
    async with postgres_at(postgres) as connection:
        await connection.execute(_HOLD, seconds)
