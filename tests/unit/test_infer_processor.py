"""The infer processor between its stream and its log: what it takes up, what it drops, and what stops it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry, generate_latest

from inference.batching import SIZE
from inference.counters import Counters
from inference.engines import Scripted
from inference.worker import IN_FLIGHT_MIN
from projections.dots import Dots
from schemas import DecisionProposed, DecisionRequested, Event
from streams.clock import Clock
from streams.decision_metrics import DecisionMetrics
from streams.metrics import Metrics
from streams.polls import Batch
from streams.positions import Move, Position
from streams.processors.infer import InferProcessor
from streams.processors.intake import Intake
from streams.records import Record, Records
from tests.inference.asking import NOW_MS, happened, worker
from tests.waiting import eventually_async

TP0 = TP("ai.requests.gold.v1", 0)
GREET = '{"action":"greet","why":"It is a fine day."}'


class Claimed:
    """Positions that are claimed anew when a test says so."""

    def __init__(self) -> None:
        self.claim_number = 1
        self.on_claim: list[Callable[[], None]] = []
        self.next_offsets: Mapping[TP, int] = {TP0: 0}
        self.set_aside: dict[TP, list[Record]] = {}
        self._position = Position(1, 0, 0, Dots())

    def __getitem__(self, tp: TP) -> Position:
        return self._position

    async def recall(self, origins: Mapping[TP, Collection[str]]) -> None: ...

    def claim_again(self) -> None:
        self.claim_number += 1
        self._position = Position(1, 0, 0, Dots())
        for tell in self.on_claim:
            tell()


class Log:
    """Stands for the log and its positions: what was published, and the moves stored."""

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.stored: list[Move] = []
        self.commit = SimpleNamespace(on_fenced=[])
        self.broken: Exception | None = None

    def publish(self, event: Event, facts: Sequence[Message]) -> None:
        if self.broken is not None:
            raise self.broken
        self.published += facts

    async def finish(self, claim_number: int, moves: list[Move], dead: list[Any]) -> bool:
        self.stored += moves
        return True

    def proposed(self) -> set[str]:
        return {fact.decision_id for fact in self.published if isinstance(fact, DecisionProposed)}


class OneTier:
    """A tap of a worker that serves gold alone, which is never closed."""

    def close(self, tier: str) -> None:
        raise AssertionError("there is nobody else to keep room for")

    def open(self, tier: str) -> None:
        raise AssertionError("it was not closed")

    def served(self) -> set[str]:
        return {"gold"}


class Running:
    """A processor with a stream that a test feeds."""

    def __init__(self, engine: Scripted) -> None:
        self.claims, self.log, self.taken = Claimed(), Log(), 0
        self.inference = worker(engine, tiers=["gold"])
        metrics = Metrics("infer", CollectorRegistry())
        parts: Any = (self.inference, Intake("infer"), self.log, self.claims, metrics, Clock(), OneTier())
        self.processor = InferProcessor(*parts)
        self._polls: asyncio.Queue[Batch | None] = asyncio.Queue()
        self.task = asyncio.create_task(self.processor.run(self._stream()))

    def feed(self, numbers: Sequence[int]) -> None:
        records = [Record(number, NOW_MS, None, _request(number).SerializeToString()) for number in numbers]
        self._polls.put_nowait(Batch(TP0, Records.of(records), self.claims.claim_number, False))

    async def end(self) -> None:
        self._polls.put_nowait(None)
        await self.task

    async def _stream(self) -> AsyncIterator[Batch]:
        while (batch := await self._polls.get()) is not None:
            self.taken += 1
            yield batch


def _request(number: int) -> Event:
    fact = DecisionRequested(
        decision_id=str(number),
        agent="guard",
        tier="gold",
        context=f'{{"heard":"{number}"}}',
        legal_actions=["greet", "ignore"],
        deadline_ms=NOW_MS + 600_000,
        cost_cap_usd_micros=1_000_000,
    )
    event = happened(fact, number=number + 1)
    event.origin, event.sequence = "game", number + 1
    return event


async def test_everything_is_answered_and_the_positions_move_to_its_end() -> None:
    running = Running(Scripted(lambda prompt: GREET))
    for start in range(0, 150, 50):
        running.feed(range(start, start + 50))
    await running.end()
    assert running.log.proposed() == set(map(str, range(150)))
    assert [move.low for move in running.log.stored] == [0, *(move.high for move in running.log.stored[:-1])]
    assert running.log.stored[-1].high == 150


async def test_no_further_poll_is_taken_while_too_much_is_in_hand() -> None:
    go = asyncio.Event()
    running = Running(Scripted(lambda prompt: GREET, wait=go))
    for start in range(0, 3 * IN_FLIGHT_MIN, IN_FLIGHT_MIN):
        running.feed(range(start, start + IN_FLIGHT_MIN))
    await eventually_async(lambda: running.processor.in_hand()["gold"] == IN_FLIGHT_MIN)
    assert running.taken == 1
    go.set()
    await running.end()
    assert len(running.log.proposed()) == 3 * IN_FLIGHT_MIN
    assert running.processor.in_hand() == {"gold": 0}


async def test_what_is_in_flight_is_dropped_when_the_partitions_are_claimed_anew_and_answered_when_it_comes_again() -> (
    None
):
    go = asyncio.Event()
    engine = Scripted(lambda prompt: GREET, wait=go)
    running = Running(engine)
    running.feed(range(4))
    await eventually_async(lambda: len(engine.asked) == 4)
    running.claims.claim_again()
    await eventually_async(lambda: engine.aborted == 4)
    assert running.processor.in_hand() == {"gold": 0}
    go.set()
    running.feed(range(4))
    await running.end()
    assert running.log.proposed() == set(map(str, range(4)))
    assert [(move.low, move.high) for move in running.log.stored][-1][1] == 4
    assert sum(move.events for move in running.log.stored) == 4


async def test_a_fenced_worker_drops_what_it_has_and_takes_nothing_up_before_its_next_claim() -> None:
    engine = Scripted(lambda prompt: GREET, wait=asyncio.Event())
    running = Running(engine)
    running.feed(range(2))
    await eventually_async(lambda: len(engine.asked) == 2)
    for tell in running.log.commit.on_fenced:
        tell()
    running.feed(range(2, 4))
    await eventually_async(lambda: running.taken == 2 and engine.aborted == 2)
    await running.end()
    assert len(engine.asked) == 2
    assert running.log.stored == []


async def test_a_worker_that_cannot_publish_does_not_go_on() -> None:
    running = Running(Scripted(lambda prompt: GREET))
    running.log.broken = RuntimeError("memory and disk are full")
    running.feed(range(3))
    with pytest.raises(ExceptionGroup):
        await running.task
    assert running.log.stored == []


async def test_what_was_decided_can_be_read_as_metrics() -> None:
    running = Running(Scripted([GREET, "garbage"]))
    registry = CollectorRegistry(auto_describe=True)
    registry.register(DecisionMetrics(running.inference.counters, running.processor.in_hand))
    running.feed(range(2))
    await running.end()
    told = generate_latest(registry).decode()
    for line in (
        'norn_proposals_total{agent="guard",route="full",tier="gold"} 1.0',
        'norn_proposals_total{agent="guard",route="rule",tier="gold"} 1.0',
        'norn_fallbacks_total{reason="malformed"} 1.0',
        'norn_model_calls_total{model="scripted",tier="gold"} 2.0',
        'norn_in_flight{tier="gold"} 0.0',
        "norn_queue_wait_seconds_count 2.0",
        'norn_decision_seconds_bucket{le="+Inf"} 2.0',
        "norn_batch_size_count 0.0",
    ):
        assert line in told


def test_how_many_requests_calls_answered_can_be_read_as_metrics() -> None:
    registry, counters = CollectorRegistry(auto_describe=True), Counters(batch_sizes=Counter({1: 3, 4: 2, SIZE + 1: 1}))
    registry.register(DecisionMetrics(counters, dict))
    told = generate_latest(registry).decode()
    for line in (
        'norn_batch_size_bucket{le="1.0"} 3.0',
        'norn_batch_size_bucket{le="3.0"} 3.0',
        'norn_batch_size_bucket{le="4.0"} 5.0',
        f'norn_batch_size_bucket{{le="{SIZE}.0"}} 5.0',
        'norn_batch_size_bucket{le="+Inf"} 6.0',
        f"norn_batch_size_sum {3 + 8 + SIZE + 1}.0",
    ):
        assert line in told
