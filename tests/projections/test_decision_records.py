"""A decision's record is what happened: whatever anybody writes, `decisions` and `actions` say what the court did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import asyncpg
import clickhouse_connect
import pytest
from hypothesis import given, settings

from inference.court import APPROVAL_MS, GRACE_MS
from projections import clickhouse as history
from projections import postgres as truth
from projections.catalog.actions import actions
from projections.catalog.decisions import decisions
from projections.decoding import Decoder
from projections.fold import Fold
from projections.memory import Memory
from projections.records import INSERT_SETTINGS, concatenate, log_fields
from schemas import ApprovalGiven, DecisionProposed, Event, PlayerLevelled
from schemas.stamps import time_ms
from tests.lives import DEADLINE_MS, GREET, IGNORE, NOW_MS, STEPS, UNSAFE, Lives, lived, once, request
from tests.projections.test_faces import IN_A_DATABASE, in_their_own, plain, same

BOTH = (decisions, actions)
Values = dict[tuple[Any, ...], dict[str, Any]]


def remembered(lives: Lives) -> list[Values]:
    """Both projections in plain Python."""
    return [memory.values(memory.fold_all(once(lives.log))) for memory in map(Memory, BOTH)]


def said(lives: Lives, fact: str, decision_id: str) -> list[Event]:
    """The events of one fact that the court has written of a decision."""
    return [event for event in lives.said if event.HasField(fact) and getattr(event, fact).decision_id == decision_id]


def agree(lives: Lives, record: Values, done: Values) -> None:
    """The record and the actions agree with each other, and with what the court has done."""
    for key, row in record.items():
        (decision_id,) = key
        act = done.get(key, {})
        assert (row["action"], row["content"], row["impact"]) == (
            act.get("action"), act.get("content"), act.get("impact"),
        )  # fmt: skip
        effects, closings = (said(lives, end, decision_id) for end in ("decision_effective", "decision_closed"))
        assert len(effects) + len(closings) <= 1
        if effects:
            took_effect(lives, row, effects[0])
        elif closings:
            end = closings[0].decision_closed
            assert (row["status"], row["reason"], row["action"]) == ("closed", end.reason, None)
            assert (act["reason"], act["called_by"], act["agent"]) == (end.reason, end.called_by, end.agent)
        else:
            assert row["status"] not in ("effective", "closed")
            assert row["action"] is None
        asked_people(lives, decision_id, row)
        every_proposal_stands(lives, decision_id, row)


def took_effect(lives: Lives, row: dict[str, Any], event: Event) -> None:
    effect = event.decision_effective
    assert (row["status"], row["action"], row["content"]) == ("effective", effect.action, effect.content)
    assert (row["rule"] in ("proposed", "approved")) == bool(row["proposal_id"])
    if row["proposal_id"]:
        made = row["proposals"][(row["proposal_id"],)]
        assert (made["action"], made["content"]) == (row["action"], row["content"])
        assert (row["proposal_id"],) not in row["rejections"]
    else:
        # Nobody's words but the agent's own.
        assert row["action"] == "ignore"
        assert "gate" in row["content"]
    assert row["called_by"] in {one.id.hex() for one in lives.log if one.HasField("decision_requested")}


def asked_people(lives: Lives, decision_id: str, row: dict[str, Any]) -> None:
    put = said(lives, "approval_requested", decision_id)
    ended = row["status"] in ("effective", "closed")
    status = row["approval_status"]
    if not put:
        assert status in ("none", None)
        assert not row["approver"]
        return
    if not ended:
        assert status == "waiting"
        return
    assert status in ("approved", "refused", "lapsed")
    answers = [given for (_, given) in sorted(row["answers"].items()) if time_ms(given["stamp"]) == row["answered_ms"]]
    if status == "lapsed":
        assert not row["answered_ms"]
    else:
        assert (status == "approved") in {given["approved"] for given in answers}
        assert (row["action"] == row["review_action"]) == (status == "approved")


def every_proposal_stands(lives: Lives, decision_id: str, row: dict[str, Any]) -> None:
    made = [one for one in once(lives.log) if one.decision_proposed.decision_id == decision_id]
    assert {key: (entry["origin"], entry["action"]) for (key,), entry in row["proposals"].items()} == {
        one.id.hex(): (one.origin, one.decision_proposed.action) for one in made
    }
    for event in said(lives, "decision_rejected", decision_id):
        fact = event.decision_rejected
        assert row["rejections"][(fact.proposal_id,)]["reason"]
        if fact.proposal_id:
            assert fact.action == row["proposals"][(fact.proposal_id,)]["action"]


@settings(max_examples=300)
@given(STEPS)
def test_the_record_and_the_actions_say_what_the_court_did(steps: list[Any]) -> None:
    lives = lived(steps)
    agree(lives, *remembered(lives))


@given(STEPS)
def test_columns_give_the_rows_of_a_life_that_python_gives(steps: list[Any]) -> None:
    log = once(lived(steps).log)
    fold, decoder = Fold(BOTH), Decoder(BOTH)
    one, other = fold.events(log), fold.columns(decoder.columns([event.SerializeToString() for event in log]))
    assert {name: plain(rows) for name, rows in one.items()} == {name: plain(rows) for name, rows in other.items()}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_postgres_says_the_same_of_every_life(postgres: str, runner: asyncio.Runner) -> None:
    fold, writer = Fold(BOTH), truth.Writer(BOTH)
    connection: Any = runner.run(asyncpg.connect(postgres))
    runner.run(truth.migrate(connection, BOTH, ()))

    async def folded(lives: Lives) -> list[Values]:
        await connection.execute(f"truncate {', '.join(table.by_region for table in fold.tables)}")
        async with connection.transaction():
            await writer.merge(connection, fold.events(once(lives.log)))
        return [await truth.read(connection, projection) for projection in BOTH]

    @IN_A_DATABASE
    @given(STEPS)
    def holds(steps: list[Any]) -> None:
        lives = lived(steps)
        found = runner.run(folded(lives))
        agree(lives, *found)
        for values, wanted in zip(found, remembered(lives), strict=True):
            same(values, wanted)

    holds()
    runner.run(connection.close())


def test_clickhouse_says_the_same_of_every_life(clickhouse: str) -> None:
    client: Any = clickhouse_connect.get_client(dsn=clickhouse, autogenerate_session_id=False)
    history.migrate(client, BOTH, ())
    inserts = count()
    tables = {history.state_name(table) for projection in BOTH for table in projection.tables}

    @IN_A_DATABASE
    @given(STEPS)
    def holds(steps: list[Any]) -> None:
        lives = lived(steps)
        for table in tables:
            client.command(f"truncate table {table}")
        located = log_fields("topic", 3)
        for table, some in in_their_own(once(lives.log)):
            client.raw_insert(
                table.name,
                table.insert_columns({fact for event in some if (fact := event.WhichOneof("fact"))}),
                insert_block=concatenate([event.SerializeToString() + located(at) for at, event in enumerate(some)]),
                fmt="Protobuf",
                settings={**INSERT_SETTINGS, "insert_deduplication_token": f"life {next(inserts)}"},
            )
        found = [history.read(client, projection) for projection in BOTH]
        agree(lives, *found)
        for values, wanted in zip(found, remembered(lives), strict=True):
            same(values, wanted)

    holds()
    client.close()


def asked(decision_id: str, agent: str) -> Any:
    return request(agent, decision_id), "game", "eu", 0


def proposed(decision_id: str, agent: str, action: str = "greet", content: str = GREET, by: str = "infer") -> Any:
    fact = DecisionProposed(decision_id=decision_id, agent=agent, action=action, content=content, route="full")
    return fact, by, "eu", 0


def answered(decision_id: str, approved: bool, by: str = "Ada") -> Any:
    return ApprovalGiven(decision_id=decision_id, approver=by, approved=approved, comment="seen"), "approve", "eu", 0


WORK, LATE_MS = ("work", None), DEADLINE_MS - NOW_MS + 1
#: What happens to the decision d1, and what its record says then.
LIVES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "a proposal in order": (
        [asked("d1", "guard"), proposed("d1", "guard")],
        {"status": "effective", "action": "greet", "rule": "proposed", "approval_status": "none"},
    ),
    "a forged one and then a good one": (
        [
            asked("d1", "guard"),
            proposed("d1", "guard", content=UNSAFE, by="forger"),
            WORK,
            proposed("d1", "guard"),
        ],
        {"status": "effective", "action": "ignore", "rule": "default", "content": IGNORE, "proposal_id": None},
    ),
    "a second one": (
        [asked("d1", "guard"), proposed("d1", "guard"), proposed("d1", "guard", "ignore", IGNORE), WORK],
        {"status": "effective", "action": "greet", "rule": "proposed"},
    ),
    "a late one": (
        [asked("d1", "guard"), LATE_MS, proposed("d1", "guard"), WORK],
        {"action": "ignore", "rule": "deadline", "reason": "late: it came 1 ms after the deadline"},
    ),
    "none": (
        [asked("d1", "guard"), LATE_MS, WORK],
        {"status": "effective", "action": "ignore", "rule": "deadline", "approval_status": "none"},
    ),
    "one that waits, and an answer before it was put to anybody": (
        [asked("d1", "warden"), answered("d1", True), proposed("d1", "warden"), WORK],
        {"status": "waiting", "action": None, "approval_status": "waiting", "approver": None, "review_action": "greet"},
    ),
    "a yes, and a no after it": (
        [asked("d1", "warden"), proposed("d1", "warden"), WORK, 5, answered("d1", True), answered("d1", False, "Bob")],
        {"action": "greet", "rule": "approved", "approval_status": "approved", "approver": "Ada"},
    ),
    "a no, and a yes after it": (
        [asked("d1", "warden"), proposed("d1", "warden"), WORK, 5, answered("d1", False), answered("d1", True, "Bob")],
        {
            "status": "effective", "action": "ignore", "rule": "default", "approval_status": "refused",
            "approver": "Ada", "comment": "seen", "answered_ms": NOW_MS + 5, "reason": "refused: by Ada: seen",
        },
    ),
    "silence, and a yes after it": (
        [asked("d1", "warden"), proposed("d1", "warden"), WORK, APPROVAL_MS + 1, answered("d1", True), WORK],
        {"status": "effective", "action": "ignore", "approval_status": "lapsed", "approver": None, "answered_ms": 0},
    ),
    "a no where nothing else may happen": (
        [asked("d1", "keeper"), proposed("d1", "keeper"), WORK, answered("d1", False), WORK],
        {"status": "closed", "action": None, "content": None, "approval_status": "refused", "approver": "Ada"},
    ),
    "an agent that there is not": (
        [asked("d1", "nobody"), proposed("d1", "nobody")],
        {"status": "closed", "action": None, "approval_status": "none"},
    ),
    "one that nobody has asked for": (
        [proposed("d1", "guard"), WORK, GRACE_MS, WORK],
        {"status": "rejected", "action": None, "approval_status": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVES)
def test_the_record_of_a_life_with(name: str) -> None:
    steps, wanted = LIVES[name]
    lives = lived(steps)
    record, done = remembered(lives)
    agree(lives, record, done)
    row = record[("d1",)]
    assert {column: row[column] for column in wanted} == wanted


def test_an_effect_names_the_event_that_called_for_it() -> None:
    lives = Lives()
    levelled = lives.write(PlayerLevelled(level=3), origin="game")
    lives.write(request("guard", "d1"), origin="decide", cause=levelled.id)
    own = lives.write(request("keeper", "d2"), origin="game")
    for name, agent in (("d1", "guard"), ("d2", "keeper")):
        lives.write(DecisionProposed(decision_id=name, agent=agent, action="burn", content=GREET), origin="infer")
    lives.work()
    _, done = remembered(lives)
    called = {key: (row["action"], row["called_by"]) for (key,), row in done.items()}
    assert called == {"d1": ("ignore", levelled.id.hex()), "d2": (None, own.id.hex())}
