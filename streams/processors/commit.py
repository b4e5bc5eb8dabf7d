"""Commit: the unit of work of every role. What a poll comes to and the positions over it are stored together, or not.

One Postgres transaction holds the moves of the positions, the effect and the dead letters. A worker that has lost a
partition without noticing stores nothing: it says so once a claim, and claims anew (the pattern of cosmicpython's unit
of work, with a fencing token).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from faust.types import TP

from streams import dead_letters
from streams.database import Database
from streams.dead_letters import SET_ASIDE_MAX, DeadLetter
from streams.metrics import Metrics
from streams.polls import Regain
from streams.positions import Fenced, Move, Positions

log = logging.getLogger(__name__)

#: Stores the effect in the transaction that it is given; gives the dead letters of events that the store refused.
Effect = Callable[[Any], Awaitable[Sequence[DeadLetter]]]


class Commit:
    """Stores what polls come to, for one group."""

    def __init__(self, positions: Positions, database: Database, metrics: Metrics, regain: Regain) -> None:
        self._positions = positions
        self._database = database
        self._metrics = metrics
        self._regain = regain
        #: The last claim that turned out to be lost.
        self.fenced_claim = 0
        #: Called at once when a claim turns out to be lost, before it is regained.
        self.on_fenced: list[Callable[[], None]] = []
        #: Facts of newer versions that were met, by number, each said once.
        self._newer: set[int] = set()

    async def run(
        self, claim_number: int, moves: list[Move], dead: Sequence[DeadLetter] = (), effect: Effect | None = None
    ) -> bool:
        """Store the moves, the effect and the dead letters; False when the claim is over, and nothing was stored."""
        if claim_number != self._positions.claim_number:
            return False
        return await self.fencing(claim_number, lambda: self.store(claim_number, moves, dead, effect))

    async def store(
        self, claim_number: int, moves: list[Move], dead: Sequence[DeadLetter] = (), effect: Effect | None = None
    ) -> None:
        """Store them. Raises Fenced when another worker has claimed one of the partitions."""

        taken_up = [(move.tp, offset) for move in moves for offset in move.taken_up]

        async def transact(connection: Any) -> int:
            if taken_up and not await dead_letters.take_up(connection, self._positions.role, taken_up):
                return 0
            if not await self._positions.advance(connection, moves):
                return 0
            refused = await effect(connection) if effect else ()
            await self._positions.uncount(connection, Counter(TP(x.topic, x.partition) for x in refused))
            await dead_letters.store(connection, [*dead, *refused])
            return len(dead) + len(refused)

        letters = await self._database.write(transact)
        self._say_newer(dead)
        self._positions.stored(moves, claim_number)
        self._metrics.dead(letters)
        if len(taken_up) >= SET_ASIDE_MAX:
            await self._positions.look_for_set_aside()

    def _say_newer(self, dead: Sequence[DeadLetter]) -> None:
        newer = {number for letter in dead for number in letter.unknown_fields} - self._newer
        if newer:
            self._newer |= newer
            log.warning(
                "%s: the log holds facts that this version does not know (numbers %s in Event). They are set aside, and"
                " taken up when a version that knows them starts",
                self._positions.role,
                ", ".join(map(str, sorted(newer))),
            )

    async def fencing(self, claim_number: int, work: Callable[[], Awaitable[None]]) -> bool:
        """Do work that may find its claim lost; False when it did, once the partitions have been claimed anew."""
        try:
            await work()
        except Fenced as fenced:
            log.warning("%s", fenced)
            self._metrics.fenced.inc()
            if self.fenced_claim != claim_number:
                self.fenced_claim = claim_number
                for tell in self.on_fenced:
                    tell()
                await self._regain(claim_number)
            return False
        return True
