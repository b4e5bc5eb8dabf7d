"""Chaos for the stores: workers and servers killed in turn while events come in; then every event is accounted for.

Everything is real: servers and workers are processes, and each is ended as `kill -9` ends one, at a moment that the
seed draws, while there is work.
"""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas import NornError
from streams import clickhouse
from streams.addresses import Servers
from streams.chaos.killable import KillableServers
from streams.chaos.toll import Expected, Held, Toll, as_object, facts, toll
from streams.config import Settings
from streams.counting import Counting
from streams.crew import Crew
from streams.embedded import SERVERS
from streams.groups import FOLD
from streams.preparing import prepare
from streams.reaching import postgres_at
from streams.reconcile import Verdict, reconcile
from streams.sdk import Producer
from streams.statements import statement
from streams.world_clock import held

ROLES = ("fold", "history", "policy")
#: Killed in this order, and from its beginning again.
VICTIMS = ("fold", "history", "postgres", "kafka", "clickhouse", "policy")
#: Kills fall between these shares of all events, so that there is work before the first and after the last.
FIRST_KILL, LAST_KILL = 0.05, 0.95
#: How long a killed server is away: less than a client notices, and more.
AWAY_S = (0.0, 3.0)
#: A worker is started again after ten seconds at most, and starts in a few on a busy machine.
BACK_WITHIN_S = 60.0
#: What has gathered while servers were away is folded at a few ten thousand a second; the rest is for sessions to end.
SETTLE_WITHIN_S = 180.0
FLUSH_WITHIN_S = 60.0
LOOK_EVERY_S = 0.1
#: Events are published this many at a time, which keeps the pace without a timer for each.
BURST = 100


class NotBack(NornError):
    """A killed worker was not started again, or what the producer had spilled was not sent."""

    reason = "not_back"


@dataclass(frozen=True, slots=True)
class Plan:
    """How many events, over how many seconds at least, and how many kills meanwhile."""

    events: int = 200_000
    seconds: float = 80.0
    kills: int = 9
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    toll: Toll
    verdict: Verdict
    kills: Mapping[str, int]
    #: How often a worker ended though nobody had killed it.
    died: int
    #: Events that the broker had acknowledged.
    events: int
    asked: int
    settled: bool
    took_s: float

    @property
    def holds(self) -> bool:
        """Whether every event was acknowledged, and each store has each of them once."""
        counted = not self.toll.lost and not self.toll.doubled and self.events == self.asked
        return counted and self.verdict.holds

    def as_object(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "holds": self.holds,
            **as_object(self.toll),
            "kills": dict(self.kills),
            "died": self.died,
            "events": self.events,
            "settled": self.settled,
            "reconcile_holds": self.verdict.holds,
            "differences": list(self.verdict.differences),
            "duplicates_dropped": self.verdict.duplicates_dropped,
            "seconds": self.took_s,
        }


@dataclass
class _Run:
    """What a run has come to so far."""

    published: int = 0
    expected: Expected = field(default_factory=Expected)
    kills: Counter[str] = field(default_factory=Counter)


