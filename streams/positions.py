"""Positions: where a group stands in the log, kept in Postgres beside what it has folded.

The effect of a batch, its dots and the next offset commit in one transaction. An epoch per partition fences a worker
that has lost it without noticing: every claim raises the epoch, and a transaction that carries an older one stores
nothing (the pattern of a fencing token; Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from faust.types import TP

from projections.dots import Dots, Origin
from schemas import TemporaryError
from streams import dead_letters
from streams.database import Database
from streams.records import Record
from streams.statements import statement

log = logging.getLogger(__name__)

# An origin at hand takes some 300 bytes, and a partition has a handful of producers at a time: past this the one heard
# of longest ago is left to Postgres, which is asked for it again should it come back.
ORIGINS_AT_HAND_MAX = 5_000

# A life of which nothing has been heard for so long has ended: what it had spilled is sent when its game next starts.
LIFE_KEPT_MS = 60 * 86_400_000
# What one round of forgetting drops of one partition: a few milliseconds of its transaction.
LIVES_FORGOTTEN_MAX = 1_000


class Fenced(TemporaryError):
    """Somebody else has claimed this partition: what was folded of it must be dropped and read again."""

    reason = "fenced"


@dataclass(frozen=True, slots=True)
class Move:
    """A partition's step from `low` to `high` (half open) with what it folded, to be stored.

    `passed` counts the offsets of the step that hold no record; `stamp` and `appended_ms` are the latest of its events;
    `taken_up` are the offsets of earlier records among its events, which had been set aside.
    """

    tp: TP
    epoch: int
    low: int
    high: int
    events: int = 0
    stamp: int = 0
    origins: Mapping[str, Origin] = field(default_factory=dict)
    passed: int = 0
    appended_ms: int = 0
    taken_up: tuple[int, ...] = ()


@dataclass(slots=True)
class Position:
    """Where a partition stands: `stored` is in Postgres, `reading` is what has been taken up beyond it."""

    epoch: int
    stored: int
    reading: int
    dots: Dots
    #: When the group first claimed the partition, in Unix milliseconds.
    born_ms: int = 0
    #: The latest stamp of the lives that have been forgotten: an unknown life with an older one may be one of theirs.
    forgotten_stamp: int = 0
    #: Origins that were asked for, had or not.
    at_hand: set[str] = field(default_factory=set)
    #: Up to where the last change of an origin at hand is to be stored.
    unstored: dict[str, int] = field(default_factory=dict)

    def settle(self, move: Move, dots: Dots) -> None:
        """Note that a move over this partition has been made, whose dots began as these; it is to be stored."""
        self.dots.take_over(dots)
        self.at_hand.update(move.origins)
        self.unstored.update(dict.fromkeys(move.origins, move.high))
        self.reading = move.high

    def lay_down(self) -> None:
        """Leave the origins heard of longest ago to Postgres, once there are many and their changes are stored."""
        excess = len(self.dots.origins) - ORIGINS_AT_HAND_MAX
        if excess <= 0:
            return
        longest_ago = [name for name, _ in zip(self.dots.origins, range(excess), strict=False)]
        self.drop(name for name in longest_ago if self.unstored.get(name, 0) <= self.stored)

    def drop(self, names: Iterable[str]) -> None:
        """Have nothing at hand of these origins."""
        for name in list(names):
            self.dots.origins.pop(name, None)
            self.unstored.pop(name, None)
            self.at_hand.discard(name)


_CLAIM = statement("claim_positions")
_DOTS = statement("read_dots")
_ADVANCE = statement("advance_positions")
_STANDING = statement("read_positions")
_REMEMBER = statement("remember_dots")
_FORGET = statement("forget_dots")
_HOLD = statement("hold_position")
_RECOGNISE = statement("recognise_topics")
_UNCOUNT = statement("uncount_events")


class Positions:
    """One group's positions: claims them, and moves them inside the caller's transaction."""

    def __init__(self, group: str, database: Database, now_ms: Callable[[], int], role: str = "") -> None:
        """role: whose records, set aside by an older version, are to be taken up with the claim."""
        self.group = group
        self.role = role
        #: Records of claimed partitions that were set aside and can be used now.
        self.set_aside: dict[TP, list[Record]] = {}
        self._now_ms = now_ms
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

        now_ms = self._now_ms()
        claimed = await self._database.read(
            lambda connection: connection.fetch(_CLAIM, self.group, topics, numbers, now_ms)
        )
        positions = {
            TP(row["topic"], row["partition"]): Position(
                row["epoch"], row["next_offset"], row["next_offset"], Dots(), row["born_ms"], row["forgotten_stamp"]
            )
            for row in claimed
        }
        set_aside = await self._read_set_aside(wanted)
        self._positions, self.set_aside = positions, set_aside
        self.claim_number += 1
        for tell in self.on_claim:
            tell()
        return self.next_offsets

    async def recognise(self, topic_ids: Mapping[str, bytes]) -> set[str]:
        """Note the ids of claimed topics that were not noted before; gives the topics that are not those noted."""
        claimed = list(self._positions)
        keys = [tp.topic for tp in claimed], [tp.partition for tp in claimed]
        seen = list(topic_ids), list(topic_ids.values())
        rows = await self._database.read(lambda c: c.fetch(_RECOGNISE, self.group, *keys, *seen))
        return {row["topic"] for row in rows}

    async def _read_set_aside(self, partitions: Sequence[TP]) -> dict[TP, list[Record]]:
        rows = await self._database.read(lambda connection: dead_letters.set_aside(connection, self.role, partitions))
        found: dict[TP, list[Record]] = {}
        for row in rows:
            record = Record(row["record_offset"], row["appended_ms"], row["key"], row["value"])
            found.setdefault(TP(row["topic"], row["partition"]), []).append(record)
        if found:
            log.warning(
                "%s: %d records that an older version set aside are taken up", self.role, sum(map(len, found.values()))
            )
        return found

    async def look_for_set_aside(self) -> None:
        """Look for more of the records that were set aside, once those at hand have been taken up."""
        claim_number = self.claim_number
        found = await self._read_set_aside(list(self._positions))
        if claim_number == self.claim_number:
            self.set_aside = found

    def release(self) -> None:
        """Have no partitions any more: another worker was given them all."""
        self._positions, self.set_aside = {}, {}
        self.claim_number += 1

    async def recall(self, origins: Mapping[TP, Iterable[str]]) -> None:
        """Have at hand what is known of these origins; asks Postgres for those that are not."""
        claim_number = self.claim_number
        wanted = [
            (tp, name) for tp, names in origins.items() for name in names if name not in self._positions[tp].at_hand
        ]
        if not wanted:
            return
        for tp, name in wanted:
            # At once, so that a life that comes back is not forgotten meanwhile.
            self._positions[tp].at_hand.add(name)
        keys = [tp.topic for tp, _ in wanted], [tp.partition for tp, _ in wanted], [name for _, name in wanted]
        rows = await self._database.read(lambda connection: connection.fetch(_DOTS, self.group, *keys))
        if claim_number != self.claim_number:
            return
        for row in rows:
            holes = tuple((span.lower, span.upper) for span in row["holes"])
            known = self._positions[TP(row["topic"], row["partition"])].dots.origins
            known.setdefault(row["origin"], Origin(row["last"], holes, row["duplicates"], row["floor"]))

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
            [move.passed for move in moves],
        )
        if done != f"UPDATE {len(moves)}":
            await self._explain(connection, moves, keys)
            return False
        await self._remember(connection, moves)
        return True

    async def _remember(self, connection: Any, moves: list[Move]) -> None:
        rows = [
            (*move.tp, name, o.last, _holes(o), o.duplicates, o.floor, move.stamp, move.appended_ms)
            for move in moves
            for name, o in move.origins.items()
        ]
        if rows:
            await connection.execute(_REMEMBER, self.group, *map(list, zip(*rows, strict=True)))

    async def forget_lives(self) -> int:
        """Drop the dots of lives that ended long ago, keeping their counts; gives how many lives were dropped.

        What an unknown life stamped before the latest of them is refused from then on: it may be a repeat of theirs.
        """
        dropped = 0
        for tp, position in self.items():
            until_ms = self._now_ms() - LIFE_KEPT_MS
            wanted = self.group, *tp, position.epoch, until_ms, LIVES_FORGOTTEN_MAX, list(position.at_hand)
            row = await self._database.write(partial(_fetch_row, _FORGET, wanted))
            if row["lives"]:
                position.forgotten_stamp = max(position.forgotten_stamp, row["forgotten_stamp"])
                dropped += row["lives"]
        return dropped

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
            position = self._positions[move.tp]
            position.stored = move.high
            position.lay_down()


async def _fetch_row(query: str, arguments: tuple[Any, ...], connection: Any) -> Any:
    return await connection.fetchrow(query, *arguments)


def _holes(origin: Origin) -> str:
    """The gaps as Postgres writes a multirange."""
    return "{" + ",".join(f"[{low},{high})" for low, high in origin.holes) + "}"
