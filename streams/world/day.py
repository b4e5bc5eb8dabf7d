"""A day of the world, lived fast: heroes play, the clock runs ahead, agents decide, and all of it is tallied."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from inference.agents import AGENTS
from inference.engines.choosing import NO_MODEL
from inference.prices import Prices
from inference.requests import asked_as
from schemas.topics import DAY_MS
from streams import clickhouse
from streams.addresses import Servers
from streams.children import Child
from streams.clock import Clock
from streams.config import Settings
from streams.counting import Counting
from streams.crew import Crew
from streams.demo import Play, game_command, memory_mb, report
from streams.engines import engines_of
from streams.groups import POLICY
from streams.policies.schedules import SCHEDULES, due_between
from streams.preparing import prepare
from streams.reaching import postgres_at, reaching
from streams.statements import statement
from streams.world.agreement import Agreement, Reused, agreement
from streams.world.tally import Cost, Decision, Due, Tally, standstills, tally
from streams.world_clock import held

POLICY_ROLE = "policy"
ROLES = ("fold", "history", "decide", "infer", POLICY_ROLE)
#: Each look costs the servers some tens of milliseconds of the two cores that a laptop may have.
LOOK_EVERY_S = 3.0
#: An agent that each schedule calls for: where it ran, the schedule led to something.
SCHEDULED = {each.name: each.name for each in SCHEDULES} | {
    "hour": "economy",
    "story": "story_teller",
    "arc": "storyline",
}
#: When the clock of a new world begins; that of one that has been lived in goes on from where it was.
BEGINS = "2026-01-01T00:00:00Z"
#: The longest deadline of any agent is a minute, and its default follows right after; then all has been stored. What
#: waits for a person is not waited for.
SETTLE_WITHIN_S = 150.0
#: How many reused answers are asked again in full: half a minute of a small model's time on a laptop.
SAMPLE = 60
#: The clock ticks every second; one that has not for so long will not tick again by itself.
TICK_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How many days of the world to live, how fast, and with whom; `pace` is keys a second of each hero."""

    days: float = 1.0
    seconds_per_day: float = 240.0
    heroes: int = 8
    pace: float = 10.0
    seed: int = 7
    sample: int = SAMPLE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the days came to."""

    plan: Plan
    tally: Tally
    agreement: Agreement | None
    #: Where the world stood still, in words; there should be nothing here.
    standstills: tuple[str, ...]
    #: Agents that never had a decision take effect, or wait for a person.
    idle_agents: tuple[str, ...]
    announced: int
    model: str
    game: Mapping[str, Any]
    memory_mb: int
    restarts: int
    lived_s: float

    @property
    def holds(self) -> bool:
        """Whether nobody waited in vain, nothing happened twice, and the world never stood still."""
        return not (self.tally.unanswered or self.tally.duplicate_effective or self.standstills)


class Day:
    """One run on servers that are up. `say` is told a line now and then, `told` how far the days have come (0 to 1)."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        servers: Servers,
        *,
        say: Callable[[str], None],
        told: Callable[[float, str], None],
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._servers = servers
        self._say = say
        self._told = told
        self._counting = Counting(servers)
        speed = DAY_MS / 1000 / plan.seconds_per_day
        self._crew = Crew(
            settings, servers, ROLES, environment={"NORN_CLOCK_SPEED": f"{speed:.6f}", "NORN_CLOCK_START": BEGINS}
        )
        self._game = Child(game_command(Play(plan.heroes, plan.seed, pace=plan.pace), settings, servers))
        self._clock = Clock()
        self._memory_mb = 0
        self._since = 0
        self._stopping = asyncio.Event()

    def stop(self) -> bool:
        """End the days early; what has come of them is still tallied. False when they are over already."""
        living = self._game.running and not self._stopping.is_set()
        self._stopping.set()
        return living

    async def run(self) -> Outcome:
        """Live the days. Raises ChildFailed, and what Counting raises."""
        await prepare(self._servers)
        began_s = time.monotonic()
        try:
            self._say("starting the workers")
            # The clock runs ahead from its first second, so it starts when everybody else is there.
            self._crew.start(without=(POLICY_ROLE,))
            await self._crew.ready()
            # What an earlier run left to do is not part of these days.
            await self._counting.settled(SETTLE_WITHIN_S, without=(POLICY,))
            self._since = self._clock.now_ms() << 16
            self._crew.start_role(POLICY_ROLE)
            await self._live()
            return await self._reckon(time.monotonic() - began_s)
        finally:
            await self._game.stop()
            await self._crew.stop()

    async def _live(self) -> None:
        self._game.start()
        ticked_s, first_ms, last_ms = time.monotonic(), None, None
        while self._game.running and not self._stopping.is_set():
            await self._crew.look()
            first_ms, now_ms = (await self._rows("tally_time"))[0]
            if now_ms and now_ms != last_ms:
                ticked_s, last_ms = time.monotonic(), now_ms
                lived = (now_ms - first_ms) / (self._plan.days * DAY_MS)
                self._told(min(1.0, lived), await self._scene(now_ms))
                if lived >= 1:
                    return
            elif time.monotonic() - ticked_s > TICK_WITHIN_S:
                raise self._crew.failure(POLICY_ROLE, f"the world's clock has not ticked for {TICK_WITHIN_S:.0f} s")
            self._memory_mb = max(self._memory_mb, await asyncio.to_thread(memory_mb))
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _scene(self, time_ms: int) -> str:
        decisions = (await self._rows("tally_asked"))[0][0]
        at = time.strftime("%H:%M", time.gmtime(time_ms / 1000))
        return f"{at} in the world, {decisions:,} decisions asked for"

    async def _reckon(self, lived_s: float) -> Outcome:
        self._say("the days are over: the clock stops, the heroes rest, open decisions come to their end")
        # The policies go on: what is still to be decided may need the budget's word, and ends in announcements.
        async with held(self._servers.postgres):
            game = await report(self._game)
            if not await self._closed():
                self._say(f"some decisions have not come to their end within {SETTLE_WITHIN_S:.0f} s")
            # All is read before the clock goes on: what came due after that would not have led to anything yet.
            read_ms = self._clock.now_ms()
            decisions = [Decision(*row) for row in await self._rows("tally_decisions")]
            costs = [Cost(*row) for row in await self._rows("tally_costs")]
            ticks = await self._rows("tally_clock")
            told = [Due(schedule, due_ms) for schedule, due_ms, _ in await self._rows("tally_schedules")]
            sample = [Reused(*row) for row in await self._rows("sample_reused", size=self._plan.sample)]
            [(announced,)] = await self._rows("tally_announced")
            restarts = self._crew.restarts
            await self._crew.stop()
        found = tally(decisions, costs, read_ms)
        # When the world began, which arcs are counted from, is known to its clock alone.
        passed = due_between(ticks[0][1], ticks[-1][1]) if ticks else []
        expected = [Due(*due) for due in passed if due[0] != "arc"]
        agreed, model = await self._compare(sample)
        return Outcome(
            plan=self._plan,
            tally=found,
            agreement=agreed,
            standstills=tuple(standstills([row[0] for row in ticks], expected, told, self._answered(found))),
            idle_agents=tuple(sorted(self._asked() - found.by_agent.keys() - found.waiting_by_agent.keys())),
            announced=announced,
            model=model,
            game=game,
            memory_mb=self._memory_mb,
            restarts=restarts,
            lived_s=lived_s,
        )

    async def _closed(self) -> bool:
        """Wait until every decision has come to its end and all of it is stored; False when that takes longer."""
        until_s = time.monotonic() + SETTLE_WITHIN_S
        while time.monotonic() < until_s:
            # Looked at again once all is read: what had only been asked for was not known to be open before.
            if (
                await self._open_decisions() == 0
                and await self._counting.settled(LOOK_EVERY_S)
                and await self._open_decisions() == 0
            ):
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    async def _open_decisions(self) -> int:
        async with postgres_at(self._servers.postgres) as connection:
            return int(await connection.fetchval(statement("count_open_decisions")))

    def _answered(self, found: Tally) -> set[str]:
        """The schedules of which something came, and those whose agent is switched off."""
        heard = {**found.by_agent, **found.waiting_by_agent}
        return {name for name, agent in SCHEDULED.items() if agent in heard or agent not in self._asked()}

    def _asked(self) -> set[str]:
        return {name for name, agent in asked_as(AGENTS, self._settings.agents).items() if agent.asking.enabled}

    async def _compare(self, sample: list[Reused]) -> tuple[Agreement | None, str]:
        """Hold what was reused against full answers by those engines that the workers asked; and the models' names."""
        engines = engines_of(self._settings, now_ms=self._clock.now_ms)
        asked = list({id(engine): engine for engine in engines.values() if engine is not None}.values())
        models = ", ".join(sorted({engine.model for engine in asked})) or NO_MODEL
        if not asked or not sample:
            self._say("no answer of a model was reused: there is nothing to hold against full ones")
            return None, models
        self._say(f"asking {models} again, in full, for {len(sample)} answers that were reused")
        try:
            for engine in asked:
                await engine.start()
            told = lambda done: self._told(done / len(sample), "asked again in full")  # noqa: E731
            prices = Prices.of(self._settings.prices)
            found = await agreement(sample, AGENTS, engines, now_ms=self._clock.now_ms, told=told, prices=prices)
            return found, models
        finally:
            for engine in asked:
                await engine.close()

    async def _rows(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        def ask() -> list[tuple[Any, ...]]:
            with reaching("ClickHouse", self._servers.clickhouse):
                client = clickhouse.connect(self._servers.clickhouse)
                found: list[tuple[Any, ...]] = client.query(
                    statement(name), parameters={"since": self._since, **parameters}
                ).result_rows
                return found

        return await asyncio.to_thread(ask)
