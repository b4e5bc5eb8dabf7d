"""Which settings of a topic break a promise, and what they must be."""

from __future__ import annotations

import pytest

from schemas import TOPICS, Topic
from streams.topic_settings import RULES, at_creation, differences

FOR_EVER = Topic("facts", (), 1)
WEEK_MS = 7 * 86_400_000
A_WEEK = Topic("requests", (), 2, WEEK_MS)


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
@pytest.mark.parametrize("replication", [1, 2, 3, 5])
def test_a_topic_as_it_is_made_differs_in_nothing(topic: Topic, replication: int) -> None:
    assert differences(topic, at_creation(topic, replication), replication) == []


@pytest.mark.parametrize(
    ("topic", "retention", "differs"),
    [
        (FOR_EVER, -1, False),
        (FOR_EVER, WEEK_MS, True),
        (A_WEEK, -1, False),
        (A_WEEK, WEEK_MS, False),
        (A_WEEK, WEEK_MS + 1, False),
        (A_WEEK, WEEK_MS - 1, True),
    ],
)
def test_a_topic_may_keep_longer_than_the_table_says(topic: Topic, retention: int, differs: bool) -> None:
    assert bool(differences(topic, {"retention.ms": str(retention)}, 1)) is differs


@pytest.mark.parametrize(
    ("replication", "in_sync", "differs"), [(1, 1, False), (2, 1, False), (3, 1, True), (3, 2, False), (5, 3, False)]
)
def test_two_of_three_copies_must_be_in_sync(replication: int, in_sync: int, differs: bool) -> None:
    assert bool(differences(FOR_EVER, {"min.insync.replicas": str(in_sync)}, replication)) is differs


def test_a_lagging_copy_may_not_become_the_truth_where_there_are_copies() -> None:
    lagging = {"unclean.leader.election.enable": "true"}
    assert differences(FOR_EVER, lagging, 1) == []
    assert [one.wanted for one in differences(FOR_EVER, lagging, 3)] == ["false"]


def test_a_difference_says_what_is_found_what_is_wanted_and_why() -> None:
    (found,) = differences(FOR_EVER, {"message.timestamp.type": "CreateTime"}, 1)
    assert str(found).startswith("facts has message.timestamp.type=CreateTime in place of LogAppendTime (")


def test_a_broker_that_does_not_know_a_setting_is_not_blamed_for_it() -> None:
    assert differences(FOR_EVER, {}, 3) == []
    assert len({rule.setting for rule in RULES}) == len(RULES)