class KillChaos:
    """One run. `say` is told what happens, a line at a time; `show`, how many events are published."""

    def __init__(self, plan: Plan, say: Callable[[str], None], show: Callable[[int], None]) -> None:
        self._plan = plan
        self._say = say
        self._show = show
        self._now = _Run()
        drawn = random.Random(plan.seed)
        shares = sorted(drawn.uniform(FIRST_KILL, LAST_KILL) for _ in range(plan.kills))
        #: After how many events the next victim is killed.
        self._thresholds = [int(share * plan.events) for share in shares]
        self._due = [asyncio.Event() for _ in shares]
        #: Set once a kill's victim is back.
        self._back = [asyncio.Event() for _ in shares]
        self._away_s = [drawn.uniform(*AWAY_S) for _ in range(plan.kills)]

    def run(self) -> Outcome:
        """Do it all. Raises ServersError, ServerAway, BrokerAway, ChildFailed, ScanStalled and NotBack."""
        with tempfile.TemporaryDirectory(prefix="norn-chaos-", ignore_cleanup_errors=True) as folder:
            self._say("starting Kafka, Postgres and ClickHouse")
            killable = KillableServers(Path(folder) / "servers")
            try:
                return asyncio.run(self._run(killable, killable.start(), Path(folder)))
            finally:
                killable.stop()

    async def _run(self, killable: KillableServers, servers: Servers, home: Path) -> Outcome:
        began_s = time.monotonic()
        await prepare(servers)
        async with AsyncExitStack() as stack:
            crew = Crew(Settings(home=home), servers, ROLES, environment={"NORN_WEB_PORT": "0"})
            stack.push_async_callback(crew.stop)
            self._say("starting the workers")
            crew.start()
            await crew.ready()
            producer = Producer(servers.kafka, spill=home / "spill-chaos", origin="chaos")
            stack.push_async_callback(asyncio.to_thread, producer.close)
            self._say(f"publishing {self._plan.events:,} events, and killing {self._plan.kills} times meanwhile")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._publish(producer))
                tasks.create_task(self._kill(killable, crew))
            self._say("waiting until all is on the log and every worker has caught up")
            if left := await asyncio.to_thread(producer.flush, FLUSH_WITHIN_S):
                raise NotBack(f"the producer has not sent {left:,} events: {producer.trouble or 'it is sending still'}")
            counting = Counting(servers)
            async with held(servers.postgres):
                settled = await counting.settled(SETTLE_WITHIN_S)
                counts = await counting.counts()
            await crew.look()
            stores = {
                "Postgres": await _in_postgres(servers, producer.origin, self._now.expected),
                "ClickHouse": await asyncio.to_thread(_in_clickhouse, servers, producer.origin),
            }
            acknowledged = producer.sent_by_partition
            workers_killed = sum(self._now.kills[role] for role in ROLES)
            return Outcome(
                toll=toll(acknowledged, self._now.expected.sums(), stores),
                verdict=reconcile(counts.partitions),
                kills=self._now.kills,
                died=crew.restarts - workers_killed,
                events=sum(acknowledged.values()),
                asked=self._plan.events,
                settled=settled,
                took_s=round(time.monotonic() - began_s, 1),
            )

    async def _publish(self, producer: Producer) -> None:
        plan, now, began_s = self._plan, self._now, time.monotonic()
        for number, (subject, fact) in enumerate(facts(plan.events, plan.seed)):
            if number % BURST == 0:
                now.published = number
                self._show(number)
                await asyncio.sleep(max(0.0, began_s + number * plan.seconds / plan.events - time.monotonic()))
                await self._come_to(number)
            producer.publish(fact, subject=subject)
            now.expected.add(subject, fact)
        now.published = plan.events
        self._show(plan.events)
        await self._come_to(plan.events)

    async def _come_to(self, number: int) -> None:
        """Let the kills begin that are due after so many events.

        A kill that waits for the one before holds events back: after them, it would find no work.
        """
        for index, threshold in enumerate(self._thresholds):
            if threshold <= number:
                self._due[index].set()
                if index:
                    await self._back[index - 1].wait()

    async def _kill(self, killable: KillableServers, crew: Crew) -> None:
        now = self._now
        for number in range(self._plan.kills):
            await self._due[number].wait()
            victim = VICTIMS[number % len(VICTIMS)]
            self._say(f"{now.published:,} events: kill -9 {victim}")
            if victim in SERVERS:
                await asyncio.to_thread(killable.kill, victim)
                now.kills[victim] += 1
                await asyncio.sleep(self._away_s[number])
                await asyncio.to_thread(killable.revive, victim)
            else:
                await _kill_worker(crew, victim)
                now.kills[victim] += 1
            self._back[number].set()


async def _kill_worker(crew: Crew, role: str) -> None:
    """Kill a role's worker once it runs, and wait until another runs in its place."""
    until_s = time.monotonic() + BACK_WITHIN_S
    while not (before := crew.pids(role)):
        await _pause(role, until_s)
    crew.signal(role, signal.SIGKILL)
    while not crew.pids(role) - before:
        await _pause(role, until_s)


async def _pause(role: str, until_s: float) -> None:
    if time.monotonic() > until_s:
        raise NotBack(f"the {role} worker was not running after {BACK_WITHIN_S:.0f} s")
    await asyncio.sleep(LOOK_EVERY_S)


async def _in_postgres(servers: Servers, origin: str, expected: Expected) -> Held:
    async with postgres_at(servers.postgres) as connection:
        dots = await connection.fetch(statement("toll_dots"), FOLD, origin)
        players = await connection.fetch(statement("toll_players"), list(expected.sums()))
    distinct = {(row["topic"], row["partition"]): row["events"] for row in dots}
    # The fold keeps no rows of events: what it took up twice shows in the sums.
    return Held(distinct, distinct, {row["subject"]: (row["points"], row["gold"]) for row in players})


def _in_clickhouse(servers: Servers, origin: str) -> Held:
    client = clickhouse.connect(servers.clickhouse)
    rows = client.query(statement("toll_rows"), parameters={"origin": origin}).result_rows
    sums = client.query(statement("toll_sums"), parameters={"origin": origin}).result_rows
    return Held(
        rows={(topic, partition): count for topic, partition, count, _ in rows},
        distinct={(topic, partition): distinct for topic, partition, _, distinct in rows},
        sums={subject: (points, gold) for subject, points, gold in sums},
    )
