"""What was decided reaches the game: each decision once, at once, and none is lost to a group that comes back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from schemas import FACTS, DecisionClosed, DecisionEffective, DecisionRejected, PlayerLevelled
from streams.admin import create_topics
from streams.embedded import Servers
from streams.sdk import Decisions, Producer
from streams.sdk.decisions import ENDS
from tests.sdk import WAIT_S, nobody_listens, wait_for


@pytest.fixture
def kafka(servers: Servers) -> str:
    create_topics(servers.kafka)
    return servers.kafka


def new_group() -> str:
    return f"games-{uuid.uuid4().hex[:8]}"


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
        with Decisions(kafka, timeout_s=WAIT_S) as decisions:
            decide(producer, names[1])
            decide(producer, names[1])
            producer.publish(DecisionRejected(decision_id=names[2]), subject="hero-1")
            decide(producer, names[3])
            assert take(decisions, names, 2) == [names[1], names[3]]
            assert given(decisions, names, 0.2) == []


@pytest.mark.parametrize("end", [end for end in ENDS if end in FACTS])
def test_a_game_is_given_each_end_once(kafka: str, tmp_path: Path, end: str) -> None:
    name = uuid.uuid4().hex
    with Producer(kafka, spill=tmp_path) as producer, Decisions(kafka, timeout_s=WAIT_S) as decisions:
        for _ in range(2):
            producer.publish(FACTS[end](decision_id=name), subject="hero-1")
        assert producer.flush(30) == 0
        found: list[str] = []

        def told() -> bool:
            events = [event for event in decisions.poll(0.1) if event.HasField(end)]
            found.extend(getattr(event, end).decision_id for event in events)
            return name in found

        wait_for(told)
        told()
    assert found.count(name) == 1


def test_a_game_is_given_the_decisions_of_its_own_heroes(kafka: str, tmp_path: Path) -> None:
    mine = {"hero-a"}
    names = [uuid.uuid4().hex for _ in range(3)]
    with Producer(kafka, spill=tmp_path) as producer, Decisions(kafka, subjects=mine, timeout_s=WAIT_S) as decisions:
        decide(producer, names[0], "hero-b")
        decide(producer, names[1], "hero-a")
        assert take(decisions, names, 1) == [names[1]]
        mine.add("hero-b")
        decide(producer, names[2], "hero-b")
        assert take(decisions, names, 1) == [names[2]]


def test_a_group_goes_on_where_it_was_and_gives_again_what_was_not_done_with(kafka: str, tmp_path: Path) -> None:
    group = new_group()
    names = [uuid.uuid4().hex for _ in range(3)]
    with Producer(kafka, spill=tmp_path) as producer:
        with Decisions(kafka, group=group, timeout_s=WAIT_S) as decisions:
            for name in names[:2]:
                decide(producer, name)
                assert take(decisions, names, 1) == [name]
        decide(producer, names[2])
        with Decisions(kafka, group=group, timeout_s=WAIT_S) as decisions:
            assert take(decisions, names, 2) == names[1:]


def test_decisions_wait_for_a_broker_that_is_not_there_yet() -> None:
    with Decisions(nobody_listens(), timeout_s=0.1) as decisions:
        assert decisions.poll(0.1) == []


def test_a_poll_returns_as_soon_as_a_decision_has_come(kafka: str, tmp_path: Path) -> None:
    """Not a timed test: the poll may take as long as any test may, which is longer than the decision takes."""
    name, rejected = uuid.uuid4().hex, uuid.uuid4().hex
    with Producer(kafka, spill=tmp_path) as producer, Decisions(kafka, timeout_s=WAIT_S) as decisions:
        producer.publish(DecisionRejected(decision_id=rejected), subject="hero-1")
        producer.publish(DecisionEffective(decision_id=name, action="flee"), subject="hero-1")
        assert producer.flush(30) == 0
        began, given_names = time.monotonic(), []
        while name not in given_names:
            given_names = [event.decision_effective.decision_id for event in decisions.poll(10 * WAIT_S)]
        assert time.monotonic() - began < WAIT_S


@pytest.mark.parametrize("polls_s", [0.0, 0.1, 10.0])
def test_a_group_that_closes_cleanly_is_given_what_was_decided_meanwhile(
    kafka: str, tmp_path: Path, polls_s: float
) -> None:
    group, names = new_group(), [uuid.uuid4().hex for _ in range(10)]
    with Decisions(kafka, group=group, timeout_s=float("inf")) as decisions:
        decisions.poll(polls_s)
    with Producer(kafka, spill=tmp_path) as producer:
        for name in names:
            decide(producer, name, f"hero-{name[:2]}")
    with Decisions(kafka, group=group, timeout_s=WAIT_S) as decisions:
        assert sorted(take(decisions, names, 10)) == sorted(names)
        assert given(decisions, names, 0.2) == []


_KILLED = """
import sys
from streams.sdk import Decisions
decisions = Decisions(sys.argv[1], group=sys.argv[2], client={"session.timeout.ms": 6000})
decisions.poll(0.1)
print("polled", flush=True)
decisions.poll(600)
"""


def test_a_group_killed_just_after_its_first_poll_is_given_what_was_decided_meanwhile(
    kafka: str, tmp_path: Path
) -> None:
    group, names = new_group(), [uuid.uuid4().hex for _ in range(10)]
    with subprocess.Popen([sys.executable, "-c", _KILLED, kafka, group], stdout=subprocess.PIPE, text=True) as game:
        assert game.stdout is not None
        assert game.stdout.readline() == "polled\n"
        game.send_signal(signal.SIGKILL)
    with Producer(kafka, spill=tmp_path) as producer:
        for name in names:
            decide(producer, name, f"hero-{name[:2]}")
    with Decisions(kafka, group=group, timeout_s=WAIT_S) as decisions:
        assert sorted(take(decisions, names, 10)) == sorted(names)


def test_two_games_of_a_new_group_are_given_each_decision_between_them(kafka: str, tmp_path: Path) -> None:
    group, names = new_group(), [uuid.uuid4().hex for _ in range(20)]
    taken: list[str] = []
    with (
        Producer(kafka, spill=tmp_path) as producer,
        Decisions(kafka, group=group, timeout_s=WAIT_S) as one,
        Decisions(kafka, group=group, timeout_s=WAIT_S) as other,
    ):
        for name in names:
            decide(producer, name, f"hero-{name[:2]}")

        def all_taken() -> bool:
            taken.extend(given(one, names) + given(other, names))
            return set(taken) == set(names)

        wait_for(all_taken)


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
