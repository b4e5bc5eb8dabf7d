"""A decide processor on a real Postgres, whose polls, log ends and clock are the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from inference.agent import Agent
from schemas import DecisionProposed, DecisionRequested
from schemas.partitions import partition_of
from schemas.stamps import pack
from streams.database import Database, Waiting
from streams.judgements import DECISIONS_TOPIC
from streams.metrics import Metrics
from streams.polls import Batch
from streams.positions import Positions
from streams.processors.answering import Answering
from streams.processors.commit import Commit
from streams.processors.decide import DecideProcessor
from streams.processors.intake import Intake
from streams.records import Record, Records
from tests.deciders import AGENTS
from tests.log import Life
from tests.waiting import eventually_async

SUBJECT = "hero-1"
PARTITION = partition_of(SUBJECT, 2)
REQUESTS, DECISIONS = TP("ai.requests.gold.v1", PARTITION), TP(DECISIONS_TOPIC, PARTITION)
GREET = '{"action":"greet","why":"It is a fine day."}'
NOW_MS = 1_800_000_000_000


@dataclass
class Written:
    """Takes the place of the producer: keeps what is published."""

    facts: list[Message] = field(default_factory=list)

    def publish(self, fact: Message, *, subject: str, cause: bytes = b"", trace: str = "") -> bytes:
        self.facts.append(fact)
        return b""

    def flush(self, timeout_s: float = 0) -> int:
        return 0

    @property
    def kinds(self) -> list[str]:
        return [type(fact).__name__ for fact in self.facts]


class Bench:
    """A decide processor on a real Postgres, whose polls, log ends and clock are the test's."""

    def __init__(self, postgres: str, group: str, ends: Mapping[TP, int], agents: Mapping[str, Agent] = AGENTS) -> None:
        self.written = Written()
        self.now_ms = NOW_MS
        self.clock: Any = SimpleNamespace(now_ms=lambda: self.now_ms)
        self.database = Database(postgres, Waiting())
        self.positions = Positions(group, self.database, lambda: self.now_ms)
        self.polls: asyncio.Queue[Batch | None] = asyncio.Queue()
        self.life = Life(partitions=2)
        metrics = Metrics("decide", CollectorRegistry())

        async def regain(claim_number: int) -> None: ...

        async def ends_now(partitions: Iterable[TP]) -> Mapping[TP, int | None]:
            return {tp: ends.get(tp, 0) for tp in partitions}

        commit = Commit(self.positions, self.database, metrics, regain)
        self.metrics = metrics
        self.processor = DecideProcessor(
            agents,
            intake=Intake("decide"),
            answering=Answering("decide", self.written, commit),
            publisher=self.written,
            positions=self.positions,
            database=self.database,
            commit=commit,
            metrics=metrics,
            clock=self.clock,
            ends=ends_now,
        )

    @asynccontextmanager
    async def sitting(self, *others: TP) -> AsyncIterator[Bench]:
        """It claims both partitions, and others, and rules, until the block ends."""
        await self.positions.claim([REQUESTS, DECISIONS, *others])
        running = asyncio.create_task(self.run())
        yield self
        self.polls.put_nowait(None)
        await running
        await self.database.close()

    async def run(self) -> None:
        async def stream() -> AsyncIterator[Batch]:
            while (batch := await self.polls.get()) is not None:
                yield batch

        await self.processor.run(stream())

    def poll(self, tp: TP, *facts: Message, at_ms: int = NOW_MS) -> None:
        """One poll that brings these facts of one partition, written at that time."""
        made = [self.life.event(fact, SUBJECT, pack(at_ms))[1] for fact in facts]
        begin = self.positions[tp].reading
        records = [Record(begin + n, at_ms, None, event.SerializeToString()) for n, event in enumerate(made)]
        self.polls.put_nowait(Batch(tp, Records.of(records), self.positions.claim_number, False))

    async def stored(self, tp: TP, offset: int) -> None:
        await eventually_async(lambda: self.positions.next_offsets[tp] >= offset)


def request(deadline_ms: int = NOW_MS + 60_000, decision_id: str = "d1", *, agent: str = "guard") -> DecisionRequested:
    return DecisionRequested(
        decision_id=decision_id,
        agent=agent,
        tier="gold",
        context="{}",
        legal_actions=["greet", "ignore"],
        deadline_ms=deadline_ms,
    )


def proposal(decision_id: str = "d1", *, agent: str = "guard") -> DecisionProposed:
    return DecisionProposed(decision_id=decision_id, agent=agent, action="greet", content=GREET)
