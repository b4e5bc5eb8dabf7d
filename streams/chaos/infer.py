"""Chaos for decisions: workers killed at random and a provider that fails, while requests come in; then the reckoning.

Everything is real: servers of its own, the workers as processes, and a provider over HTTP.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from schemas import TIERS, TOPICS, NornError
from streams.addresses import Servers
from streams.admin import log_sizes
from streams.chaos.log import events
from streams.chaos.questions import questions
from streams.chaos.reckoning import Reckoning, reckon
from streams.children import Child, Command
from streams.embedded import start
from streams.groups import DECIDE, INFER
from streams.judgements import DECISIONS_TOPIC
from streams.preparing import make_topics, migrate_postgres
from streams.reaching import postgres_at
from streams.sdk import Producer
from streams.statements import statement

# ClickHouse has no part in a decision; nothing listens here, and nobody asks.
NO_CLICKHOUSE = "http://127.0.0.1:1"
MODEL = "gpt-4o-mini"
READY_WITHIN_S = 120.0
#: A worker that dies so often before it has begun does not start at all.
DEATHS_MAX = 3
SETTLE_WITHIN_S = 120.0
LOOK_EVERY_S = 0.25
TELL_EVERY_S = 5.0
#: A share of each kind of failure: a provider on a bad day.
FAULTS = "rate_limited=0.06,error=0.06,hang=0.05,not_json=0.04,truncated=0.04,prose=0.04,queue_full=0.03,reset=0.03"
REQUESTS = tuple(f"ai.requests.{tier}.v1" for tier in TIERS)
CREW = (("decide", 1), ("infer", 2), ("fold", 1), ("policy", 1))


class NotReady(NornError):
    """The workers did not come so far as to begin."""

    reason = "not_ready"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked, for how long, and how often a worker is killed meanwhile."""

    requests: int = 10_000
    seconds: float = 80.0
    kills: int = 7
    decide_kills: int = 2
    seed: int = 7
    faults: str = FAULTS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    reckoning: Reckoning
    kills: dict[str, int]
    #: Workers, by name, that ended though nobody had killed them.
    died: dict[str, int]
    provider: dict[str, int]
    settled: bool
    took_s: float


@dataclass
class _Workers:
    """The workers' processes, by name; each is started again when it is killed, or dies by itself."""

    children: dict[str, Child]
    kills: dict[str, int] = field(default_factory=dict)
    died: dict[str, int] = field(default_factory=dict)
    _killing: set[str] = field(default_factory=set)

    async def keep(self) -> None:
        """Start every worker, and again whenever it has ended."""
        async with asyncio.TaskGroup() as tasks:
            for name in self.children:
                tasks.create_task(self._keep(name))

    async def _keep(self, name: str) -> None:
        child, role = self.children[name], name.partition("-")[0]
        while True:
            child.start()
            await child.ended()
            if name in self._killing:
                self._killing.discard(name)
                self.kills[role] = self.kills.get(role, 0) + 1
            else:
                self.died[name] = self.died.get(name, 0) + 1
            await asyncio.sleep(LOOK_EVERY_S)

    async def kill_one(self, names: list[str]) -> None:
        """End the first of these that is running, as `kill -9` does."""
        while True:
            for name in names:
                if name not in self._killing and self.children[name].processes():
                    self._killing.add(name)
                    self.children[name].signal(signal.SIGKILL)
                    return
            await asyncio.sleep(LOOK_EVERY_S)


