"""Policy: facts lead to facts by declared rules, each once, whatever is killed.

One worker at a time has all partitions of the group (streams/standby.py), so a state has one writer. What a poll makes
of the states, the facts that follow and the positions commit in one transaction; a worker that has lost its partitions
without noticing stores nothing, and so says nothing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from schemas import TOPICS, Event, PermanentError, Topic, fact_of
from streams import dead_letters, policy_states
from streams.clock import Clock
from streams.database import Database
from streams.dead_letters import DeadLetter
from streams.metrics import Metrics
from streams.policy import Policy, State
from streams.positions import Fenced, Move, Positions
from streams.processors.screening import usable
from streams.publications import Publication, Publications
from streams.records import Records
from streams.transport import Batch, Poll, Regain, polls

log = logging.getLogger(__name__)

ROLE = "policy"


@dataclass(slots=True)
class _Taken:
    """What one poll comes to: all that one transaction stores."""

    states: Mapping[str, State]
    moves: list[Move] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)

    @property
    def events(self) -> int:
        return sum(move.events for move in self.moves)


class PolicyProcessor:
    """Runs every policy over one log."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        *,
        publications: Publications,
        positions: Positions,
        database: Database,
        metrics: Metrics,
        clock: Clock,
        regain: Regain,
        topics: Mapping[str, Topic] = TOPICS,
    ) -> None:
        self._policies = policies
        self._publications = publications
        self._positions = positions
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._regain = regain
        self._topics = topics
        self._states: Mapping[str, State] = {}
        #: The claim under which the states were read: under another they are somebody else's.
        self._claim_number = 0

    async def run(self, stream: AsyncIterator[Batch]) -> None:
        """React until the stream ends. Raises StateUnreadable."""
        async for poll in polls(stream, self._positions):
            await self._ready(poll.claim_number)
            if poll.claim_number != self._positions.claim_number:
                continue
            taken = self._take(poll)
            if taken.moves:
                await self._store(taken, poll.claim_number)

    async def _ready(self, claim_number: int) -> None:
        if claim_number != self._claim_number:
            group, policies = self._positions.group, self._policies.values()
            self._states = await self._database.read(lambda c: policy_states.read(c, group, policies))
            self._claim_number = claim_number

    def _take(self, poll: Poll) -> _Taken:
        taken = _Taken(self._states)
        events = [each for tp, records in poll.records.items() for each in self._usable(tp, records, taken)]
        # Partitions have no order among them; stamps give one in which causes come before effects.
        events.sort(key=lambda each: (each[0].stamp, each[0].region, each[0].origin, each[0].sequence))
        for event, tp, record in events:
            self._react(event, tp, record, taken)
        return taken

    def _usable(self, tp: TP, records: Records, taken: _Taken) -> Iterator[tuple[Event, TP, Any]]:
        position = self._positions[tp]
        fresh = list(records.since(position.reading))
        if records.high <= position.reading:
            return
        before, events, stamp = position.dots.copy(), 0, 0
        for record in fresh:
            try:
                event = usable(record)
                fact_of(event)
            except PermanentError as error:
                taken.dead.append(DeadLetter.of(record, tp, ROLE, error.reason, error))
                continue
            if position.dots.admit(event.origin, event.sequence):
                events, stamp = events + 1, max(stamp, event.stamp)
                yield event, tp, record
        low, high = position.reading, records.high
        position.reading = high
        taken.moves.append(Move(tp, position.epoch, low, high, events, stamp, position.dots.changed_since(before)))

    def _react(self, event: Event, tp: TP, record: Any, taken: _Taken) -> None:
        fact = event.WhichOneof("fact")
        for name, policy in self._policies.items():
            if fact not in policy.facts:
                continue
            try:
                state, said = policy.react(taken.states[name], event)
                publications = [Publication.of(fact, subject, event, self._topics) for subject, fact in said]
            except Exception as error:
                # One event that a policy stumbles over must not end the world; it is kept, and the others go on.
                log.exception("policy %s cannot react to %s/%d offset %d", name, *tp, record.offset)
                reason = error.reason if isinstance(error, PermanentError) else "policy_failed"
                taken.dead.append(DeadLetter.of(record, tp, ROLE, reason, error))
            else:
                taken.publications += publications
                if state is not taken.states[name]:
                    taken.states = {**taken.states, name: state}

    async def _store(self, taken: _Taken, claim_number: int) -> None:
        group = self._positions.group

        async def store(connection: Any) -> None:
            if await self._positions.advance(connection, taken.moves):
                await dead_letters.store(connection, taken.dead)
                await policy_states.save(connection, group, self._policies, self._states, taken.states)
                await self._publications.add(connection, taken.publications)

        try:
            await self._database.write(store)
        except Fenced as fenced:
            log.warning("%s", fenced)
            self._metrics.fenced.inc()
            # What was made of these events is nobody's: the states are read again with the next claim.
            self._claim_number = 0
            await self._regain(claim_number)
            return
        self._states = taken.states
        self._positions.stored(taken.moves, claim_number)
        if taken.publications:
            self._publications.stored()
        self._metrics.stored(taken.events, self._clock.now_ms())
        self._metrics.dead(len(taken.dead))
