"""One member has everything; neither one that joins nor one that wakes up takes it from the one that works."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.standby import OneMember


class Cluster:
    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {"a": {1, 0}, "b": {0}}.get(topic)


class Group:
    """A group as its coordinator sees it: each round all members join and are told what they have."""

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}
        self.held: dict[str, list[Any]] = {}
        self.now_ms = 1_000

    def join(self, member: str) -> None:
        self.now_ms += 10
        self.members[member] = OneMember.here(lambda: self.now_ms)

    def balance(self, *present: str) -> list[str]:
        """Rebalance among those present; gives who has something."""
        self.now_ms += 10
        told = {member: self.members[member].metadata(["a", "b", "unknown"]) for member in present}
        given = next(iter(self.members.values())).assign(Cluster(), told)
        for member in present:
            self.members[member].on_assignment(given[member])
            self.held[member] = [place for place in given[member].assignment if place[1]]
        return [member for member in present if self.held[member]]


def test_the_first_has_every_partition_of_every_topic() -> None:
    group = Group()
    group.join("z")
    group.join("a")
    assert group.balance("z", "a") == ["z"]
    assert group.held == {"z": [("a", [0, 1]), ("b", [0])], "a": []}


def test_one_that_joins_stands_by_and_takes_over_when_the_other_is_gone() -> None:
    group = Group()
    group.join("first")
    assert group.balance("first") == ["first"]
    group.join("a second")
    assert group.balance("first", "a second") == ["first"]
    assert group.balance("a second") == ["a second"]


def test_one_that_slept_while_another_took_over_stands_by() -> None:
    group = Group()
    group.join("sleeper")
    assert group.balance("sleeper") == ["sleeper"]
    group.join("other")
    assert group.balance("other") == ["other"]
    assert group.balance("sleeper", "other") == ["other"]
    assert group.balance("sleeper") == ["sleeper"]


@given(st.lists(st.sets(st.sampled_from("abcd"), min_size=1), min_size=1, max_size=12))
def test_whoever_comes_and_goes_exactly_one_works_and_stays_while_it_is_there(rounds: list[set[str]]) -> None:
    group = Group()
    for member in "abcd":
        group.join(member)
    working = ""
    for present in rounds:
        (now,) = group.balance(*sorted(present))
        assert now == working or working not in present
        working = now
