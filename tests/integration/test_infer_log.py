"""The infer worker on a real log: killed, kept waiting, paused and joined, it leaves no request without its answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from inference.worker import IN_FLIGHT_MIN
from projections.postgres import migrate
from schemas import TIERS, DecisionProposed, DecisionRequested, fact_of
from streams.admin import create_topics
from streams.chaos.log import events
from streams.embedded import Servers
from streams.processors.infer import PIECE_RECORDS, POLL_EVENTS_MAX
from tests.inferrers import SLOW, Inferrers
from tests.log import Life, create_topic, write
from tests.workers import rows, standing

PARTITIONS = 4
# Longer than any of these tests may take: what is answered is answered by the model.
DEADLINE_MS = 600_000


@pytest.fixture
async def inferrers(
    servers: Servers, postgres: str, fresh_name: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[Inferrers]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    create_topics(servers.kafka)
    topic = fresh_name("infer")
    for tier in TIERS:
        create_topic(servers.kafka, f"{topic}_{tier}", PARTITIONS)
    started = Inferrers(replace(servers, postgres=postgres), tmp_path, topic, topic)
    yield started
    started.close()


def ask(
    inferrers: Inferrers, tier: str, numbers: Iterable[int], *, slow_every: int = 0, subject: str = ""
) -> list[str]:
    """Requests of a tier on the log; what each heard is its own, so that no answer serves twice."""
    life, written, ids = Life(PARTITIONS), [], []
    for number in numbers:
        ids.append(f"{inferrers.group}-{tier}-{number}")
        heard = SLOW if slow_every and number % slow_every == slow_every - 1 else ""
        fact = DecisionRequested(
            decision_id=ids[-1],
            agent="guard",
            tier=tier,
            context=f'{{"heard":"{heard} {ids[-1]}"}}',
            legal_actions=["greet", "ignore"],
            deadline_ms=time.time_ns() // 1_000_000 + DEADLINE_MS,
            cost_cap_usd_micros=1_000_000,
        )
        partition, event = life.event(fact, subject or f"hero-{number % 17}")
        written.append((partition, event.SerializeToString()))
    write(inferrers.servers.kafka, f"{inferrers.topic}_{tier}", written)
    return ids


def proposed(inferrers: Inferrers) -> Counter[str]:
    """How often each decision of this test was proposed; every proposal is the model's."""
    found: Counter[str] = Counter()
    for event in events(inferrers.servers.kafka, ["ai.decisions.v1"]):
        fact = fact_of(event)
        if isinstance(fact, DecisionProposed) and fact.decision_id.startswith(f"{inferrers.group}-"):
            assert (fact.action, fact.route) == ("greet", "full"), fact
            found[fact.decision_id] += 1
    return found


async def test_kill_9_amid_work_leaves_no_request_unanswered_and_repeats_only_what_was_in_hand(
    inferrers: Inferrers,
) -> None:
    wanted = [decision for tier in TIERS for decision in ask(inferrers, tier, range(300), slow_every=20)]
    worker = inferrers.start()
    # The engine is filled with what it keeps, some is answered, and of that some is stored.
    await inferrers.stored(1)
    await inferrers.until(lambda: len(proposed(inferrers)) > PIECE_RECORDS)
    inferrers.kill(worker)
    inferrers.go.touch()
    inferrers.start()
    await inferrers.stored(len(wanted))
    found = proposed(inferrers)
    assert set(found) == set(wanted)
    # What was in flight, and what was answered behind it in pieces that could not be stored yet.
    in_hand = len(TIERS) * (IN_FLIGHT_MIN + POLL_EVENTS_MAX) + len(TIERS) * PARTITIONS * PIECE_RECORDS
    assert sum(found.values()) - len(wanted) <= in_hand
    state = await standing(inferrers.servers.postgres, inferrers.group)
    assert state == {"offsets": len(wanted), "events": len(wanted), "holes": 0, "repeats": 0}


async def test_a_slow_request_holds_up_no_other_and_no_position_moves_over_it(inferrers: Inferrers) -> None:
    [slow] = ask(inferrers, "silver", [0], slow_every=1, subject="astrid")
    others = ask(inferrers, "silver", range(1, 100), subject="astrid")
    inferrers.start()
    await inferrers.until(lambda: set(proposed(inferrers)) == set(others))
    assert (await standing(inferrers.servers.postgres, inferrers.group))["offsets"] == 0
    inferrers.go.touch()
    await inferrers.stored(100)
    assert proposed(inferrers) == Counter([slow, *others])


async def test_a_full_tier_is_paused_while_the_others_go_on_and_comes_again_when_there_is_room(
    inferrers: Inferrers,
) -> None:
    bronze = ask(inferrers, "bronze", range(400), slow_every=1)
    inferrers.start()
    await inferrers.until(lambda: "bronze is full" in inferrers.log)
    gold = ask(inferrers, "gold", range(100))
    await inferrers.until(lambda: set(proposed(inferrers)) == set(gold))
    inferrers.go.touch()
    await inferrers.stored(500)
    assert proposed(inferrers) == Counter([*bronze, *gold])


async def test_workers_of_all_tiers_and_of_one_share_a_group(inferrers: Inferrers) -> None:
    inferrers.start()
    ask(inferrers, "gold", range(50))
    await inferrers.stored(50)
    inferrers.start(["gold"])

    async def joined() -> bool:
        query = "select count(*) from positions where group_name = $1 and epoch > 1"
        return (await rows(inferrers.servers.postgres, query, inferrers.group))[0]["count"] >= len(TIERS) * PARTITIONS

    await inferrers.until(joined)
    wanted = [decision for tier in TIERS for decision in ask(inferrers, tier, range(100, 200))]
    await inferrers.stored(50 + len(wanted))
    assert set(wanted) <= set(proposed(inferrers))
