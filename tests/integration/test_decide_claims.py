"""What a decide worker may publish after a claim: nothing that the log may hold already, and nothing once fenced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import asyncpg
from faust.types import TP

from inference.asking import Asking
from projections.migrations import migrations
from projections.postgres import migrate
from schemas import DecisionEffective, PlayerSaid
from streams.positions import Positions
from tests.deciders import AGENTS
from tests.judging import DECISIONS, GREET, NOW_MS, REQUESTS, Bench, proposal, request
from tests.waiting import eventually_async
from tests.workers import rows

SAID = TP("players.actions.v1", 0)


async def test_what_was_asked_before_there_was_a_table_of_judgements_is_not_answered_again(postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    first, *_ = migrations("postgres")
    await connection.execute(first.sql)
    await connection.execute("create table migrations (name text primary key, checksum text, applied_at timestamptz)")
    await connection.execute("insert into migrations values ($1, $2, now())", first.name, first.checksum)
    stood = [
        ("norn-fold", REQUESTS.topic, 1, 70),
        ("norn-fold", DECISIONS.topic, 1, 90),
        ("norn-decide", DECISIONS.topic, 1, 88),
    ]
    insert = "insert into positions (group_name, topic, partition, next_offset, epoch) values ($1, $2, $3, $4, 1)"
    await connection.executemany(insert, stood)
    await migrate(connection)
    query = "select topic, next_offset from positions where group_name = 'norn-decide' order by topic"
    assert [tuple(row) for row in await connection.fetch(query)] == [(DECISIONS.topic, 88), (REQUESTS.topic, 70)]
    await connection.close()


async def test_what_is_asked_once_in_a_while_is_put_on_the_log_once_though_much_calls_for_it(
    migrated: str, fresh_name: Callable[[str], str]
) -> None:
    seldom = {"guard": replace(AGENTS["guard"], asking=Asking(every_s=600))}
    bench = Bench(migrated, fresh_name("seldom"), {}, seldom)
    async with bench.sitting(SAID):
        bench.poll(SAID, *[PlayerSaid(text=f"Open! {n}") for n in range(50)])
        await bench.stored(SAID, 50)
        bench.poll(SAID, PlayerSaid(text="Open, I say!"))
        await bench.stored(SAID, 51)
        assert bench.written.kinds.count("DecisionRequested") == 1
        bench.poll(SAID, PlayerSaid(text="Still here."), at_ms=NOW_MS + 600_000)
        await bench.stored(SAID, 52)
        assert bench.written.kinds.count("DecisionRequested") == 2


async def test_after_a_claim_nothing_is_ruled_on_before_the_log_has_been_read_to_its_end(
    migrated: str, fresh_name: Callable[[str], str]
) -> None:
    bench = Bench(migrated, fresh_name("claims"), {DECISIONS: 3})
    await bench.positions.claim([REQUESTS, DECISIONS])
    running = asyncio.create_task(bench.run())
    bench.poll(REQUESTS, request(), request(deadline_ms=NOW_MS - 1, decision_id="d2"))
    await bench.stored(REQUESTS, 2)
    bench.poll(DECISIONS, proposal())
    await bench.stored(DECISIONS, 1)
    # Two sweeps' time later, nobody has been told anything.
    swept = asyncio.get_running_loop().time()
    await eventually_async(lambda: asyncio.get_running_loop().time() - swept > 0.6)
    assert bench.written.facts == []
    bench.poll(DECISIONS, DecisionEffective(decision_id="d1", agent="guard", action="greet", content=GREET))
    await bench.stored(DECISIONS, 2)
    bench.poll(DECISIONS, proposal("unasked"))
    await bench.stored(DECISIONS, 3)

    async def effective() -> bool:
        return bool(await rows(migrated, "select from judgements where decision_id = 'd2' and state = 'effective'"))

    await eventually_async(effective)
    bench.polls.put_nowait(None)
    await running
    assert bench.written.kinds == ["DecisionExpired", "DecisionProposed", "DecisionEffective"]
    assert {fact.decision_id for fact in bench.written.facts} == {"d2"}  # type: ignore[attr-defined]
    found = await rows(migrated, "select decision_id, state::text from judgements order by decision_id")
    assert [tuple(row) for row in found] == [("d1", "effective"), ("d2", "effective"), ("unasked", "held")]
    await bench.database.close()


async def test_a_worker_whose_partition_was_claimed_publishes_nothing(
    migrated: str, fresh_name: Callable[[str], str]
) -> None:
    group = fresh_name("claims")
    bench = Bench(migrated, group, {})
    await bench.positions.claim([REQUESTS, DECISIONS])
    running = asyncio.create_task(bench.run())
    bench.poll(REQUESTS, request())
    await bench.stored(REQUESTS, 1)
    successor = Positions(group, bench.database, lambda: bench.now_ms)
    await successor.claim([REQUESTS, DECISIONS])
    bench.poll(DECISIONS, proposal())
    await eventually_async(lambda: bench.metrics.registry.get_sample_value("norn_fenced_total", {"role": "decide"}))
    bench.polls.put_nowait(None)
    await running
    assert bench.written.facts == []
    assert successor.next_offsets[DECISIONS] == 0
    await bench.database.close()


async def test_a_request_and_a_proposal_stored_by_two_workers_at_once_meet(
    migrated: str, fresh_name: Callable[[str], str]
) -> None:
    asked, judging = Bench(migrated, fresh_name("claims"), {}), Bench(migrated, fresh_name("claims"), {})
    await asked.positions.claim([REQUESTS])
    await judging.positions.claim([DECISIONS])
    both = [asyncio.create_task(bench.run()) for bench in (asked, judging)]
    asked.poll(REQUESTS, request())
    judging.poll(DECISIONS, proposal())
    await eventually_async(lambda: judging.written.kinds == ["DecisionEffective"])
    for bench, running in zip((asked, judging), both, strict=True):
        bench.polls.put_nowait(None)
        await running
        await bench.database.close()
    assert asked.written.facts == []
