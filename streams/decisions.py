"""Decisions as a person asks about them: which there were, which wait for a yes, and the whole life of one."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from inference.court import Case
from projections.events_tables import EVENTS
from projections.fields import quoted
from schemas import FACTS, ApprovalGiven, Event, PermanentError, TemporaryError
from streams import clickhouse
from streams.addresses import Servers
from streams.reaching import postgres_at, reaching
from streams.sdk import Producer
from streams.statements import statement

T = TypeVar("T")

#: A broker that is there takes one event in milliseconds.
SENT_WITHIN_S = 10.0

#: The facts that are about one decision.
ABOUT = tuple(name for name, kind in FACTS.items() if "decision_id" in kind.DESCRIPTOR.fields_by_name)


class UnknownDecision(PermanentError):
    """No decision has this id."""

    reason = "unknown_decision"


class NotAwaiting(PermanentError):
    """A decision that waits for nobody's approval."""

    reason = "not_awaiting"


class TooLate(PermanentError):
    """A decision to which a person could have agreed earlier."""

    reason = "too_late"


class NotSent(TemporaryError):
    """What was to be written did not reach the log."""

    reason = "not_sent"


@dataclass(frozen=True, slots=True)
class Line:
    """A decision in a line of a list.

    action, route and rule are of what took effect, and empty while nothing has. reason: why what was proposed has no
    effect, or why nothing has. called_by: the id of the event that called for it.
    """

    decision_id: str
    subject: str
    agent: str
    action: str
    route: str
    rule: str
    reason: str
    approval_status: str
    approver: str
    called_by: str
    state: str
    time_ms: int


_TEXTS = tuple(one.name for one in fields(Line) if one.name != "time_ms")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A decision that waits for a person, what was proposed, and until when an answer counts."""

    decision_id: str
    subject: str
    agent: str
    action: str
    content: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Told:
    """One fact of a decision's life, without the fields that say nothing. origin: who wrote it, as it says itself."""

    time_ms: int
    fact: str
    event_id: str
    origin: str
    fields: dict[str, Any]


async def recent(servers: Servers, limit: int) -> list[Line]:
    """The latest decisions. Raises ServerAway."""
    rows = await _asked(servers, lambda connection: connection.fetch(statement("list_decisions"), limit))
    return [Line(time_ms=row["time_ms"], **{name: row[name] or "" for name in _TEXTS}) for row in rows]


async def awaiting(servers: Servers, limit: int) -> list[Waiting]:
    """Those that wait for a person, the most urgent first. Raises ServerAway."""
    return [
        _waiting(row)
        for row in await _asked(servers, lambda connection: connection.fetch(statement("list_awaiting"), limit))
    ]


async def approve(servers: Servers, given: ApprovalGiven) -> Waiting:
    """Write a person's answer to the log. Raises ServerAway, UnknownDecision, NotAwaiting, TooLate and NotSent."""
    decision_id = given.decision_id
    row = await _asked(servers, lambda connection: connection.fetchrow(statement("read_judgement"), decision_id))
    if row is None:
        raise UnknownDecision(
            f"no decision has the id {decision_id!r}, or it came to its end long ago: `norn decisions` lists those that"
            " wait"
        )
    if row["state"] != "awaiting_approval":
        raise NotAwaiting(f"{decision_id} is {row['state']} and waits for nobody: `norn decisions` lists those that do")
    waiting = _waiting(row)
    if not seconds_left(waiting):
        raise TooLate(f"{decision_id} could be answered until {clock(waiting.until_ms)}, and nothing comes of it now")
    await asyncio.to_thread(_send, servers, given, row["subject"])
    return waiting


async def life(servers: Servers, decision_id: str) -> list[Told]:
    """All that the log says of one decision, oldest first. Raises ServerAway and UnknownDecision."""
    found = await asyncio.to_thread(_life, servers, decision_id)
    if not found:
        raise UnknownDecision(f"nothing is known of a decision {decision_id!r}; history follows the log by a second")
    return found


def _life(servers: Servers, decision_id: str) -> list[Told]:
    columns = [f"{fact}.{field.name}" for fact in ABOUT for field in FACTS[fact].DESCRIPTOR.fields]
    named = ", ".join(map(quoted, columns))
    about = " or ".join(f"{quoted(f'{fact}.decision_id')} = {{decision:String}}" for fact in ABOUT)
    query = (
        f"select toString(fact), bitShiftRight(stamp, 16), lower(hex(id)), toString(origin), {named} from {EVENTS}"
        f" where {about} order by stamp, log_topic, log_offset limit 1 by id"
    )
    with reaching("ClickHouse", servers.clickhouse):
        client = clickhouse.connect(servers.clickhouse)
        rows = client.query(query, parameters={"decision": decision_id}).result_rows
    return [
        Told(time_ms, fact, event_id, origin, _fields(fact, dict(zip(columns, values, strict=True))))
        for fact, time_ms, event_id, origin, *values in rows
    ]


def _fields(fact: str, values: dict[str, Any]) -> dict[str, Any]:
    held = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{fact}.")}
    # A person's no is a word too.
    return {name: value for name, value in held.items() if (value or value is False) and name != "decision_id"}


def _waiting(row: Any) -> Waiting:
    request, proposal = (Event.FromString(row[name] or b"") for name in ("request", "proposal"))
    case = Case(row["decision_id"], row["subject"], "awaiting_approval", request, proposal)
    proposed = proposal.decision_proposed
    return Waiting(case.decision_id, case.subject, proposed.agent, proposed.action, proposed.content, case.until_ms)


def _send(servers: Servers, given: ApprovalGiven, subject: str) -> None:
    # Spilled to a folder that goes away: an answer that came later than said would surprise whoever gave it.
    with tempfile.TemporaryDirectory(prefix="norn-approve-") as folder, reaching("Kafka", servers.kafka):
        with Producer(servers.kafka, spill=Path(folder), origin="approve", away_s=SENT_WITHIN_S) as producer:
            producer.publish(given, subject=subject)
            if producer.flush(SENT_WITHIN_S):
                raise NotSent(f"Kafka at {servers.kafka} did not take the answer: is it running? Then try again")


async def _asked(servers: Servers, work: Callable[[Any], Awaitable[T]]) -> T:
    async with postgres_at(servers.postgres) as connection:
        return await work(connection)


def seconds_left(waiting: Waiting) -> float:
    """How long a person still has, by this machine's clock."""
    return max(0.0, waiting.until_ms / 1000 - time.time())


def clock(time_ms: int) -> str:
    """A time as this machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ms / 1000))