class InferChaos:
    """One run. `say` is told what happens, a line at a time."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._published: set[str] = set()
        self._deadline_ms = 0

    def run(self) -> Outcome:
        """Do it all. Raises ServersError, ServerAway, ChildFailed, NotReady and BrokerAway."""
        with tempfile.TemporaryDirectory(prefix="norn-chaos-", ignore_cleanup_errors=True) as folder:
            self._say("starting Kafka and Postgres")
            with start(Path(folder) / "servers", clickhouse=NO_CLICKHOUSE) as servers:
                make_topics(servers.kafka)
                return asyncio.run(self._run(servers, Path(folder)))

    async def _run(self, servers: Servers, home: Path) -> Outcome:
        began_s = time.monotonic()
        await migrate_postgres(servers.postgres)
        async with AsyncExitStack() as stack:
            provider = Child(provider_command(home, self._plan))
            stack.push_async_callback(provider.stop)
            provider.start()
            url = await _provider_url(provider)
            workers = _Workers({name: Child(command) for name, command in worker_commands(servers, home, url)})
            stack.push_async_callback(_stop_all, list(workers.children.values()))
            keeping = asyncio.create_task(workers.keep())
            stack.callback(keeping.cancel)
            self._say("starting the workers")
            await self._ready(servers, workers)
            self._say(f"asking {self._plan.requests:,} times in {self._plan.seconds:g} s, and killing meanwhile")
            await asyncio.gather(self._ask(servers, home), self._kill(workers))
            self._say("waiting until every deadline has passed and all is read")
            settled = await self._settled(servers)
            known = {row["decision_id"] for row in await _rows(servers, "select decision_id from judgements")}
            found = await asyncio.to_thread(events, servers.kafka, (*REQUESTS, DECISIONS_TOPIC))
            now_ms = time.time_ns() // 1_000_000
            reckoning = await asyncio.to_thread(reckon, found, self._published, known, now_ms)
            stats = await _stats(url)
        return Outcome(reckoning, workers.kills, workers.died, stats, settled, round(time.monotonic() - began_s, 1))

    async def _ready(self, servers: Servers, workers: _Workers) -> None:
        until_s = time.monotonic() + READY_WITHIN_S
        while len(await _rows(servers, "select distinct group_name from positions")) < len(CREW):
            failing = [child for name, child in workers.children.items() if workers.died.get(name, 0) >= DEATHS_MAX]
            if failing:
                raise failing[0].failure(f"died {DEATHS_MAX} times before it was ready")
            if time.monotonic() > until_s:
                raise NotReady(f"the workers were not ready after {READY_WITHIN_S:.0f} s: is the machine overloaded?")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _ask(self, servers: Servers, home: Path) -> None:
        plan, began_s = self._plan, time.monotonic()
        producer = Producer(servers.kafka, spill=home / "spill-chaos", origin="chaos")
        told_s = began_s
        try:
            for number, question in enumerate(questions(plan.requests, plan.seed)):
                early_s = began_s + number * plan.seconds / plan.requests - time.monotonic()
                if early_s > 0:
                    await asyncio.sleep(early_s)
                deadline_ms = time.time_ns() // 1_000_000 + question.within_ms
                question.request.deadline_ms = deadline_ms
                self._deadline_ms = max(self._deadline_ms, deadline_ms)
                producer.publish(question.request, subject=question.subject)
                self._published.add(question.request.decision_id)
                if time.monotonic() - told_s > TELL_EVERY_S:
                    told_s = time.monotonic()
                    self._say(f"{told_s - began_s:.0f} s: {number + 1:,} requests")
        finally:
            await asyncio.to_thread(producer.close)

    async def _kill(self, workers: _Workers) -> None:
        plan, drawn = self._plan, random.Random(self._plan.seed)
        victims = ["infer"] * plan.kills + ["decide"] * plan.decide_kills
        times = sorted((drawn.uniform(0.05, 0.95) * plan.seconds, victim) for victim in victims)
        began_s = time.monotonic()
        for at_s, victim in times:
            await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
            names = [name for name in workers.children if name.startswith(victim)]
            drawn.shuffle(names)
            await workers.kill_one(names)
            self._say(f"{time.monotonic() - began_s:.0f} s: kill -9 {victim}")

    async def _settled(self, servers: Servers) -> bool:
        """Wait until decide and infer have read all there is, and no decision is open; False when that takes longer.

        What has been put to people may wait for them for a day.
        """
        until_s = time.monotonic() + SETTLE_WITHIN_S
        while time.monotonic() < until_s:
            sizes = await asyncio.to_thread(log_sizes, servers.kafka, [TOPICS[t] for t in (*REQUESTS, DECISIONS_TOPIC)])
            rows = await _rows(servers, statement("count_places"), [DECIDE, INFER])
            at = {(row["group_name"], row["topic"], row["partition"]): row["next_offset"] for row in rows}
            read = all(
                at.get((group, *place), 0) >= end
                for place, (_, end) in sizes.items()
                for group in (DECIDE, INFER)
                if group == DECIDE or place[0] != DECISIONS_TOPIC
            )
            [(open_ones,)] = await _rows(servers, "select count(*) from judgements where state < 'awaiting_approval'")
            if read and not open_ones and time.time_ns() // 1_000_000 > self._deadline_ms:
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False


def provider_command(home: Path, plan: Plan) -> Command:
    """How the failing provider is run; its first line of output is its port."""
    arguments = (sys.executable, "-m", "streams.chaos.provider", "--faults", plan.faults, "--seed", str(plan.seed))
    more = ("--latency-ms", "40")
    return Command("provider", arguments + more, home / "logs" / "provider.log", output=home / "provider.out")


def worker_commands(servers: Servers, home: Path, url: str) -> Iterator[tuple[str, Command]]:
    """How the workers are run: every tier, and the ensemble, asks the failing provider."""
    engine = f"openai:{MODEL}@{url}/v1"
    environment = {
        "NORN_HOME": str(home),
        "NORN_KAFKA": servers.kafka,
        "NORN_POSTGRES": servers.postgres,
        "NORN_CLICKHOUSE": servers.clickhouse,
        **{f"NORN_{tier.upper()}": engine for tier in TIERS},
        "NORN_STORY": f"{engine} + {engine}",
        # What is asked here is what faults do to calls; under the usual caps most would not be made.
        "NORN_CAPS": "[]",
    }
    for role, workers in CREW:
        for number in range(workers):
            name = f"{role}-{number}"
            arguments = (sys.executable, "-m", "streams.cli", "worker", role, "--web-port", "0")
            yield name, Command(name, arguments, home / "logs" / f"{name}.log", environment=environment)


async def _provider_url(provider: Child) -> str:
    output, until_s = provider.command.output, time.monotonic() + READY_WITHIN_S
    while output is None or not output.exists() or "\n" not in output.read_text():
        if not provider.running or time.monotonic() > until_s:
            raise provider.failure("did not say where it listens")
        await asyncio.sleep(LOOK_EVERY_S)
    return f"http://127.0.0.1:{int(output.read_text().split()[0])}"


async def _stats(url: str) -> dict[str, int]:
    async with aiohttp.ClientSession(trust_env=False) as session, session.get(f"{url}/stats") as answer:
        found: dict[str, int] = await answer.json()
        return found


async def _rows(servers: Servers, query: str, *arguments: Any) -> list[Any]:
    async with postgres_at(servers.postgres) as connection:
        rows: list[Any] = await connection.fetch(query, *arguments)
        return rows


async def _stop_all(children: list[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))
