"""The SDK with a broker that answers: what a game publishes is on the log, and what was decided reaches the game."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Message
from confluent_kafka import Producer as KafkaClient

from schemas import (
    TOPICS,
    DecisionClosed,
    DecisionEffective,
    DecisionRejected,
    DecisionRequested,
    DepthReached,
    GoldGained,
    PlayerLevelled,
    PlayerMoved,
    PlayerSaid,
    Topic,
    fact_name,
)
from schemas.partitions import partition_of
from streams.admin import BrokerAway, TopicsDiffer, create_topics, log_sizes
from streams.embedded import Servers
from streams.sdk import Decisions, PartitionsDiffer, Producer
from streams.sdk.outbox import Batch
from streams.sdk.session import Session
from tests.log import create_topic
from tests.sdk import nobody_listens, read, wait_for

GOLD = GoldGained(amount=3, reason="floor")


@pytest.fixture
def kafka(servers: Servers) -> str:
    create_topics(servers.kafka)
    return servers.kafka


def new_topic(partitions: int) -> Topic:
    return Topic(f"sdk-{uuid.uuid4().hex[:12]}", (), partitions, retention_ms=86_400_000)


def test_every_event_is_on_the_log_once_in_order_with_dense_dots(kafka: str, tmp_path: Path) -> None:
    with Producer(kafka, spill=tmp_path, region="eu") as producer:
        published = [
            (producer.publish(PlayerMoved(zone="Oracle", x=n, y=2.5), subject=f"hero-{n % 100}"), n)
            for n in range(20_000)
        ]
        asked = producer.publish(DecisionRequested(tier="gold", decision_id="d"), subject="hero-1")
        answer = producer.publish(DepthReached(zone="Oracle", depth=7), subject="hero-1", cause=asked)
        assert producer.flush(60) == 0
        counters = producer.counters
        sent = producer.sent_by_partition
    assert (counters.sent, counters.queued, counters.spilled, counters.refused) == (20_002, 0, 0, 0)
    log = read(kafka, [producer.origin])
    assert {place: len(events) for place, events in log.items()} == sent
    for events in log.values():
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert [event.stamp for event in events] == sorted({event.stamp for event in events})
    moved = {event.id: event for (topic, _), events in log.items() if topic == "players.actions.v1" for event in events}
    assert [moved[event_id].player_moved.x for event_id, _ in published] == [n for _, n in published]
    assert {event.region for event in moved.values()} == {"eu"}
    (reached,) = (event for events in log.values() for event in events if event.id == answer)
    assert (fact_name(DepthReached), reached.cause) == (reached.WhichOneof("fact"), asked)
    assert not list(tmp_path.glob("*.spill"))


def test_threads_publish_together_and_share_dense_dots(kafka: str, tmp_path: Path) -> None:
    with Producer(kafka, spill=tmp_path) as producer:

        def play(hero: str) -> None:
            for n in range(2000):
                producer.publish(GoldGained(amount=n), subject=hero)

        players = [threading.Thread(target=play, args=(f"hero-{n}",)) for n in range(8)]
        for player in players:
            player.start()
        for player in players:
            player.join()
        assert producer.flush(60) == 0
    log = read(kafka, [producer.origin], [TOPICS["players.actions.v1"]])
    for events in log.values():
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    for n in range(8):
        earned = [e.gold_gained.amount for events in log.values() for e in events if e.subject == f"hero-{n}"]
        assert earned == list(range(2000))


@pytest.mark.parametrize("partitions", [1, 2, 7, 12])
def test_the_sdk_chooses_the_partition_that_kafkas_own_clients_choose(kafka: str, partitions: int) -> None:
    topic = new_topic(partitions).name
    create_topic(kafka, topic, partitions)
    chosen: dict[str, int | None] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        chosen[(message.key() or b"").decode()] = message.partition()

    client = KafkaClient({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    subjects = [f"hero-{n}" for n in range(200)] + ["Zoë", "x" * 256, "勇者", "a", "ab", "abc"]
    for subject in subjects:
        client.produce(topic, b"", subject.encode(), on_delivery=delivered)
    assert client.flush(30) == 0
    assert chosen == {subject: partition_of(subject, partitions) for subject in subjects}


def test_a_batch_counts_as_acknowledged_when_all_of_it_is_on_the_log(kafka: str) -> None:
    topic = new_topic(1)
    create_topics(kafka, [topic])
    # One request for each record, so that a batch is long under way.
    one_by_one = {"bootstrap.servers": kafka, "batch.num.messages": 1, "linger.ms": 0}
    session = Session(one_by_one, {topic.name: topic})
    batch = Batch(topic.name, 0, [(b"hero-1", b"%d" % n) for n in range(1000)])
    wait_for(lambda: session.probe(5.0) and session.has_place_for(batch))
    session.send(batch)
    assert session.in_flight == 1000

    def acknowledged() -> bool:
        session.poll(0.001)
        return session.acknowledged() == [batch]

    wait_for(acknowledged)
    assert log_sizes(kafka, [topic]) == {(topic.name, 0): (0, 1000)}
    assert (session.in_flight, session.close()) == (0, [])


def test_a_topic_with_other_partitions_than_the_table_is_refused_and_nothing_goes_astray(
    kafka: str, tmp_path: Path
) -> None:
    wrong = {**TOPICS, "players.actions.v1": Topic("players.actions.v1", TOPICS["players.actions.v1"].facts, 3)}
    with Producer(kafka, spill=tmp_path, topics=wrong) as producer:
        producer.publish(GOLD, subject="hero-1")

        def refuses() -> bool:
            try:
                producer.publish(GOLD, subject="hero-1")
            except PartitionsDiffer as error:
                return "players.actions.v1 has 4 partitions on the broker and 3" in str(error)
            return False

        wait_for(refuses)
        # A probe that a busy broker answers late is told of in between.
        wait_for(lambda: "4 partitions on the broker" in producer.trouble)
        waiting = producer.counters
        assert producer.close(timeout_s=0) == waiting.queued + waiting.spilled
    assert not read(kafka, [producer.origin])


def test_an_event_is_stamped_after_the_one_that_was_observed(kafka: str, tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    with Producer(kafka, spill=tmp_path / "ahead", now_ms=lambda: now_ms + 1000) as ahead:
        ahead.publish(GOLD, subject="hero-1")
        assert ahead.flush(30) == 0
    ((seen,),) = read(kafka, [ahead.origin]).values()
    with Producer(kafka, spill=tmp_path / "behind", now_ms=lambda: now_ms) as behind:
        behind.observe(seen.stamp)
        behind.publish(GOLD, subject="hero-1")
        assert behind.flush(30) == 0
    ((answer,),) = read(kafka, [behind.origin]).values()
    assert answer.stamp > seen.stamp


def decide(producer: Producer, decision: str, subject: str = "hero-1") -> None:
    producer.publish(DecisionEffective(decision_id=decision, action="flee"), subject=subject)
    assert producer.flush(30) == 0


def given(decisions: Decisions, names: list[str], timeout_s: float = 0.1) -> list[str]:
    """Those of these decisions that a poll brings: other tests may write to the same log at the same time."""
    polled = [event.decision_effective.decision_id for event in decisions.poll(timeout_s)]
    return [name for name in polled if name in names]


def take(decisions: Decisions, names: list[str], wanted: int) -> list[str]:
    taken: list[str] = []

    def enough() -> bool:
        taken.extend(given(decisions, names))
        return len(taken) >= wanted

    wait_for(enough)
    return taken


def test_a_game_is_given_each_decision_once_from_now_on(kafka: str, tmp_path: Path) -> None:
    names = [uuid.uuid4().hex for _ in range(4)]
    with Producer(kafka, spill=tmp_path) as producer:
        decide(producer, names[0])
        with Decisions(kafka) as decisions:
            decide(producer, names[1])
            decide(producer, names[1])
            producer.publish(DecisionRejected(decision_id=names[2]), subject="hero-1")
            decide(producer, names[3])
            assert take(decisions, names, 2) == [names[1], names[3]]
            assert given(decisions, names, 0.2) == []


def test_a_game_hears_of_an_end_without_an_effect_and_what_called_for_either(kafka: str, tmp_path: Path) -> None:
    effective, closed = uuid.uuid4().hex, uuid.uuid4().hex
    heard: list[tuple[str, str]] = []
    with Producer(kafka, spill=tmp_path) as producer, Decisions(kafka, subjects={"hero-link"}) as decisions:
        called = producer.publish(PlayerLevelled(level=3), subject="hero-link")
        for end in (
            DecisionRejected(decision_id=closed, reason="refused: by Ada", proposal_id="00" * 16),
            DecisionClosed(decision_id=closed, reason="refused: by Ada", called_by=called.hex()),
            DecisionClosed(decision_id=closed, reason="refused: by Ada", called_by=called.hex()),
            DecisionEffective(decision_id=effective, action="greet", called_by=called.hex()),
        ):
            producer.publish(end, subject="hero-link")

        def all_heard() -> bool:
            for event in decisions.poll(0.1):
                fact = event.WhichOneof("fact") or ""
                assert getattr(event, fact).called_by == called.hex()
                heard.append((fact, getattr(event, fact).decision_id))
            return len(heard) >= 2

        wait_for(all_heard)
        assert decisions.poll(0.2) == []
    assert heard == [("decision_closed", closed), ("decision_effective", effective)]


def test_a_game_is_given_the_decisions_of_its_own_heroes(kafka: str, tmp_path: Path) -> None:
    mine = {"hero-a"}
    names = [uuid.uuid4().hex for _ in range(3)]
    with Producer(kafka, spill=tmp_path) as producer, Decisions(kafka, subjects=mine) as decisions:
        decide(producer, names[0], "hero-b")
        decide(producer, names[1], "hero-a")
        assert take(decisions, names, 1) == [names[1]]
        mine.add("hero-b")
        decide(producer, names[2], "hero-b")
        assert take(decisions, names, 1) == [names[2]]


def test_a_group_goes_on_where_it_was_and_gives_again_what_was_not_done_with(kafka: str, tmp_path: Path) -> None:
    group = f"games-{uuid.uuid4().hex[:8]}"
    names = [uuid.uuid4().hex for _ in range(3)]
    with Producer(kafka, spill=tmp_path) as producer:
        with Decisions(kafka, group=group) as decisions:
            # A member reads from the end of the log that it finds when it is assigned, so decide until one arrives.
            begun: list[str] = []

            def joined() -> bool:
                begun.append(uuid.uuid4().hex)
                decide(producer, begun[-1])
                return bool(given(decisions, begun))

            wait_for(joined)
            for name in names[:2]:
                decide(producer, name)
                assert take(decisions, names, 1) == [name]
        decide(producer, names[2])
        with Decisions(kafka, group=group) as decisions:
            assert take(decisions, names, 2) == names[1:]


def test_decisions_wait_for_a_broker_that_is_not_there_yet() -> None:
    with Decisions(nobody_listens(), timeout_s=0.1) as decisions:
        assert decisions.poll(0.1) == []


def test_topics_are_made_once_as_the_table_says(kafka: str) -> None:
    topics = [new_topic(3), new_topic(1)]
    assert create_topics(kafka, topics) == [topic.name for topic in topics]
    assert create_topics(kafka, topics) == []
    assert log_sizes(kafka, topics) == {
        (topic.name, partition): (0, 0) for topic in topics for partition in range(topic.partitions)
    }


def test_topics_that_differ_are_named_with_what_differs(kafka: str) -> None:
    topic, other = new_topic(3), new_topic(2)
    create_topics(kafka, [topic])
    with pytest.raises(TopicsDiffer, match=f"{topic.name} has 3 partitions on the broker and 4 in the table"):
        create_topics(kafka, [Topic(topic.name, (), 4), other])
    assert log_sizes(kafka, [other]) == {(other.name, 0): (0, 0), (other.name, 1): (0, 0)}


def test_the_size_of_the_log_is_what_was_sent(kafka: str, tmp_path: Path) -> None:
    before = log_sizes(kafka)
    with Producer(kafka, spill=tmp_path) as producer:
        for n in range(500):
            producer.publish(PlayerSaid(text="hello"), subject=f"hero-{n}")
        assert producer.flush(30) == 0
        sent = Counter(producer.sent_by_partition)
    after = log_sizes(kafka)
    # Other tests may write to the same log at the same time.
    assert all(after[place][1] - before[place][1] >= sent[place] for place in after)
    assert sent.total() == 500


def test_a_broker_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.admin._TIMEOUT_S", 0.2)
    with pytest.raises(BrokerAway, match="no broker answered"):
        create_topics(nobody_listens())
