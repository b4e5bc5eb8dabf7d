"""The routing table: every fact has one topic, and a request the topic of its tier."""

from __future__ import annotations

from collections import Counter

import pytest
from google.protobuf.descriptor_pb2 import FileOptions

from schemas import FACTS, TIERS, TOPICS, DecisionRequested, Event, EventRefused, PlayerMoved, UnknownFact, topic_of

CARRIED = Counter(fact for topic in TOPICS.values() for fact in topic.facts)


@pytest.mark.parametrize("fact", sorted(FACTS))
def test_a_fact_stands_in_one_topic_and_a_request_in_each_tiers(fact: str) -> None:
    assert CARRIED[fact] == (len(TIERS) if fact == "decision_requested" else 1)


def test_topics_carry_nothing_that_is_no_fact() -> None:
    assert set(CARRIED) == set(FACTS)


@pytest.mark.parametrize("name", sorted(TOPICS))
def test_a_topic_is_found_under_its_own_name_and_can_hold_events(name: str) -> None:
    topic = TOPICS[name]
    assert topic.name == name
    assert topic.partitions >= 1
    assert topic.retention_ms == -1 or topic.retention_ms > 0


@pytest.mark.parametrize("fact", sorted(set(FACTS) - {"decision_requested"}))
def test_a_fact_is_sent_to_the_topic_that_lists_it(fact: str) -> None:
    assert fact in TOPICS[topic_of(FACTS[fact]())].facts


@pytest.mark.parametrize("tier", TIERS)
def test_a_request_is_sent_to_its_tiers_topic(tier: str) -> None:
    assert topic_of(DecisionRequested(tier=tier)) == f"ai.requests.{tier}.v1"


@pytest.mark.parametrize("tier", ["", "Gold", "platinum"])
def test_a_request_of_no_known_tier_is_refused(tier: str) -> None:
    with pytest.raises(EventRefused, match="gold, silver, bronze"):
        topic_of(DecisionRequested(tier=tier))


@pytest.mark.parametrize("message", [FileOptions(), Event(), Event(player_moved=PlayerMoved(zone="a"))])
def test_what_is_no_fact_has_no_topic(message) -> None:
    with pytest.raises(UnknownFact, match="is not a fact"):
        topic_of(message)
