"""The game on real servers: what the heroes did is on the log, all of it, once, in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas import Event, PlayerDied, fact_name, fact_of
from streams.admin import create_topics
from streams.embedded import Servers
from tests.sdk import nobody_listens, read
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
ENDED_WITHIN_S = 60


@pytest.fixture
def kafka(servers: Servers) -> str:
    create_topics(servers.kafka)
    return servers.kafka


def command(kafka: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "examples.nethack", "--kafka", kafka, "--json", *options]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "NORN_HOME": str(home)}


def play(kafka: str, home: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        command(kafka, *options),
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=ENDED_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def facts_by_subject(log: dict[tuple[str, int], list[Event]]) -> dict[str, list[Event]]:
    subjects: dict[str, list[Event]] = {}
    for events in log.values():
        for event in events:
            subjects.setdefault(event.subject, []).append(event)
    return subjects


def test_every_fact_of_the_game_is_on_the_log_once_with_dense_dots(kafka: str, tmp_path: Path) -> None:
    figures = play(kafka, tmp_path, "--heroes", "4", "--seconds", "3", "--pace", "0", "--seed", "9")
    log = read(kafka, [figures["origin"]])
    assert sum(map(len, log.values())) == figures["events_produced"] == figures["acknowledged"] > 500
    assert {f"{topic}:{n}": len(events) for (topic, n), events in log.items()} == figures["sent_by_partition"]
    for events in log.values():
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert Counter(fact_name(fact_of(event)) for events in log.values() for event in events) == figures["by_fact"]
    assert len(facts_by_subject(log)) == figures["heroes"] == 4 + figures["deaths"]
    assert (figures["spilled"], figures["queued"], figures["refused"], figures["trouble"]) == (0, 0, 0, "")


@contextmanager
def playing(kafka: str, home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(kafka, "--status", str(home / "game.json"), *options),
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_more_than(home: Path, name: str, least: int) -> dict[str, Any]:
    """The status file once one of its figures is above `least`."""

    def figures() -> dict[str, Any]:
        status = home / "game.json"
        read: dict[str, Any] = json.loads(status.read_text()) if status.exists() else {}
        return read if read.get(name, 0) > least else {}

    return eventually(figures, timeout_s=ENDED_WITHIN_S, message=f"the status file shows {name} above {least}")


def end(process: subprocess.Popen[str], number: signal.Signals) -> dict[str, Any]:
    process.send_signal(number)
    output, _ = process.communicate(timeout=ENDED_WITHIN_S)
    assert process.returncode == 0
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return figures


def test_the_dead_are_named_and_do_no_more(kafka: str, tmp_path: Path) -> None:
    with playing(kafka, tmp_path, "--pace", "0", "--seed", "9") as process:
        wait_for_more_than(tmp_path, "deaths", 1)
        figures = end(process, signal.SIGINT)
    log = read(kafka, [figures["origin"]])
    actions = {place: events for place, events in log.items() if place[0] == "players.actions.v1"}
    deaths = 0
    for events in facts_by_subject(actions).values():
        died = [fact for event in events if isinstance(fact := fact_of(event), PlayerDied)]
        assert all(fact.killer and fact.zone for fact in died)
        assert not died or [fact_of(events[-1])] == died
        deaths += len(died)
    assert deaths == figures["deaths"] > 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_game_that_is_told_to_stop_hands_over_its_last_events(
    kafka: str, tmp_path: Path, number: signal.Signals
) -> None:
    # None of these heroes dies in their first thousand keys.
    with playing(kafka, tmp_path, "--heroes", "3", "--seed", "3") as process:
        live = wait_for_more_than(tmp_path, "acknowledged", 0)
        figures = end(process, number)
    assert [hero["subject"].split("-")[1] for hero in live["playing"]] == ["astrid", "brom", "calla"]
    assert figures["events_produced"] == figures["acknowledged"]
    assert sum(map(len, read(kafka, [figures["origin"]]).values())) == figures["events_produced"]


def test_without_a_broker_the_game_is_played_and_its_events_wait_for_the_next_life(kafka: str, tmp_path: Path) -> None:
    alone = play(nobody_listens(), tmp_path, "--heroes", "2", "--seconds", "1", "--pace", "50")
    assert (alone["acknowledged"], alone["spilled"]) == (0, alone["events_produced"])
    assert alone["events_produced"] > 10
    after = play(kafka, tmp_path, "--heroes", "2", "--seconds", "1", "--pace", "50")
    assert after["acknowledged"] == after["events_produced"]
    log = read(kafka, [alone["origin"], after["origin"]])
    origins = Counter(event.origin for events in log.values() for event in events)
    assert origins == {alone["origin"]: alone["events_produced"], after["origin"]: after["events_produced"]}


def test_without_an_address_the_game_says_how_to_get_one(tmp_path: Path) -> None:
    bare = {name: value for name, value in environment(tmp_path).items() if name != "NORN_KAFKA"}
    done = subprocess.run(
        [sys.executable, "-m", "examples.nethack"],
        cwd=ROOT,
        env=bare,
        capture_output=True,
        text=True,
        timeout=ENDED_WITHIN_S,
        check=False,
    )
    assert done.returncode == 2
    assert "--kafka HOST:PORT" in done.stderr
    assert "norn up" in done.stderr
