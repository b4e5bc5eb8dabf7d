"""What a worker that infers is made of: an engine for each tier it serves, and what they share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from functools import partial

from faust.types import TP

from inference.affording import unaffordable
from inference.agent import Agent
from inference.agents import AGENTS
from inference.batching import Batches
from inference.cache import Cache
from inference.embedding import choose_embedder
from inference.engines import LlamaCpp
from inference.meaning import choose_meaning
from inference.prices import Prices
from inference.purse import Purse
from inference.requests import asked_as
from inference.router import Router
from inference.safety import unsafe
from inference.worker import Worker
from schemas import TIERS
from streams.app import NornApp, Role, Run, Shell
from streams.decision_metrics import DecisionMetrics
from streams.engines import engines_of, ensemble_of
from streams.polls import Batch
from streams.processors.answering import Answering
from streams.processors.infer import POLL_EVENTS_MAX, InferProcessor
from streams.processors.intake import Intake
from streams.purse import LogPurse

log = logging.getLogger(__name__)

#: Makes the worker of some tiers.
Make = Callable[[Shell, Collection[str], Purse], Worker]


def topic_of_tier(tier: str) -> str:
    """The topic that carries a tier's requests."""
    return f"ai.requests.{tier}.v1"


def infer_role(
    tiers: Sequence[str] = TIERS,
    *,
    make: Make | None = None,
    topic_of: Callable[[str], str] = topic_of_tier,
) -> Role:
    """A role that answers the requests of these tiers, by the worker that `make` makes."""
    carried = {tier: topic_of(tier) for tier in tiers}

    def build(shell: Shell) -> Run:
        purse = LogPurse(
            shell.servers.kafka,
            shell.producer(),
            holder=shell.worker,
            now_ms=shell.clock.now_ms,
            running_ms=lambda: round(shell.clock.monotonic_s() * 1000),
        )
        worker = (make or make_worker)(shell, tiers, purse)
        answering = Answering("infer", shell.producer(), shell.commit())
        tap = PartitionTap(shell.app, carried)
        processor = InferProcessor(worker, Intake("infer"), answering, shell.positions, shell.metrics, shell.clock, tap)
        shell.metrics.registry.register(DecisionMetrics(worker.counters, processor.in_hand))

        async def run(stream: AsyncIterator[Batch]) -> None:
            async with asyncio.TaskGroup() as beside:
                listening = beside.create_task(purse.run())
                await processor.run(stream)
                listening.cancel()

        return run

    return Role(tuple(carried.values()), build, poll_events_max=POLL_EVENTS_MAX)


def make_worker(shell: Shell, tiers: Collection[str], purse: Purse, agents: Mapping[str, Agent] = AGENTS) -> Worker:
    """The worker of these tiers, as the settings want it. Raises EngineRefused and UnknownPrice."""
    now_ms = shell.clock.now_ms
    agents = asked_as(agents, shell.settings.agents)
    chosen = engines_of(shell.settings, now_ms=now_ms)
    engines = {tier: engine for tier, engine in chosen.items() if tier in tiers}
    local = next((engine for engine in engines.values() if isinstance(engine, LlamaCpp)), None)
    embedder = choose_embedder()
    prices = Prices.of(shell.settings.prices)
    for line in unaffordable(engines, agents.values(), prices):
        log.warning("%s", line)
    voted = any(agent.ensemble and agent.tier in tiers for agent in agents.values())
    return Worker(
        agents,
        engines,
        router=Router(Cache(embedder, now_ms=now_ms)),
        batches=Batches(now_ms=now_ms),
        ensemble=ensemble_of(shell.settings, now_ms=now_ms, local=local, purse=purse) if voted else None,
        purse=purse,
        prices=prices,
        unsafe=partial(unsafe, meaning=choose_meaning(embedder)),
        now_ms=now_ms,
    )


class PartitionTap:
    """Stops a tier's partitions at the consumer, which keeps what it has fetched of them."""

    def __init__(self, app: NornApp, topics: Mapping[str, str]) -> None:
        """`topics` carry the tiers' requests."""
        self._app = app
        self._topics = topics

    def close(self, tier: str) -> None:
        """Give out no more of the tier's records."""
        self._app.consumer.pause_partitions(self._partitions(tier))

    def open(self, tier: str) -> None:
        """Give them out again."""
        self._app.consumer.resume_partitions(self._partitions(tier))

    def served(self) -> set[str]:
        """The tiers of the partitions that are claimed."""
        claimed = {tp.topic for tp in self._app.claims.next_offsets}
        return {tier for tier, topic in self._topics.items() if topic in claimed}

    def _partitions(self, tier: str) -> set[TP]:
        return {tp for tp in self._app.claims.next_offsets if tp.topic == self._topics[tier]}
