"""Positions: where a group stands in the log, kept in Postgres beside what it has folded.

The effect of a batch, its dots and the next offset commit in one transaction. An epoch per partition fences a worker
that has lost it without noticing: every claim raises the epoch, and a transaction that carries an older one stores
nothing (the pattern of a fencing token; Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncpg import Range
from faust.types import TP

from projections.dots import Dots, Origin
from schemas import TemporaryError
from streams.database import Database
from streams.statements import statement


class Fenced(TemporaryError):
    """Somebody else has claimed this partition: what was folded of it must be dropped and read again."""

    reason = "fenced"


@dataclass(slots=True)
class Position:
    """Where a partition stands: `stored` is in Postgres, `reading` is what has been taken up beyond it."""

    epoch: int
    stored: int
    reading: int
    dots: Dots


@dataclass(frozen=True, slots=True)
class Move:
    """A partition's step from `low` to `high` (half open) with what it folded, to be stored."""

    tp: TP
    epoch: int
    low: int
    high: int
    events: int = 0
    stamp: int = 0
    origins: Mapping[str, Origin] = field(default_factory=dict)


_CLAIM = statement("claim_positions")
_DOTS = statement("read_dots")
_ADVANCE = statement("advance_positions")
_STANDING = statement("read_positions")
_REMEMBER = statement("remember_dots")
_HOLD = statement("hold_position")
_UNCOUNT = statement("uncount_events")


class Positions:
    """One group's positions: claims them, and moves them inside the caller's transaction."""

    def __init__(self, group: str, database: Database) -> None:
        self.group = group
        self.claim_number = 0
        #: Called after each claim.
        self.on_claim: list[Callable[[], None]] = []
        self._database = database
        self._positions: dict[TP, Position] = {}

    @property
    def next_offsets(self) -> Mapping[TP, int]:
        """The next offset of each claimed partition, as stored."""
        return {tp: position.stored for tp, position in self._positions.items()}

    def __getitem__(self, tp: TP) -> Position:
        return self._positions[tp]

    def items(self) -> Iterable[tuple[TP, Position]]:
        """Every claimed partition and where it stands."""
        return list(self._positions.items())

    async def claim(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """Take the partitions, fencing whoever had them; waits while Postgres is away."""
        wanted = sorted(partitions)
        topics, numbers = [tp.topic for tp in wanted], [tp.partition for tp in wanted]

        async def work(connection: Any) -> tuple[list[Any], list[Any]]:
            async with connection.transaction():
                claimed = await connection.fetch(_CLAIM, self.group, topics, numbers)
                return claimed, await connection.fetch(_DOTS, self.group, topics, numbers)

        claimed, dots = await self._database.read(work)
        positions = {
            TP(row["topic"], row["partition"]): Position(row["epoch"], row["next_offset"], row["next_offset"], Dots())
            for row in claimed
        }
        for row in dots:
            holes = tuple((span.lower, span.upper) for span in row["holes"])
            origin = Origin(row["last"], holes, row["duplicates"])
            positions[TP(row["topic"], row["partition"])].dots.origins[row["origin"]] = origin
        self._positions = positions
        self.claim_number += 1
        for tell in self.on_claim:
            tell()
        return self.next_offsets

    def release(self) -> None:
        """Have no partitions any more: another worker was given them all."""
        self._positions = {}
        self.claim_number += 1

    async def advance(self, connection: Any, moves: list[Move]) -> bool:
        """Store the moves in the caller's transaction.

        False: they were stored already, by a commit whose answer was lost. Raises Fenced when another worker has
        claimed one of the partitions.
        """
        keys = [move.tp.topic for move in moves], [move.tp.partition for move in moves]
        done = await connection.execute(
            _ADVANCE,
            self.group,
            *keys,
            [move.epoch for move in moves],
            [move.low for move in moves],
            [move.high for move in moves],
            [move.events for move in moves],
            [move.stamp for move in moves],
        )
        if done != f"UPDATE {len(moves)}":
            await self._explain(connection, moves, keys)
            return False
        remembered = [
            (self.group, *move.tp, name, origin.last, [Range(*span) for span in origin.holes], origin.duplicates)
            for move in moves
            for name, origin in move.origins.items()
        ]
        if len(remembered) == 1:
            await connection.execute(_REMEMBER, *remembered[0])
        elif remembered:
            await connection.executemany(_REMEMBER, remembered)
        return True

    async def check(self, partitions: Iterable[TP]) -> None:
        """Look whether these partitions are still ours. Raises Fenced when another worker has claimed one of them."""
        wanted = sorted(partitions)
        keys = [tp.topic for tp in wanted], [tp.partition for tp in wanted]
        epochs = {tp: self._positions[tp].epoch for tp in wanted}
        rows = await self._database.read(lambda connection: connection.fetch(_STANDING, self.group, *keys))
        standing = {TP(row["topic"], row["partition"]): row["epoch"] for row in rows}
        if lost := [f"{tp.topic}/{tp.partition}" for tp in wanted if standing.get(tp) != epochs[tp]]:
            raise Fenced(f"{self.group}: {', '.join(lost)} was claimed by another worker; dropped and read again")

    async def hold(self, connection: Any, move: Move) -> None:
        """Lock the position a move starts from for the caller's transaction. Raises Fenced when it is not ours."""
        found = await connection.fetchval(_HOLD, self.group, *move.tp, move.low, move.epoch)
        if found is None:
            raise Fenced(f"{self.group}: {move.tp.topic}/{move.tp.partition} was claimed by another worker")

    async def uncount(self, connection: Any, refused: Mapping[TP, int]) -> None:
        """Take events that Postgres refused out of the count of those folded, in the caller's transaction."""
        for tp, events in refused.items():
            await connection.execute(_UNCOUNT, self.group, tp.topic, tp.partition, events)

    async def _explain(self, connection: Any, moves: list[Move], keys: tuple[list[str], list[int]]) -> None:
        rows = await connection.fetch(_STANDING, self.group, *keys)
        standing = {TP(row["topic"], row["partition"]): (row["next_offset"], row["epoch"]) for row in rows}
        if all(standing.get(move.tp) == (move.high, move.epoch) for move in moves):
            return
        lost = [f"{m.tp.topic}/{m.tp.partition}" for m in moves if standing.get(m.tp) != (m.low, m.epoch)]
        raise Fenced(f"{self.group}: {', '.join(lost)} was claimed by another worker; dropped and read again")

    def stored(self, moves: list[Move], claim_number: int) -> None:
        """Note that the moves are in Postgres, unless a later claim has said better."""
        if claim_number != self.claim_number:
            return
        for move in moves:
            self._positions[move.tp].stored = move.high
