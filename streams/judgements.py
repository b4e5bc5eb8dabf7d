"""Judgements: every decision's case in Postgres, stored in the transaction that moves the positions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from inference.court import OVERDUE_MS, Case, State, Told
from schemas import TOPICS, Event
from schemas.partitions import partition_of
from streams.database import Database
from streams.statements import statement

#: Where decisions come to their end, and by whose partitions it is shared out who rules on them.
DECISIONS_TOPIC = "ai.decisions.v1"
# One sweep's share of what is due: some ten megabytes of events at most; the next follows at once.
DUE_MAX = 1_000
# A closed case keeps its request from a second effect, should it be read again: from a log that was rewound, or asked
# anew by what called for it. A request that is overdue has no effect anyway (inference/court.py), so this is that long,
# and as long again for a deadline that was still ahead when it was answered.
KEPT_MS = 2 * OVERDUE_MS
# Some ten milliseconds for Postgres, while nothing is ruled on.
FORGOTTEN_MAX = 1_000

_READ = statement("read_judgements")
_DUE = statement("due_judgements")
_STORE = statement("store_judgements")
_FORGET = statement("forget_judgements")
_READ_VERSION = statement("read_world_version")
_REMEMBER_VERSION = statement("remember_world_version")


@dataclass(frozen=True, slots=True)
class Known:
    """What Postgres knows before a poll: the cases asked about, and the version of the world."""

    cases: dict[str, Case]
    world_version: int


def partition_for(case: Case) -> int:
    """The partition of ai.decisions.v1 whose owner rules on a case."""
    return partition_of(case.subject, TOPICS[DECISIONS_TOPIC].partitions)


class Judgements:
    """Reads and stores cases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, decision_ids: Iterable[str]) -> Known:
        """The cases of these decisions, as far as there are any."""
        wanted = list(decision_ids)

        async def work(connection: Any) -> Known:
            rows = await connection.fetch(_READ, wanted) if wanted else []
            version = await connection.fetchval(_READ_VERSION)
            return Known({row["decision_id"]: _case(row) for row in rows}, version)

        return await self._database.read(work)

    async def due(self, partitions: Iterable[int], now_ms: int) -> list[Case]:
        """Cases of these partitions that are to be ruled on by now, at most DUE_MAX, the longest due first."""
        wanted = list(partitions)

        async def work(connection: Any) -> list[Case]:
            return [_case(row) for row in await connection.fetch(_DUE, wanted, now_ms, DUE_MAX)]

        return await self._database.read(work)

    async def store(self, connection: Any, cases: Sequence[Case], now_ms: int) -> None:
        """Write cases in the caller's transaction, without losing what another worker has written in between.

        now_ms: from when those count as closed that are.
        """
        if not cases:
            return
        await connection.execute(
            _STORE,
            [case.decision_id for case in cases],
            [case.subject for case in cases],
            [partition_for(case) for case in cases],
            [case.state for case in cases],
            [case.due_ms for case in cases],
            [_bytes(case.request) for case in cases],
            [_bytes(case.proposal) for case in cases],
            [_bytes(case.approval) for case in cases],
            [int(case.told) for case in cases],
            now_ms,
        )

    async def forget(self, partitions: Iterable[int], now_ms: int) -> int:
        """Drop cases of these partitions that were closed more than KEPT_MS ago; gives how many, FORGOTTEN_MAX at most.

        Also of those that nobody has asked for, once nothing has been heard of them for so long.
        """
        wanted = list(partitions)

        async def work(connection: Any) -> int:
            done: str = await connection.execute(_FORGET, wanted, now_ms - KEPT_MS, FORGOTTEN_MAX)
            return int(done.removeprefix("DELETE "))

        return await self._database.write(work)

    async def remember_version(self, connection: Any, world_version: int) -> None:
        """Note a version of the world in the caller's transaction."""
        await connection.execute(_REMEMBER_VERSION, world_version)


def _bytes(event: Event | None) -> bytes | None:
    return None if event is None else event.SerializeToString()


def _event(value: bytes | None) -> Event | None:
    return None if value is None else Event.FromString(value)


def _case(row: Any) -> Case:
    return Case(
        decision_id=row["decision_id"],
        subject=row["subject"],
        state=cast(State, row["state"]),
        request=_event(row["request"]),
        proposal=_event(row["proposal"]),
        approval=_event(row["approval"]),
        told=Told(row["told"]),
        due_ms=row["due_ms"],
    )
