"""Decide: events that call for a decision become requests; each request has one effect, in time.

Only this role writes DecisionEffective. What a poll comes to is published, acknowledged, and then stored with the
positions in one Postgres transaction. A crash in between leaves effects on the log that Postgres knows nothing of; so
whoever claims a partition of ai.decisions.v1 first reads it to the end that it had after the claim, learning what has
been decided and ruling on nothing. A decision is ruled on only by the owner of its partition there, who looks at the
claim's epoch right before publishing. So there is one DecisionEffective of a decision on the log, however often
workers are killed.

What remains is a worker that stands still between that look and the publishing for longer than its session lasts,
while its successor decides the same, and then goes on: the log then holds two. Readers drop the second by the
decision's id (streams.sdk.Decisions, the projection `decisions`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP
from google.protobuf.message import Message
from prometheus_client import Counter

from inference.agent import Agent
from inference.court import Case, Ruling, decision_of, learned, ruled
from inference.requests import requests_for
from schemas import DecisionRequested, Event, EventRefused
from streams.clock import Clock
from streams.database import Database
from streams.dead_letters import DeadLetter, Publisher
from streams.judgements import DECISIONS_TOPIC, DUE_MAX, FORGOTTEN_MAX, Judgements, partition_for
from streams.metrics import Metrics
from streams.polls import Batch, Poll, polls
from streams.positions import Move, Positions
from streams.processors.answering import Answering
from streams.processors.commit import Commit
from streams.processors.intake import Intake
from streams.processors.taken import Admitted

log = logging.getLogger(__name__)

# A few times a second: a deadline that has passed is noticed within a blink, for one indexed read.
SWEEP_EVERY_S = 0.25
# What was closed two months ago may as well go a minute later.
FORGET_EVERY_MS = 60_000

# Decisions asked for lately, as ids: of 4,000 heroes some minutes ago, in a megabyte or two.
ASKED_MAX = 10_000

#: Asks the broker for the offset after the last of each partition.
Ends = Callable[[Iterable[TP]], Awaitable[Mapping[TP, int | None]]]


@dataclass(slots=True)
class _Session:
    """What one poll or one sweep comes to."""

    now_ms: int
    moves: list[Move] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    requests: list[tuple[Event, DecisionRequested]] = field(default_factory=list)
    rulings: list[Ruling] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    world_version: int = 0


class DecideProcessor:
    """Asks the agents whose trigger an event is, and rules on what they propose, or have not proposed in time."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        *,
        intake: Intake,
        answering: Answering,
        publisher: Publisher,
        positions: Positions,
        database: Database,
        commit: Commit,
        metrics: Metrics,
        clock: Clock,
        ends: Ends,
    ) -> None:
        self._agents = agents
        self._answering = answering
        self._publisher = publisher
        self._positions = positions
        self._database = database
        self._judgements = Judgements(database)
        self._metrics = metrics
        self._clock = clock
        self._intake = intake
        self._commit = commit
        self._ends = ends
        # A poll and a sweep would rule on the same cases at the same time.
        self._sitting = asyncio.Lock()
        self._found_ends: Mapping[TP, int] = {}
        self._ends_of_claim = 0
        self._forget_ms = 0
        self._asked: dict[str, None] = {}
        self._effects = Counter(
            "norn_decision_facts_published", "Facts about decisions on the log.", ["fact"], registry=metrics.registry
        )
        self._unused = Counter(
            "norn_proposals_unused", "Proposals for decisions that had one already.", registry=metrics.registry
        )

    async def run(self, stream: AsyncIterator[Batch]) -> None:
        """Decide until the stream ends."""
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(self._keep_sweeping())
            async for poll in polls(stream, self._positions):
                await self._sit(poll.claim_number, partial(self._hear, poll))
            sweeping.cancel()

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            claim_number = self._positions.claim_number
            if claim_number not in (0, self._commit.fenced_claim):
                await self._sit(claim_number, self._sweep)

    async def _sit(self, claim_number: int, work: Callable[[], Awaitable[None]]) -> None:
        async def alone() -> None:
            async with self._sitting:
                if claim_number == self._positions.claim_number:
                    await work()

        await self._commit.fencing(claim_number, alone)

    async def _hear(self, poll: Poll) -> None:
        taken = await self._intake.take(poll.records, self._positions)
        if taken is None:
            return
        taken.settle()
        events = [one.event for one in taken.admitted]
        session = _Session(self._clock.now_ms(), taken.moves, taken.dead)
        about = [(event, decision_id) for event in events if (decision_id := decision_of(event))]
        known = await self._judgements.known(dict.fromkeys(decision_id for _, decision_id in about))
        self._learn(session, about, known.cases)
        self._ask(session, taken.admitted, known.world_version)
        heard = dict(session.cases)
        caught_up = await self._caught_up()
        self._rule(session, [case for case in heard.values() if partition_for(case) in caught_up])
        await self._conclude(session, poll.claim_number)
        self._metrics.taken(taken, self._clock.now_ms())

    async def _sweep(self) -> None:
        claim_number = self._positions.claim_number
        while caught_up := await self._caught_up():
            session = _Session(self._clock.now_ms())
            due = await self._judgements.due(caught_up, session.now_ms)
            self._rule(session, due)
            await self._conclude(session, claim_number)
            if len(due) < DUE_MAX:
                await self._forget(caught_up, session.now_ms)
                return

    async def _forget(self, partitions: Iterable[int], now_ms: int) -> None:
        """Drop what was closed long ago: a batch a sweep while there is more, then a look now and then.

        No epoch guards it: with such a case and without it nothing takes effect any more (KEPT_MS), so a worker that
        has lost the partition harms nothing.
        """
        if now_ms >= self._forget_ms and await self._judgements.forget(partitions, now_ms) < FORGOTTEN_MAX:
            self._forget_ms = now_ms + FORGET_EVERY_MS

    def _learn(self, session: _Session, about: Sequence[tuple[Event, str]], known: Mapping[str, Case]) -> None:
        for event, decision_id in about:
            before = session.cases.get(decision_id) or known.get(decision_id) or Case(decision_id, event.subject)
            after = learned(before, event, session.now_ms)
            if after != before or decision_id not in known:
                session.cases[decision_id] = after
            elif event.HasField("decision_proposed"):
                self._unused.inc()

    def _ask(self, session: _Session, admitted: Iterable[Admitted], world_version: int) -> None:
        for _, _, event, past in admitted:
            if event.HasField("world_changed"):
                session.world_version = max(session.world_version, world_version, event.world_changed.version)
            if past:
                self._metrics.passed_over.inc()
                continue
            try:
                asked = requests_for(event, self._agents, max(session.world_version, world_version))
            except Exception:  # anybody may have written the event: it must not stop the worker
                log.exception("event %s calls for no decision, because an agent cannot read it", event.id.hex())
            else:
                session.requests += [(event, request) for request in asked if self._is_new(request, session)]

    def _is_new(self, request: DecisionRequested, session: _Session) -> bool:
        """Whether it was not asked lately. After a restart it is asked again, and is the same decision by its id."""
        if not self._agents[request.agent].asking.every_s:
            return True
        asked = {one.decision_id for _, one in session.requests}
        return request.decision_id not in asked and request.decision_id not in self._asked

    def _rule(self, session: _Session, cases: Iterable[Case]) -> None:
        for case in cases:
            ruling = ruled(case, self._agents, session.now_ms)
            if ruling.case != case:
                session.cases[case.decision_id] = ruling.case
            if ruling.facts:
                session.rulings.append(ruling)

    async def _caught_up(self) -> set[int]:
        """The partitions whose decisions can be ruled on: all that had been decided there before has been read."""
        claim_number = self._positions.claim_number
        ours = {tp: position for tp, position in self._positions.items() if tp.topic == DECISIONS_TOPIC}
        if self._ends_of_claim != claim_number:
            try:
                found = await self._ends(list(ours))
            except (KafkaError, TimeoutError) as error:
                log.warning("decide: Kafka does not say where the log ends (%s); asking again", error)
                return set()
            if claim_number != self._positions.claim_number or any(found.get(tp) is None for tp in ours):
                return set()
            self._found_ends = {tp: end for tp, end in found.items() if end is not None}
            self._ends_of_claim = claim_number
        return {tp.partition for tp, position in ours.items() if position.reading >= self._found_ends[tp]}

    async def _conclude(self, session: _Session, claim_number: int) -> None:
        if claim_number != self._positions.claim_number:
            return
        if session.rulings:
            # An effect's transaction stands on the epoch of the effect's own partition.
            judged = {TP(DECISIONS_TOPIC, partition_for(ruling.case)) for ruling in session.rulings}
            moved = {move.tp for move in session.moves}
            for tp in sorted(judged - moved):
                position = self._positions[tp]
                session.moves.append(Move(tp, position.epoch, position.reading, position.reading))
            await self._positions.check(judged)
        if claim_number != self._positions.claim_number:
            return
        await self._publish(session)
        if not session.moves and not session.cases:
            return

        async def effect(connection: Any) -> Sequence[DeadLetter]:
            await self._judgements.store(connection, list(session.cases.values()), session.now_ms)
            if session.world_version:
                await self._judgements.remember_version(connection, session.world_version)
            return ()

        await self._commit.store(claim_number, session.moves, session.dead, effect)

    async def _publish(self, session: _Session) -> None:
        for event, request in session.requests:
            self._put(request, event.subject, event)
        for ruling in session.rulings:
            assert ruling.cause is not None, "whatever leads to facts has a cause"
            for fact in ruling.facts:
                self._put(fact, ruling.case.subject, ruling.cause)
        if session.requests or session.rulings:
            await self._answering.acknowledged()
        # Only now: what was not written is asked again with its event.
        self._asked.update(dict.fromkeys(request.decision_id for _, request in session.requests))
        while len(self._asked) > ASKED_MAX:
            del self._asked[next(iter(self._asked))]

    def _put(self, fact: Message, subject: str, cause: Event) -> None:
        try:
            self._publisher.publish(fact, subject=subject, cause=cause.id, trace=cause.trace)
        except EventRefused as refused:
            # What an event led to is larger than an event may be, or its writer did not keep to the envelope's form.
            log.error("%s about %r was not written: %s", type(fact).__name__, subject, refused)
        else:
            self._effects.labels(type(fact).__name__).inc()
