"""A game server that speaks HTTP asks for decisions: each is asked for once, and its answer comes with the actions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas import DecisionEffective, fact_of
from streams.bridge.client import Action, BridgeClient
from streams.chaos.log import events
from streams.embedded import Servers
from streams.judgements import DECISIONS_TOPIC
from tests.answerers import Answerers
from tests.bridges import bridge, execute, logged, prepared
from tests.deciders import START_WITHIN_S
from tests.integration.test_bridge import COMPLETE, DISPATCH, PENDING, ask, post
from tests.waiting import WITHIN_S
from tests.workers import begin_here

HELLO = {"npc": "smith", "said": "Hello there!"}
# Longer than the workers take to start, so that it is they who answer and not the deadline.
DEADLINE_MS = 600_000


@pytest.fixture
async def there(kafka: str, postgres: str) -> Servers:
    return await prepared(kafka, postgres)


@pytest.fixture
async def answerers(
    servers: Servers, there: Servers, fresh_name: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[Answerers]:
    started = Answerers(replace(servers, postgres=there.postgres), tmp_path, "", fresh_name("ask"))
    for role in ("decide", "infer", "fold"):
        await begin_here(started.servers, f"{started.group}-{role}")
    yield started
    started.close()


def asking(client: str, sequence: int = 1, player_id: str = "astrid", **changes: Any) -> dict[str, Any]:
    request = {"agent": "dialogue", "context": json.dumps(HELLO), **changes}
    return {"client": client, "events": [{"sequence": sequence, "player_id": player_id, "decision_requested": request}]}


def effects(kafka: str, decision_id: str) -> list[DecisionEffective]:
    facts = {event.id: fact_of(event) for event in events(kafka, [DECISIONS_TOPIC])}
    return [one for one in facts.values() if isinstance(one, DecisionEffective) and one.decision_id == decision_id]


async def test_what_a_game_asks_for_is_answered_once_with_the_actions(
    there: Servers, answerers: Answerers, fresh_name: Callable[[str], str], tmp_path: Path
) -> None:
    for role in ("decide", "infer", "fold"):
        answerers.work(role)
    hero, client, done = fresh_name("hero"), fresh_name("game"), list[Action]()
    async with bridge(there) as served:
        deadline_ms = time.time_ns() // 1_000_000 + DEADLINE_MS
        said = asking(client, player_id=hero, deadline_ms=deadline_ms)
        _, first, _ = await post(served.make_url(DISPATCH), json=said)
        _, again, _ = await post(served.make_url(DISPATCH), json=said)
        assert (first["accepted"], again["repeated"]) == (1, 1)
        assert first["asked"] == again["asked"]
        decision_id = first["asked"][0]["decision_id"]
        pending = f"{served.make_url(PENDING)}?subjects={hero}"

        async def listed() -> list[Any]:
            found: list[Any] = (await ask(pending))[1]["actions"]
            return found

        await answerers.until(listed, START_WITHIN_S)
        (action,) = await listed()
        assert (action["decision_id"], action["subject"], action["agent"]) == (decision_id, hero, "dialogue")
        assert action["action"] == "answer"
        assert json.loads(action["content"])["line"]
        assert json.loads(action["about"]) == {"npc": "smith"}
        completion = {"decision_id": decision_id, "outcome": "succeeded"}
        assert (await post(served.make_url(COMPLETE), json=completion))[1]["repeated"] is False
        assert await listed() == []

        sidecar = BridgeClient(str(served.make_url("/")), dead_letters=tmp_path / "dlq.log", flush_s=0.05)
        own = sidecar.ask("dialogue", HELLO, player_id=hero, deadline_ms=deadline_ms)
        sidecar.act(done.append, subjects=[hero], poll_s=0.05)
        await answerers.until(lambda: done)
        assert await asyncio.to_thread(sidecar.close, WITHIN_S) == 0
    assert [(one.decision_id, one.action) for one in done] == [(own, "answer")]
    (request,) = [event.decision_requested for event in await logged(there, client)]
    assert (request.decision_id, request.deadline_ms) == (decision_id, deadline_ms)
    for asked in (decision_id, own):
        (effect,) = effects(there.kafka, asked)
        assert effect.route == "rule"


async def test_what_nobody_could_answer_is_refused_and_its_neighbours_are_not(there: Servers) -> None:
    wrong = [
        {"agent": "smith"},
        {"legal_actions": ["refuse", "greet"]},
        {"deadline_ms": 1},
        {"context": json.dumps({"said": "x" * 9_000})},
    ]
    said: dict[str, Any] = {"client": "c1", "events": []}
    for number, changes in enumerate([*wrong, {}], start=1):
        said["events"] += asking("c1", number, **changes)["events"]
    async with bridge(there) as served:
        status, answer, _ = await post(served.make_url(DISPATCH), json=said)
        assert (status, answer["accepted"], answer["expected"]) == (200, 1, 6)
        assert [(one["index"], one["reason"]) for one in answer["refused"]] == [
            (0, "unknown_agent"),
            (1, "illegal_actions"),
            (2, "deadline_passed"),
            (3, "context_too_large"),
        ]
        assert [one["sequence"] for one in answer["asked"]] == [5]
    assert len(await logged(there, "c1")) == 1


async def test_a_request_knows_the_worlds_version(there: Servers) -> None:
    await execute(there.postgres, "insert into world_versions (version) values (3)")
    async with bridge(there) as served:
        await post(served.make_url(DISPATCH), json=asking("c2"))
    (event,) = await logged(there, "c2")
    assert event.decision_requested.world_version == 3
