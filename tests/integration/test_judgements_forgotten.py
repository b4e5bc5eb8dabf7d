"""What decide forgets of its table: what was closed long ago, and nothing else; and what a late word of it comes to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from inference.court import GRACE_MS, Case
from projections import PROJECTIONS
from projections.fold import Fold
from projections.migrations import migrations
from projections.postgres import Writer, migrate
from schemas import ApprovalGiven, DecisionClosed, DecisionEffective, DecisionRejected, Event
from schemas.stamps import pack
from schemas.topics import DAY_MS
from streams import judgements
from streams.database import Database, Waiting
from streams.decisions import recent
from streams.embedded import Servers
from streams.judgements import KEPT_MS, Judgements
from streams.statements import statement
from tests.judging import DECISIONS, GREET, NOW_MS, PARTITION, REQUESTS, SUBJECT, Bench, proposal, request
from tests.log import Life
from tests.waiting import eventually_async

LATER_MS = NOW_MS + KEPT_MS
ELSEWHERE = "hero-2"
STATES = "select decision_id, state::text from judgements"


@pytest.fixture
async def connection(postgres: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    yield connection
    await connection.close()


@pytest.fixture
async def table(connection: Any, postgres: str) -> AsyncIterator[Judgements]:
    database = Database(postgres, Waiting())
    yield Judgements(database)
    await database.close()


@pytest.fixture
async def bench(connection: Any, postgres: str, fresh_name: Callable[[str], str]) -> AsyncIterator[Bench]:
    async with Bench(postgres, fresh_name("forgets"), {}).sitting() as made:
        yield made


def about(decision_id: str, number: int = 1) -> Event:
    return Life(partitions=2).event(request(decision_id=decision_id), SUBJECT, pack(NOW_MS + number))[1]


async def ids(connection: Any) -> set[str]:
    return {row["decision_id"] for row in await connection.fetch("select decision_id from judgements")}


async def closed_at(connection: Any) -> dict[str, int | None]:
    return {row[0]: row[1] for row in await connection.fetch("select decision_id, closed_ms from judgements")}


async def test_what_was_closed_long_ago_goes_and_all_else_stays(connection: Any, table: Judgements) -> None:
    cases = [
        Case("decided", SUBJECT, "effective"),
        Case("refused", SUBJECT, "rejected"),
        Case("unasked", SUBJECT),
        Case("elsewhere", ELSEWHERE, "effective"),
        Case("open", SUBJECT, "open", about("open"), due_ms=NOW_MS + 1),
        Case("awaiting", SUBJECT, "awaiting_approval", about("awaiting"), due_ms=NOW_MS + 1),
        Case("held", SUBJECT, proposal=about("held"), due_ms=NOW_MS + 1),
    ]
    await table.store(connection, cases, NOW_MS)
    await table.store(connection, [Case("lately", SUBJECT, "effective")], NOW_MS + 1)
    assert await table.forget([PARTITION], LATER_MS) == 0
    assert await table.forget([PARTITION], LATER_MS + 1) == 3
    assert await ids(connection) == {"elsewhere", "open", "awaiting", "held", "lately"}
    assert await table.forget([1 - PARTITION], LATER_MS + 1) == 1
    assert await table.forget([0, 1], LATER_MS + 2) == 1
    assert await ids(connection) == {"open", "awaiting", "held"}


async def test_it_is_closed_from_the_moment_that_nothing_is_left_to_do(connection: Any, table: Judgements) -> None:
    asked = Case("asked", SUBJECT, "open", about("asked"), due_ms=NOW_MS + 1)
    unasked, decided = Case("unasked", SUBJECT), Case("decided", SUBJECT, "effective")
    await table.store(connection, [asked, unasked, decided], 1)
    assert await closed_at(connection) == {"asked": None, "unasked": 1, "decided": 1}
    # Another worker, which knows less of it, stores later what it has read.
    less = Case("decided", SUBJECT, "open", about("decided"), due_ms=NOW_MS + 1)
    await table.store(connection, [replace(asked, state="effective", request=None, due_ms=None), less], 2)
    await table.store(connection, [replace(asked, decision_id="unasked", request=about("unasked"))], 2)
    assert await closed_at(connection) == {"asked": 2, "unasked": None, "decided": 1}
    await table.store(connection, [Case("unasked", SUBJECT, "effective"), Case("asked", SUBJECT, "effective")], 3)
    assert await closed_at(connection) == {"asked": 2, "unasked": 3, "decided": 1}


async def test_much_that_is_closed_goes_in_batches_and_none_reads_the_whole_table(
    connection: Any, table: Judgements, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute(
        "insert into judgements (decision_id, subject, partition, state, closed_ms)"
        " select 'd' || n, 'hero', n % 2, 'effective', case when n <= 3000 then 1 else $1::bigint end"
        " from generate_series(1, 60000) n",
        NOW_MS,
    )
    await connection.execute("analyze judgements")
    plan = await connection.fetchval("explain (format json) " + statement("forget_judgements"), [0, 1], 2, 1000)
    scans: set[tuple[str, str | None]] = set()

    def look(node: dict[str, Any]) -> None:
        if "Scan" in node["Node Type"]:
            scans.add((node["Node Type"], node.get("Index Name")))
        for below in node.get("Plans", ()):
            look(below)

    look(json.loads(plan)[0]["Plan"])
    assert not {kind for kind, _ in scans if kind == "Seq Scan"}
    assert {index for _, index in scans if index} == {"judgements_closed", "judgements_pkey"}
    monkeypatch.setattr(judgements, "FORGOTTEN_MAX", 2_000)
    assert [await table.forget([0, 1], KEPT_MS + 2) for _ in range(3)] == [2_000, 1_000, 0]


async def test_what_was_closed_before_there_was_a_word_of_when_counts_from_the_migration(postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    await connection.execute("create table migrations (name text primary key, checksum text, applied_at timestamptz)")
    for one in (one for one in migrations("postgres") if one.name < "0007"):
        await connection.execute(one.sql)
        await connection.execute("insert into migrations values ($1, $2, now())", one.name, one.checksum)
    insert = "insert into judgements (decision_id, subject, partition, state, due_ms) values ($1, 'hero', 0, $2, $3)"
    before = [("decided", "effective", None), ("refused", "rejected", None), ("held", "held", None)]
    open_ones = [("open", "open", 5), ("awaiting", "awaiting_approval", 5)]
    await connection.executemany(insert, before + open_ones)
    now_ms = await connection.fetchval("select (extract(epoch from now()) * 1000)::bigint")
    await migrate(connection)
    found = await closed_at(connection)
    assert {name for name, at_ms in found.items() if at_ms is None} == {"open", "awaiting"}
    assert {at_ms - now_ms < DAY_MS for at_ms in found.values() if at_ms is not None and at_ms >= now_ms} == {True}
    assert sum(at_ms is not None and at_ms >= now_ms for at_ms in found.values()) == 3
    await connection.execute(insert, "later", "open", 5)
    assert (await closed_at(connection))["later"] is None
    await connection.close()


async def stand(connection: Any, expected: dict[str, str]) -> None:
    async def there() -> bool:
        assert {row[0]: row[1] for row in await connection.fetch(STATES)} == expected
        return True

    await eventually_async(there)


async def test_the_owner_forgets_in_its_sweep_and_a_late_word_of_it_has_no_effect(
    connection: Any, bench: Bench
) -> None:
    names = ("asked-again", "proposed-late", "approved-late", "told-again")
    stay = {"open": "open", "awaiting": "awaiting_approval"}
    long = [
        request(LATER_MS + DAY_MS, name, agent=agent) for name, agent in (("open", "guard"), ("awaiting", "warden"))
    ]
    bench.poll(REQUESTS, *(request(decision_id=name) for name in names), *long)
    bench.poll(DECISIONS, *map(proposal, names), proposal("awaiting", agent="warden"))
    await stand(connection, stay | dict.fromkeys(names, "effective"))
    bench.now_ms = LATER_MS
    bench.poll(REQUESTS, request(LATER_MS + 1_000, "lately"), at_ms=LATER_MS)
    bench.poll(DECISIONS, proposal("lately"), at_ms=LATER_MS)
    stay["lately"] = "effective"
    await stand(connection, stay | dict.fromkeys(names, "effective"))
    bench.now_ms = late_ms = LATER_MS + DAY_MS // 2
    await stand(connection, stay)

    bench.written.facts.clear()
    bench.poll(REQUESTS, request(decision_id="asked-again"))
    bench.poll(
        DECISIONS,
        proposal("proposed-late"),
        ApprovalGiven(decision_id="approved-late", approver="Ada", approved=True),
        DecisionEffective(decision_id="told-again", agent="guard", action="greet", content=GREET),
        at_ms=late_ms,
    )
    again = {"asked-again": "rejected", "proposed-late": "held", "approved-late": "held", "told-again": "effective"}
    await stand(connection, stay | again)
    assert said(bench) == [("asked-again", "overdue")]
    bench.now_ms = late_ms + GRACE_MS
    await eventually_async(lambda: len(said(bench)) > 1)
    assert said(bench)[1:] == [("proposed-late", "no_request")]
    # What called for it asks for it anew: a new event, with the id and the deadline that it had.
    bench.poll(REQUESTS, *(request(decision_id=name) for name in names), at_ms=bench.now_ms)
    await stand(connection, stay | again | {"proposed-late": "rejected", "approved-late": "rejected"})
    # That a proposal was rejected for want of a request does not stand for the request's own rejection.
    assert sorted(said(bench)[2:]) == [("approved-late", "overdue"), ("proposed-late", "overdue")]


def said(bench: Bench) -> list[tuple[str, str]]:
    """The rejections that were written; nothing else may have been but that the decision is closed."""
    facts = bench.written.facts
    assert all(isinstance(fact, DecisionRejected | DecisionClosed) for fact in facts)
    return [(fact.decision_id, fact.reason.partition(":")[0]) for fact in facts if isinstance(fact, DecisionRejected)]


async def test_a_decision_that_took_effect_is_listed_so_after_it_is_forgotten_and_after_it_was_asked_again(
    connection: Any, table: Judgements, servers: Servers, postgres: str
) -> None:
    happened = facts_of(request(), proposal(), DecisionEffective(decision_id="d1", agent="guard", action="greet"))
    writer = Writer(PROJECTIONS)
    await writer.prepare(connection)
    async with connection.transaction():
        await writer.merge(connection, Fold(PROJECTIONS).events(happened))
    here = replace(servers, postgres=postgres)
    assert [(one.decision_id, one.state) for one in await recent(here, 10)] == [("d1", "effective")]
    await table.store(connection, [Case("d1", SUBJECT, "rejected")], NOW_MS)
    assert [(one.decision_id, one.state) for one in await recent(here, 10)] == [("d1", "effective")]


def facts_of(*facts: Any) -> list[Event]:
    life = Life(partitions=2)
    return [life.event(fact, SUBJECT, pack(NOW_MS + number))[1] for number, fact in enumerate(facts)]
