"""Policy: facts lead to facts by declared rules, each once, whatever is killed.

One worker at a time has all partitions of the group (streams/standby.py), so a state has one writer. What a poll makes
of the states, the facts that follow and the positions commit in one transaction; a worker that has lost its partitions
without noticing stores nothing, and so says nothing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas import TOPICS, PermanentError, Topic
from streams import policy_states
from streams.clock import Clock
from streams.database import Database
from streams.dead_letters import DeadLetter
from streams.metrics import Metrics
from streams.policy import Policy, State
from streams.polls import Batch, polls
from streams.positions import Positions
from streams.processors.commit import Commit
from streams.processors.intake import Intake
from streams.processors.taken import Admitted, Taken
from streams.publications import Publication, Publications

log = logging.getLogger(__name__)

ROLE = "policy"


@dataclass(slots=True)
class _Work:
    """What one poll comes to: all that one transaction stores."""

    taken: Taken
    states: Mapping[str, State]
    dead: list[DeadLetter] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)


class PolicyProcessor:
    """Runs every policy over one log."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        *,
        intake: Intake,
        publications: Publications,
        positions: Positions,
        database: Database,
        commit: Commit,
        metrics: Metrics,
        clock: Clock,
        topics: Mapping[str, Topic] = TOPICS,
    ) -> None:
        self._policies = policies
        self._intake = intake
        self._publications = publications
        self._positions = positions
        self._database = database
        self._commit = commit
        self._metrics = metrics
        self._clock = clock
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
            taken = await self._intake.take(poll.records, self._positions)
            if taken is not None:
                taken.settle()
                await self._store(self._react_all(taken), poll.claim_number)

    async def _ready(self, claim_number: int) -> None:
        if claim_number != self._claim_number:
            group, policies = self._positions.group, self._policies.values()
            self._states = await self._database.read(lambda c: policy_states.read(c, group, policies))
            self._claim_number = claim_number

    def _react_all(self, taken: Taken) -> _Work:
        work = _Work(taken, self._states)
        # Partitions have no order among them; stamps give one in which causes come before effects.
        for one in sorted(taken.admitted, key=_in_order):
            self._react(one, work)
        self._metrics.passed_over.inc(sum(one.past for one in taken.admitted))
        return work

    def _react(self, one: Admitted, work: _Work) -> None:
        tp, record, event, past = one
        fact = event.WhichOneof("fact")
        for name, policy in self._policies.items():
            if fact not in policy.facts:
                continue
            try:
                state, said = policy.react(work.states[name], event)
                # Of the past before the first start only the state is learned.
                wanted = () if past else said
                publications = [Publication.of(fact, subject, event, self._topics) for subject, fact in wanted]
            except Exception as error:
                # One event that a policy stumbles over must not end the world; it is kept, and the others go on.
                log.exception("policy %s cannot react to %s/%d offset %d", name, *tp, record.offset)
                reason = error.reason if isinstance(error, PermanentError) else "policy_failed"
                work.dead.append(DeadLetter.of(record, tp, ROLE, reason, error))
            else:
                work.publications += publications
                if state is not work.states[name]:
                    work.states = {**work.states, name: state}

    async def _store(self, work: _Work, claim_number: int) -> None:
        group = self._positions.group

        async def effect(connection: Any) -> Sequence[DeadLetter]:
            await policy_states.save(connection, group, self._policies, self._states, work.states)
            await self._publications.add(connection, work.publications)
            return ()

        if not await self._commit.run(claim_number, work.taken.moves, [*work.taken.dead, *work.dead], effect):
            # What was made of these events is nobody's: the states are read again with the next claim.
            self._claim_number = 0
            return
        self._states = work.states
        if work.publications:
            self._publications.stored()
        self._metrics.taken(work.taken, self._clock.now_ms())


def _in_order(one: Admitted) -> tuple[int, str, str, int]:
    event = one.event
    return event.stamp, event.region, event.origin, event.sequence
