"""A decision's record: what took effect and by which rule, and what became of every proposal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams import clickhouse
from streams.embedded import Servers
from streams.reaching import reaching
from streams.statements import statement

#: What became of a proposal. Unused: another one was there before it, or the decision had come to its end.
IN_EFFECT, REJECTED, WAITING, UNUSED, NOT_JUDGED = "in effect", "rejected", "waiting", "unused", "not judged yet"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody proposed, and what became of it. origin: who, as it says itself. why: it was rejected for."""

    event_id: str
    time_ms: int
    origin: str
    agent: str
    action: str
    content: str
    route: str
    model: str
    became: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a decision: the columns of the projection `decisions`, those that say something."""

    fields: Mapping[str, Any]
    proposals: tuple[Proposal, ...]


async def record(servers: Servers, decision_id: str) -> Record:
    """The record of one decision, as history has it. Raises ServerAway; empty for a decision that is not known."""
    return await asyncio.to_thread(_record, servers, decision_id)


def _record(servers: Servers, decision_id: str) -> Record:
    with reaching("ClickHouse", servers.clickhouse):
        client = clickhouse.connect(servers.clickhouse)
        found, proposals = (
            list(client.query(statement(name), parameters={"decision": decision_id}).named_results())
            for name in ("read_decision", "read_proposals")
        )
    row: Mapping[str, Any] = found[0] if found else {}
    fields = {name: value for name, value in row.items() if value and name != "review_proposal_id"}
    return Record(fields, tuple(_proposal(row, one) for one in proposals))


def _proposal(row: Mapping[str, Any], one: Mapping[str, Any]) -> Proposal:
    told = {name: value or "" for name, value in one.items() if name not in ("rejected", "time_ms")}
    return Proposal(**told, time_ms=one["time_ms"] or 0, became=became(row, one), why=one["rejected"])


def became(row: Mapping[str, Any], proposal: Mapping[str, Any]) -> str:
    """What became of a proposal of a decision, given the columns of both."""
    event_id = proposal["event_id"]
    if event_id == row.get("proposal_id"):
        return IN_EFFECT
    if proposal["rejected"]:
        return REJECTED
    if row.get("status") == "effective":
        # After the deadline the court itself proposes what it then does: nobody has judged that proposal.
        same = row.get("rule") == "deadline" and all(proposal[name] == row[name] for name in ("action", "content"))
        return IN_EFFECT if same else UNUSED
    if row.get("status") == "closed":
        return UNUSED
    if row.get("review_proposal_id"):
        return WAITING if event_id == row["review_proposal_id"] else UNUSED
    return NOT_JUDGED
