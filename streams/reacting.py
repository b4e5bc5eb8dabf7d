"""What a worker that runs the policies is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC
from typing import Any

from inference.budget import CAPS
from inference.caps import replaced
from schemas import TOPICS, ClockTicked, Topic
from streams.app import Role, Run, Shell
from streams.config import Settings
from streams.policies import POLICIES
from streams.policies.budget import budget_of
from streams.policy import WORLD, Policy, topics_of
from streams.polls import Batch
from streams.processors.intake import Intake
from streams.processors.policy import PolicyProcessor
from streams.publications import Publication, Publications
from streams.world_clock import Pace, WorldClock

# A worker that sleeps in the midst of a transaction holds its locks: less than the time after which it is replaced.
IDLE_IN_TRANSACTION_S = 4
# A worker that is told to stop does so, whether or not its servers answer.
LAST_SEND_S = 5.0


def policy_role(policies: Mapping[str, Policy] = POLICIES, topics: Mapping[str, Topic] = TOPICS) -> Role:
    """A role whose one active worker runs these policies and keeps the world's clock."""

    def build(shell: Shell) -> Run:
        positions, now_ms = shell.positions, shell.clock.now_ms

        def active() -> bool:
            return bool(positions.next_offsets)

        publications = Publications(
            positions.group,
            shell.database,
            shell.servers.kafka,
            region=shell.settings.region,
            now_ms=now_ms,
            waiting=shell.waiting,
            sending=active,
        )
        clock = WorldClock(
            positions.group,
            shell.database,
            publications,
            pace(shell.settings),
            now_ms=now_ms,
            keeping=active,
            publication=lambda tick: _ticked(tick, topics),
        )
        processor = PolicyProcessor(
            capped(policies, shell.settings),
            intake=Intake("policy", topics=topics),
            publications=publications,
            positions=positions,
            database=shell.database,
            commit=shell.commit(),
            metrics=shell.metrics,
            clock=shell.clock,
            topics=topics,
        )

        async def run(stream: AsyncIterator[Batch]) -> None:
            try:
                async with asyncio.TaskGroup() as beside:
                    tasks = [beside.create_task(publications.run()), beside.create_task(clock.run())]
                    await processor.run(stream)
                    for task in tasks:
                        task.cancel()
            finally:
                # What was made certain last need not wait for the next worker.
                with suppress(TimeoutError):
                    async with asyncio.timeout(LAST_SEND_S):
                        await publications.send()

        return run

    return Role(topics_of(policies.values(), topics), build, alone=True, prepare=_prepare)


def capped(policies: Mapping[str, Policy], settings: Settings) -> Mapping[str, Policy]:
    """The policies, the budget's with the caps of the settings in the place of its own."""
    if not settings.caps or "budget" not in policies:
        return policies
    return {**policies, "budget": budget_of(replaced(CAPS, settings.caps))}


async def _prepare(connection: Any) -> None:
    await connection.execute(f"set idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'")


def pace(settings: Settings) -> Pace:
    """How the settings want the world's clock to go."""
    start = settings.clock_start
    if start is not None and start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    return Pace(settings.clock_speed, None if start is None else round(start.timestamp() * 1000))


def _ticked(tick: ClockTicked, topics: Mapping[str, Topic]) -> Publication:
    return Publication.of(tick, WORLD, topics=topics)
