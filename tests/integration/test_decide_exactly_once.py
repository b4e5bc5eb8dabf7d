"""The decide worker, killed between the log and its table: every request has one effect on the log, and in time."""

from __future__ import annotations

import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf.message import Message

from projections.postgres import migrate
from schemas import (
    ApprovalGiven,
    DecisionEffective,
    DecisionProposed,
    DecisionRequested,
    PlayerSaid,
    WorldChanged,
    fact_of,
)
from streams.admin import create_topics
from streams.chaos.log import events
from streams.decisions import NotAwaiting, UnknownDecision, Waiting, approve, awaiting
from streams.embedded import Servers
from streams.judgements import DECISIONS_TOPIC
from streams.sdk import Producer
from tests.deciders import START_WITHIN_S, Deciders
from tests.workers import begin_here, rows

GREET = '{"action":"greet","why":"It is a fine day."}'
# A dead worker's partitions are claimed anew once its session has ended.
AGAIN_S = 40


@pytest.fixture
async def deciders(
    servers: Servers, postgres: str, fresh_name: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[Deciders]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    create_topics(servers.kafka)
    started = Deciders(replace(servers, postgres=postgres), tmp_path, "", fresh_name("decide"))
    await begin_here(started.servers, started.group)
    yield started
    started.close()


class Asking:
    """Writes requests, proposals and approvals about decisions of one test."""

    def __init__(self, deciders: Deciders, name: str, home: Path) -> None:
        self.deciders = deciders
        self.name = name
        self.producer = Producer(deciders.servers.kafka, spill=home / "asking")

    def request(self, number: int, *, agent: str = "guard", within_ms: int = 60_000) -> str:
        decision_id = f"{self.name}-{number}"
        fact = DecisionRequested(
            decision_id=decision_id,
            agent=agent,
            tier=("gold", "silver", "bronze")[number % 3],
            context='{"heard":"Open!"}',
            legal_actions=["greet", "ignore"],
            deadline_ms=time.time_ns() // 1_000_000 + within_ms,
        )
        self.producer.publish(fact, subject=f"hero-{number % 17}")
        return decision_id

    def propose(self, number: int, *, agent: str = "guard", **changes: Any) -> None:
        fields = {"action": "greet", "content": GREET, "route": "full", **changes}
        fact = DecisionProposed(decision_id=f"{self.name}-{number}", agent=agent, **fields)
        self.producer.publish(fact, subject=f"hero-{number % 17}")

    def log(self) -> dict[str, list[Message]]:
        """What the log holds about each decision of this test, each event once."""
        found: dict[str, dict[bytes, Message]] = defaultdict(dict)
        for event in events(self.deciders.servers.kafka, [DECISIONS_TOPIC]):
            fact: Any = fact_of(event)
            if fact.decision_id.startswith(f"{self.name}-"):
                found[fact.decision_id][event.id] = fact
        return {decision_id: list(facts.values()) for decision_id, facts in found.items()}

    async def closed(self, decisions: int, timeout_s: float = AGAIN_S) -> None:
        async def there() -> bool:
            query = "select count(*) from judgements where decision_id like $1 and state in ('effective', 'rejected')"
            return (await rows(self.deciders.servers.postgres, query, f"{self.name}-%"))[0]["count"] >= decisions

        await self.deciders.until(there, timeout_s)


@pytest.fixture
def asking(deciders: Deciders, fresh_name: Callable[[str], str], tmp_path: Path) -> Iterator[Asking]:
    made = Asking(deciders, fresh_name("ask"), tmp_path)
    yield made
    made.producer.close()


def effects(facts: Iterable[Message]) -> list[DecisionEffective]:
    return [fact for fact in facts if isinstance(fact, DecisionEffective)]


async def test_killed_between_the_log_and_the_table_it_decides_nothing_twice(
    deciders: Deciders, asking: Asking
) -> None:
    for part, (dies, after) in enumerate((("unstored", 1), ("published", 20), ("", 0))):
        for number in range(part * 80, part * 80 + 80):
            asking.request(number, within_ms=1 if number % 4 == 0 else 120_000)
            if number % 4:
                asking.propose(number)
                asking.propose(number, action="ignore", content='{"action":"ignore","why":"No."}')
        assert asking.producer.flush(30) == 0
        worker = deciders.start(dies=dies, after=after)
        if dies:
            await deciders.until(lambda worker=worker: worker.poll() is not None, START_WITHIN_S + AGAIN_S)
            assert worker.returncode == -signal.SIGKILL
    await asking.closed(240, START_WITHIN_S + AGAIN_S)
    decided = {decision_id: effects(facts) for decision_id, facts in asking.log().items()}
    assert Counter(map(len, decided.values())) == {1: 240}
    assert Counter(found[0].route for found in decided.values()) == {"full": 180, "rule": 60}
    assert {found[0].action for found in decided.values() if found[0].route == "full"} == {"greet"}


async def test_nothing_stays_unanswered_though_nobody_proposes_and_what_is_refused_has_its_default(
    deciders: Deciders, asking: Asking
) -> None:
    deciders.start()
    asking.request(0, within_ms=1)
    asking.propose(1, action="burn")
    asking.request(1)
    asking.request(2, agent="nobody")
    asking.request(3, agent="warden")
    asking.propose(3, agent="warden")
    asking.request(4, agent="warden")
    asking.propose(4, agent="warden")
    await deciders.claimed()

    found: list[Waiting] = []

    async def put_to_a_person() -> bool:
        found[:] = [
            one for one in await awaiting(asking.deciders.servers, 100) if one.decision_id.startswith(asking.name)
        ]
        return len(found) == 2

    await deciders.until(put_to_a_person, AGAIN_S)
    assert {(one.agent, one.action, one.content) for one in found} == {("warden", "greet", GREET)}
    for number, approved in ((3, True), (4, False)):
        given = ApprovalGiven(decision_id=f"{asking.name}-{number}", approver="Ada", approved=approved)
        assert (await approve(deciders.servers, given)).subject == f"hero-{number}"
    await asking.closed(5)
    log = asking.log()
    kinds = {int(name.rpartition("-")[2]): [type(fact).__name__ for fact in facts] for name, facts in log.items()}
    assert kinds[0] == ["DecisionExpired", "DecisionProposed", "DecisionEffective"]
    assert kinds[1] == ["DecisionProposed", "DecisionRejected", "DecisionEffective"]
    assert kinds[2] == ["DecisionRejected", "DecisionClosed"]
    assert kinds[3] == ["DecisionProposed", "ApprovalRequested", "ApprovalGiven", "DecisionEffective"]
    assert kinds[4] == [
        "DecisionProposed",
        "ApprovalRequested",
        "ApprovalGiven",
        "DecisionRejected",
        "DecisionEffective",
    ]
    with pytest.raises(NotAwaiting):
        await approve(deciders.servers, ApprovalGiven(decision_id=f"{asking.name}-0", approver="Ada"))
    with pytest.raises(UnknownDecision):
        await approve(deciders.servers, ApprovalGiven(decision_id="nobody's", approver="Ada"))
    actions = {name.rpartition("-")[2]: effects(facts)[0].action for name, facts in log.items() if effects(facts)}
    assert actions == {"0": "ignore", "1": "ignore", "3": "greet", "4": "ignore"}


async def test_what_happens_calls_for_decisions_under_the_version_of_the_world_that_was_read(
    deciders: Deciders, asking: Asking
) -> None:
    asking.producer.publish(WorldChanged(version=41), subject="world")
    asking.producer.flush()
    deciders.start()
    await deciders.claimed()

    async def known() -> bool:
        return bool(await rows(deciders.servers.postgres, "select from world_versions where version = 41"))

    await deciders.until(known, AGAIN_S)
    said = asking.producer.publish(PlayerSaid(text="Open!"), subject="hero-1")

    def asked() -> list[DecisionRequested]:
        found = events(deciders.servers.kafka, ["ai.requests.gold.v1"])
        return [event.decision_requested for event in found if event.cause == said]

    await deciders.until(lambda: len(asked()) == 2, AGAIN_S)
    assert {(one.agent, one.world_version) for one in asked()} == {("guard", 41), ("warden", 41)}
