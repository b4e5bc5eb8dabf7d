"""Decisions as a person asks about them: a list, and the whole life of one as history tells it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from inference.court import APPROVAL_MS, Case
from projections import PROJECTIONS
from projections.clickhouse import migrate
from projections.fold import Fold
from projections.postgres import Writer
from projections.postgres import migrate as migrate_postgres
from projections.records import concatenate, log_fields
from schemas import ApprovalGiven, CostSampled, DecisionEffective, DecisionProposed, DecisionRequested, Event, VoteCast
from streams.admin import create_topics
from streams.clickhouse import Events, connect
from streams.database import Database, Waiting
from streams.decisions import TooLate, UnknownDecision, approve, clock, life, recent
from streams.embedded import Servers
from streams.judgements import Judgements
from tests.log import Life

FACTS = [
    DecisionRequested(decision_id="d1", agent="guard", tier="gold", legal_actions=["greet"]),
    VoteCast(decision_id="d1", agent="guard", model="m", action="greet", weight=0.5, outcome="valid"),
    DecisionProposed(decision_id="d1", agent="guard", action="greet", route="full"),
    CostSampled(decision_id="d1", agent="guard", model="m", cost_usd_micros=12),
    DecisionEffective(decision_id="d1", agent="guard", action="greet", route="full", rule="proposed"),
    DecisionEffective(decision_id="d2", agent="guard", action="greet"),
]
#: As long as ids are, and longer than any column.
LONG = "7f6c9434-b871-5c7c-aed5-5935a0889395", "d" * 128


def happened() -> list[Event]:
    written = Life(partitions=1)
    return [written.event(fact, "hero", (1_000 + n) << 16)[1] for n, fact in enumerate(FACTS)]


def waits(decision_id: str, put_ms: int) -> Case:
    """What was proposed at that time, and waits for a person."""
    written = Life(partitions=1)
    request, proposal = (written.event(fact, "hero", put_ms << 16)[1] for fact in (FACTS[0], FACTS[2]))
    return Case(decision_id, "hero", "awaiting_approval", request, proposal, due_ms=put_ms + APPROVAL_MS)


def norn(servers: Servers, home: Path, *arguments: str, columns: int = 200) -> str:
    environment = {
        **os.environ,
        "NORN_HOME": str(home),
        "NORN_KAFKA": servers.kafka,
        "NORN_POSTGRES": servers.postgres,
        "NORN_CLICKHOUSE": servers.clickhouse,
        "COLUMNS": str(columns),
    }
    command = [sys.executable, "-m", "streams.cli", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


async def test_decisions_and_those_that_wait_for_a_person_are_listed(
    servers: Servers, postgres: str, tmp_path: Path
) -> None:
    create_topics(servers.kafka)
    here = replace(servers, postgres=postgres)
    connection = await asyncpg.connect(postgres)
    await migrate_postgres(connection)
    writer, put_ms = Writer(PROJECTIONS), time.time_ns() // 1_000_000
    waiting, lapsed = waits("d3", put_ms), waits("d4", put_ms - APPROVAL_MS)
    await writer.prepare(connection)
    async with connection.transaction():
        await writer.merge(connection, Fold(PROJECTIONS).events(happened()))
        await Judgements(Database(postgres, Waiting())).store(connection, [waiting, lapsed], now_ms=0)
    await connection.close()
    [second, first] = await recent(here, 10)
    assert (first.decision_id, first.agent, first.action, first.route, first.state) == (
        "d1", "guard", "greet", "full", "effective",
    )  # fmt: skip
    assert second.decision_id == "d2"
    found = json.loads(norn(here, tmp_path, "decisions", "--json"))
    listed = {one["decision_id"]: one["until_ms"] for one in found["awaiting_approval"]}
    assert listed == {"d3": put_ms + APPROVAL_MS, "d4": put_ms}
    assert [one["decision_id"] for one in found["recent"]] == ["d2", "d1"]
    assert [one["rule"] for one in found["recent"]] == ["", "proposed"]
    shown = norn(here, tmp_path, "decisions")
    assert "waits for a yes" in shown
    assert "norn approve ID --by NAME" in shown
    assert clock(put_ms + APPROVAL_MS) in shown
    assert "24.0 h" in shown
    with pytest.raises(TooLate):
        await approve(here, ApprovalGiven(decision_id="d4", approver="Ada", approved=True))
    said = json.loads(norn(here, tmp_path, "approve", "d3", "--refuse", "--by", "Ada", "--json"))
    assert (said["decision_id"], said["approved"], said["by"]) == ("d3", False, "Ada")


def shown_harmless(shown: str) -> None:
    raw = {character for character in shown if not character.isprintable()} - {"\n"}
    assert not raw, raw
    assert "<U+202E>" in shown
    assert r"\x1b" in shown


async def test_foreign_text_is_shown_harmless_to_the_person_who_approves(
    servers: Servers, postgres: str, clickhouse: str, tmp_path: Path
) -> None:
    create_topics(servers.kafka)
    here = replace(servers, postgres=postgres, clickhouse=clickhouse)
    odd, put_ms = "\x1b[2J\u202e[red]\x9b\u200b", time.time_ns() // 1_000_000
    facts = [
        DecisionRequested(decision_id=odd, agent=odd, legal_actions=[odd], context=odd, impact=odd),
        DecisionProposed(decision_id=odd, agent=odd, action=odd, content=odd, route=odd),
        ApprovalGiven(decision_id=odd, approver=odd, approved=True, comment=odd),
        DecisionEffective(decision_id=odd, agent=odd, action=odd, route=odd, content=odd),
    ]
    written = Life(partitions=1)
    events = [written.event(fact, odd, (put_ms + n) << 16)[1] for n, fact in enumerate(facts)]
    connection = await asyncpg.connect(postgres)
    await migrate_postgres(connection)
    writer = Writer(PROJECTIONS)
    await writer.prepare(connection)
    waiting = Case("d9", odd, "awaiting_approval", events[0], events[1], due_ms=put_ms + APPROVAL_MS)
    async with connection.transaction():
        await writer.merge(connection, Fold(PROJECTIONS).events(events))
        await Judgements(Database(postgres, Waiting())).store(connection, [waiting], now_ms=0)
    await connection.close()
    migrate(connect(clickhouse))
    place = log_fields("ai.decisions.v1", 0)
    records = [event.SerializeToString() + place(offset) for offset, event in enumerate(events)]
    names = {"decision_requested", "decision_proposed", "approval_given", "decision_effective"}
    Events(clickhouse).insert("ai.decisions.v1", concatenate(records), "foreign", frozenset(names))
    shown_harmless(norn(here, tmp_path, "decisions"))
    shown_harmless(life_shown := norn(here, tmp_path, "decisions", odd))
    assert "comment:" in life_shown
    assert "[red]" in life_shown
    assert norn(here, tmp_path, "decisions", "--json").isascii()
    shown_harmless(norn(here, tmp_path, "approve", "d9", "--by", "Ada"))


@pytest.mark.parametrize("columns", [40, 80])
async def test_an_id_is_whole_however_narrow_the_terminal_is(
    servers: Servers, postgres: str, tmp_path: Path, columns: int
) -> None:
    connection = await asyncpg.connect(postgres)
    await migrate_postgres(connection)
    writer, written, now_ms = Writer(PROJECTIONS), Life(partitions=1), time.time_ns() // 1_000_000
    facts = [DecisionEffective(decision_id=name, agent="guard", action="greet") for name in LONG]
    await writer.prepare(connection)
    async with connection.transaction():
        await writer.merge(connection, Fold(PROJECTIONS).events(written.event(fact, "hero")[1] for fact in facts))
        waiting = [replace(waits(name[:-1] + "w", now_ms), due_ms=now_ms) for name in LONG]
        await Judgements(Database(postgres, Waiting())).store(connection, waiting, now_ms=0)
    await connection.close()
    shown = norn(replace(servers, postgres=postgres), tmp_path, "decisions", columns=columns).split()
    for name in LONG:
        assert name in shown
        assert name[:-1] + "w" in shown


async def test_a_decision_is_told_from_its_request_to_its_cost_each_event_once(
    servers: Servers, clickhouse: str, tmp_path: Path
) -> None:
    migrate(connect(clickhouse))
    values = [event.SerializeToString() for event in happened()]
    place = log_fields("ai.decisions.v1", 0)
    records = [value + place(offset) for offset, value in enumerate([*values, values[0]])]
    names = {"decision_requested", "vote_cast", "decision_proposed", "cost_sampled", "decision_effective"}
    Events(clickhouse).insert("ai.decisions.v1", concatenate(records), "once", frozenset(names))
    told = await life(replace(servers, clickhouse=clickhouse), "d1")
    assert [one.fact for one in told] == [
        "decision_requested", "vote_cast", "decision_proposed", "cost_sampled", "decision_effective",
    ]  # fmt: skip
    assert [one.time_ms for one in told] == [1_000, 1_001, 1_002, 1_003, 1_004]
    assert told[0].fields == {"agent": "guard", "tier": "gold", "legal_actions": ["greet"]}
    assert told[3].fields["cost_usd_micros"] == 12
    here = replace(servers, clickhouse=clickhouse)
    found = json.loads(norn(here, tmp_path, "decisions", "d1", "--json"))["record"]
    assert {name: found["fields"][name] for name in ("status", "action", "rule")} == {
        "status": "effective", "action": "greet", "rule": "proposed",
    }  # fmt: skip
    [proposal] = found["proposals"]
    assert (proposal["event_id"], proposal["origin"]) == (told[2].event_id, told[2].origin)
    shown = norn(here, tmp_path, "decisions", "d1")
    assert "vote_cast" in shown
    assert "cost_usd_micros: 12" in shown
    with pytest.raises(UnknownDecision):
        await life(replace(servers, clickhouse=clickhouse), "nobody's")
