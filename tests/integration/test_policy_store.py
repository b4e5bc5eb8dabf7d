"""What policies keep in Postgres: states by entry, publications by number, and the clock, which can be held."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest

from projections.postgres import migrate
from schemas import Announced, PlayerDied, decode
from streams import policy_states
from streams.database import Database, Waiting
from streams.policy import WORLD, Policy, State
from streams.policy_states import StateUnreadable
from streams.publications import Publication, Publications
from streams.statements import statement
from streams.world_clock import Pace, WorldClock, held
from tests.policies import MIDNIGHT_MS
from tests.policy_workers import PARTITIONS, only_topic, said_by
from tests.sdk import nobody_listens

GROUP = "norn-policy"
TOPIC = "policy"


@dataclass
class Store:
    """A migrated database, with the connection of a test beside the one under test."""

    url: str
    database: Database
    connection: Any
    now_ms: int = MIDNIGHT_MS

    def publications(self, kafka: str) -> Publications:
        return Publications(
            GROUP,
            self.database,
            kafka,
            region="local",
            now_ms=lambda: self.now_ms,
            waiting=Waiting(),
            sending=lambda: True,
        )


@pytest.fixture
async def store(postgres: str) -> AsyncIterator[Store]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    found = Store(postgres, Database(postgres, Waiting()), connection)
    yield found
    await found.database.close()
    await connection.close()


def policy(name: str, version: int = 1, upgrade: Callable[[int, State], State] | None = None) -> Policy:
    return Policy(
        name=name, reads=(PlayerDied,), react=lambda state, event: (state, ()), version=version, upgrade=upgrade
    )


async def test_only_what_changed_is_stored_and_what_is_gone_is_forgotten(store: Store) -> None:
    policies = {"one": policy("one"), "two": policy("two")}
    same = {"kept": "\x00 as it is"}
    first: dict[str, State] = {"one": {"a": same, "b": [1]}, "two": {"a": 7}}
    await policy_states.save(store.connection, GROUP, policies, {"one": {}, "two": {}}, first)
    await store.connection.execute("update policy_states set value = '\"untouched\"' where entry = 'a'")
    after: dict[str, State] = {"one": {"a": same, "c": None}, "two": {"a": 7}}
    await policy_states.save(store.connection, GROUP, policies, first, after)
    found = await policy_states.read(store.connection, GROUP, policies.values())
    assert found == {"one": {"a": "untouched", "c": None}, "two": {"a": "untouched"}}
    assert await policy_states.read(store.connection, "another group", policies.values()) == {"one": {}, "two": {}}


async def test_a_state_of_an_earlier_version_is_brought_up_to_date_or_refused(store: Store) -> None:
    old = {"one": policy("one", 1)}
    await policy_states.save(store.connection, GROUP, old, {"one": {}}, {"one": {"a": 1}})
    newer = policy("one", 3, lambda version, state: {"a": state["a"] + version})
    assert await policy_states.read(store.connection, GROUP, [newer]) == {"one": {"a": 2}}
    with pytest.raises(StateUnreadable, match="version 1 and reads version 2"):
        await policy_states.read(store.connection, GROUP, [policy("one", 2)])
    with pytest.raises(StateUnreadable, match="version 1 and reads version 0"):
        await policy_states.read(store.connection, GROUP, [replace(newer, version=0)])


def announcements(*texts: str) -> list[Publication]:
    topics = only_topic(TOPIC)
    return [Publication.of(Announced(text=text), f"{WORLD}-{text}", topics=topics) for text in texts]


async def test_numbers_are_dense_whatever_is_rolled_back(store: Store) -> None:
    publications = store.publications(nobody_listens())

    class Undone(Exception):
        pass

    async def add(texts: list[str], undone: bool) -> None:
        async with store.connection.transaction():
            await publications.add(store.connection, announcements(*texts))
            if undone:
                raise Undone

    letters = "abcdefghijklmnopqrstuvwxyz"
    await add(list(letters[:10]), False)
    with pytest.raises(Undone):
        await add(list(letters[10:20]), True)
    await add(list(letters[20:]), False)
    stored = await store.connection.fetch(statement("unsent_publications"), GROUP, 100)
    by_lane: dict[int, list[int]] = {}
    for row in stored:
        event = decode(row["value"])
        assert event.sequence == row["sequence"]
        assert row["key"] == event.subject.encode()
        by_lane.setdefault(row["partition"], []).append(row["sequence"])
    assert len(stored) == 16
    assert len(by_lane) == PARTITIONS
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_lane.values())
    events = sorted((decode(row["value"]) for row in stored), key=lambda event: event.stamp)
    assert "".join(event.announced.text for event in events) == letters[:10] + letters[20:]


async def test_what_the_broker_has_not_had_stays_and_is_sent_when_it_is_back(
    store: Store, kafka: str, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.log import create_topic

    monkeypatch.setattr("streams.publications.FLUSH_TIMEOUT_S", 0.2)
    topic = fresh_name("published")
    create_topic(kafka, topic, PARTITIONS)
    topics = only_topic(topic)
    made = [Publication.of(Announced(text=f"{n}"), f"{WORLD}-{n}", topics=topics) for n in range(20)]
    away = store.publications(nobody_listens())

    async def add(connection: Any) -> None:
        await away.add(connection, made)

    await store.database.write(add)
    assert await away.send() == 0
    assert await store.connection.fetchval(statement("count_unpublished")) == 20
    monkeypatch.setattr("streams.publications.FLUSH_TIMEOUT_S", 30)
    assert await store.publications(kafka).send() == 20
    assert await store.connection.fetchval(statement("count_unpublished")) == 0
    (published,) = await store.connection.fetch(statement("count_published"))
    assert published["sent"] == 20
    assert len(said_by(kafka, topic, [published["origin"]])) == 20


def clock(store: Store, pace: Pace) -> WorldClock:
    return WorldClock(
        GROUP,
        store.database,
        store.publications(nobody_listens()),
        pace,
        now_ms=lambda: store.now_ms,
        keeping=lambda: True,
    )


async def test_the_clock_goes_on_from_where_it_stood(store: Store) -> None:
    first = clock(store, Pace(100.0, start_ms=5_000_000))
    assert await first.tick() == 5_000_000
    store.now_ms += 1_000
    assert await first.tick() == 5_100_000
    store.now_ms += 60_000
    second = clock(store, Pace(100.0, start_ms=9))
    assert await second.tick() == 5_160_000, "while nobody kept it, no faster than real time"
    store.now_ms += 1_000
    assert await second.tick() == 5_260_000


async def test_a_clock_that_is_held_stands_and_then_goes_on(store: Store) -> None:
    kept = clock(store, Pace(100.0, start_ms=0))
    assert await kept.tick() == 0
    async with held(store.url):
        store.now_ms += 2_000
        assert await kept.tick() is None
    assert await kept.tick() == 2_000
    store.now_ms += 1_000
    assert await kept.tick() == 102_000
