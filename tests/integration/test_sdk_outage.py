"""The SDK while its broker freezes, dies, comes back, refuses, or was never there, and while the game itself is killed.

The broker is this file's own, because it is taken away from under everybody who uses it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from string import ascii_letters
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from schemas import TOPICS, Event, GoldGained, PlaceEntered, PlayerSaid, Topic, decode
from streams.admin import create_topics, log_sizes
from streams.embedded import running, start
from streams.sdk import Counters, Producer
from streams.sdk.session import Session
from streams.sdk.spill import MAGIC, read_body
from streams.sdk.spill import decode as decode_batch
from tests.sdk import WAIT_S, firsts, nobody_listens, read, wait_for

PLAYERS = TOPICS["players.actions.v1"]
# Far above what a call takes, far below what a wait for the network or a disk would be.
_PUBLISH_S_MAX = 1.0
# Kafka's max.message.bytes where nobody has set it.
_DEFAULT_BYTES = 1_048_588


class Broker:
    """A Kafka that can be stopped and started again on its port and its data, and frozen and thawed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running = ExitStack()
        self.address = ""

    def start(self) -> None:
        servers = start(self._home, postgres="postgresql://nowhere", clickhouse="http://nowhere")
        self.address = self._running.enter_context(servers).kafka

    def stop(self) -> None:
        self._running.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It answers nothing meanwhile."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def take_at_most(self, size_bytes: int) -> None:
        """Refuse, for good, batches of players' facts that are larger."""
        entry = ConfigEntry("max.message.bytes", str(size_bytes), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, PLAYERS.name, incremental_configs=[entry])
        admin = AdminClient({"bootstrap.servers": self.address})
        for answer in admin.incremental_alter_configs([resource]).values():
            answer.result(30)

    def _signal(self, number: signal.Signals) -> None:
        found = running.read(self._home)
        assert found is not None
        server = found.entries["kafka"].server
        assert server is not None
        os.kill(server.pid, number)


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def broker(own_broker: Broker) -> Broker:
    create_topics(own_broker.address)
    return own_broker


class Game:
    """Publishes numbered facts of some heroes, and holds every call to its word that it does not wait."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self.ids: list[bytes] = []

    def play(self, events: int, pause_s: float = 0.0) -> None:
        for _ in range(events):
            number = len(self.ids)
            began = time.perf_counter()
            self.ids.append(self._producer.publish(GoldGained(amount=number), subject=f"hero-{number % 50}"))
            assert time.perf_counter() - began < _PUBLISH_S_MAX
            if pause_s:
                time.sleep(pause_s)

    def play_until(self, condition: Callable[[Counters], bool]) -> None:
        until = time.monotonic() + WAIT_S
        while not condition(counters := self._producer.counters):
            assert time.monotonic() < until, counters
            self.play(20, pause_s=0.001)


def check(broker: Broker, producer: Producer, ids: list[bytes]) -> dict[tuple[str, int], list[Event]]:
    """Everything published is on the log, in order, under dense dots; gives the log with its repeats."""
    log = read(broker.address, [producer.origin])
    by_id = {}
    for events in log.values():
        kept = firsts(events)
        assert [event.sequence for event in kept] == list(range(1, len(kept) + 1))
        by_id |= {event.id: event for event in kept}
    assert [by_id[event_id].gold_gained.amount for event_id in ids] == list(range(len(ids)))
    assert len(by_id) == len(ids)
    return log


def test_events_wait_in_memory_through_a_short_outage_and_none_is_repeated(broker: Broker, tmp_path: Path) -> None:
    with Producer(broker.address, spill=tmp_path, away_s=30) as producer:
        game = Game(producer)
        game.play(2000)
        with broker.frozen():
            game.play(2000, pause_s=0.0001)
            assert producer.counters.queued > 0
        game.play(2000)
        assert producer.flush(60) == 0
        assert (producer.counters.sent, producer.counters.spilled) == (6000, 0)
    log = check(broker, producer, game.ids)
    assert sum(map(len, log.values())) == 6000


def test_events_go_to_disk_through_a_long_outage_and_from_there_to_the_log(broker: Broker, tmp_path: Path) -> None:
    with Producer(broker.address, spill=tmp_path, away_s=0.5) as producer:
        game = Game(producer)
        game.play(5000)
        wait_for(lambda: producer.counters.sent == 5000)
        with broker.frozen():
            game.play_until(lambda counters: counters.spilled > 3000)
            assert list(tmp_path.glob("*.spill"))
            assert producer.trouble
        game.play_until(lambda counters: counters.spilled == 0)
        game.play(1000)
        assert producer.flush(60) == 0
        assert producer.counters.sent == len(game.ids)
        wait_for(lambda: not producer.trouble)
    check(broker, producer, game.ids)
    assert not list(tmp_path.glob("*.spill"))


def test_a_broker_that_dies_and_is_started_again_gets_everything(broker: Broker, tmp_path: Path) -> None:
    with Producer(broker.address, spill=tmp_path, away_s=0.5) as producer:
        game = Game(producer)
        game.play(20_000)
        broker.stop()
        try:
            game.play_until(lambda counters: counters.spilled > 1000)
        finally:
            broker.start()
        game.play(1000)
        assert producer.flush(60) == 0
        assert producer.counters.sent == len(game.ids)
    check(broker, producer, game.ids)


def test_a_burst_beyond_memory_goes_by_way_of_the_disk_in_order(broker: Broker, tmp_path: Path) -> None:
    with Producer(broker.address, spill=tmp_path, buffer_events_max=4000, away_s=60) as producer:
        game = Game(producer)
        with broker.frozen():
            game.play(1500)
            assert producer.counters.queued == 1500
            game.play(1500)
            wait_for(lambda: producer.counters.spilled > 0)
            game.play(1500)
        assert producer.flush(60) == 0
    check(broker, producer, game.ids)


def test_a_game_that_starts_before_its_broker_is_heard_by_a_later_life(broker: Broker, tmp_path: Path) -> None:
    with Producer(nobody_listens(), spill=tmp_path, away_s=0.2) as early:
        game = Game(early)
        game.play(3000)
        assert early.close(timeout_s=0) == 3000
    spilled = sorted(spilled_values(tmp_path))
    with Producer(broker.address, spill=tmp_path) as late:
        assert late.flush(60) == 0
        assert late.counters.sent == 3000
    log = check(broker, early, game.ids)
    assert sorted(event.SerializeToString() for events in log.values() for event in events) == spilled


def test_a_topic_that_is_made_late_gets_what_waited_for_it(broker: Broker, tmp_path: Path) -> None:
    topic = TOPICS["world.facts.v1"]
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.delete_topics([topic.name])[topic.name].result(30)
    wait_for(lambda: not log_sizes(broker.address, [topic]))
    with Producer(broker.address, spill=tmp_path, away_s=0.3) as producer:
        ids = [producer.publish(PlaceEntered(zone="Oracle"), subject=f"hero-{n % 9}") for n in range(1000)]
        wait_for(lambda: producer.counters.spilled == 1000)
        # A probe that a busy broker answers late is told of in between.
        wait_for(lambda: "world.facts.v1 is not on the broker: create it" in producer.trouble)
        create_topics(broker.address)
        assert producer.flush(60) == 0
    kept = [firsts(events) for events in read(broker.address, [producer.origin]).values()]
    assert all([event.sequence for event in events] == list(range(1, len(events) + 1)) for events in kept)
    assert {event.id for events in kept for event in events} == set(ids)


@pytest.mark.parametrize("away_s", [60, 0.5])
def test_an_error_that_stops_the_client_for_good_leaves_no_hole(
    broker: Broker, tmp_path: Path, away_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = []

    class Counted(Session):
        def __init__(self, settings: Mapping[str, Any], topics: Mapping[str, Topic]) -> None:
            super().__init__(settings, topics)
            sessions.append(self)

    monkeypatch.setattr("streams.sdk.producer.Session", Counted)
    with Producer(broker.address, spill=tmp_path, away_s=away_s) as producer:
        game = Game(producer)
        game.play(1000)
        assert producer.flush(60) == 0
        # The broker refuses every batch for good: librdkafka stops, and cannot be used again.
        broker.take_at_most(150)
        try:
            game.play(5000)
            wait_for(lambda: "large" in producer.trouble.lower())
            game.play(1000)
            wait_for(lambda: producer.counters.queued == (6000 if away_s == 60 else 0))
            # It is tried again meanwhile, from memory or from disk, and fails again.
            tried = len(sessions)
            wait_for(lambda: len(sessions) > tried + 1)
            assert producer.trouble
            # A probe that a busy broker answers late is told of in between.
            wait_for(lambda: "large" in producer.trouble.lower())
        finally:
            broker.take_at_most(_DEFAULT_BYTES)
        assert producer.flush(60) == 0
        assert producer.counters.sent == 7000
        # What is acknowledged is counted before the trouble is over.
        wait_for(lambda: not producer.trouble)
    check(broker, producer, game.ids)


def test_events_behind_one_that_the_broker_refuses_wait_for_it(broker: Broker, tmp_path: Path) -> None:
    random = Random(7)
    large = "".join(random.choices(ascii_letters, k=10_000))
    with Producer(broker.address, spill=tmp_path, away_s=60, client={"batch.num.messages": 50}) as producer:
        broker.take_at_most(8000)
        try:
            for n in range(20_000):
                producer.publish(PlayerSaid(text=large if n % 1000 == 500 else "hello"), subject="hero-1")
            wait_for(lambda: "large" in producer.trouble.lower())
        finally:
            broker.take_at_most(_DEFAULT_BYTES)
        assert producer.flush(60) == 0
    (events,) = read(broker.address, [producer.origin]).values()
    assert [event.sequence for event in firsts(events)] == list(range(1, 20_001))


def spilled_values(folder: Path) -> list[bytes]:
    """The whole events in spill files that a process may still be writing."""
    values = []
    for path in sorted(folder.glob("*.spill")):
        with path.open("rb") as file:
            begun = file.read(len(MAGIC))
            assert MAGIC.startswith(begun)
            while begun == MAGIC and (body := read_body(file)) is not None:
                values += [value for _, value in decode_batch(body).events]
    return values


_DOOMED = """
import sys
from pathlib import Path
from schemas import PlayerSaid
from streams.sdk import Producer
producer = Producer(sys.argv[1], spill=Path(sys.argv[2]), away_s=0.2)
print(producer.origin, flush=True)
n = 0
while True:
    producer.publish(PlayerSaid(text=str(n)), subject=f"hero-{n % 50}")
    n += 1
    if n % 500 == 0:
        import time
        time.sleep(0.01)
"""


def test_a_killed_game_loses_what_was_in_memory_and_nothing_that_was_on_disk(broker: Broker, tmp_path: Path) -> None:
    address = nobody_listens()
    command = [sys.executable, "-c", _DOOMED, address, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as doomed:
        assert doomed.stdout is not None
        origin = doomed.stdout.readline().strip()
        try:
            wait_for(lambda: len(spilled_values(tmp_path)) > 5000)
        finally:
            doomed.kill()
    spilled = spilled_values(tmp_path)
    with Producer(broker.address, spill=tmp_path) as heir:
        assert heir.counters.spilled == len(spilled)
        heir.publish(PlayerSaid(text="we are back"), subject="hero-1")
        assert heir.flush(60) == 0
    log = read(broker.address, [origin])
    assert sorted(e.SerializeToString() for events in log.values() for e in events) == sorted(spilled)
    for (_, partition), events in log.items():
        # From the first dot on without a hole: what was lost was the end, that which was still in memory.
        assert [event.sequence for event in events] == list(range(1, len(events) + 1)), partition
    said = {int(decode(value).player_said.text) for value in spilled}
    assert len(said) == len(spilled)


def test_a_game_that_forgets_to_close_leaves_its_events_on_disk(broker: Broker, tmp_path: Path) -> None:
    script = _DOOMED.replace("while True:", "while n < 3000:")
    ended = subprocess.run(
        [sys.executable, "-c", script, broker.address, str(tmp_path)], capture_output=True, text=True, timeout=WAIT_S
    )
    # A busy broker may be late enough to be told of on the way; a crash at the end would be another matter.
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)
    log = read(broker.address, [ended.stdout.strip()])
    # What a busy broker has not acknowledged by the end is on disk, and may be on the log all the same.
    kept = [event for events in log.values() for event in events] + [*map(decode, spilled_values(tmp_path))]
    assert {int(event.player_said.text) for event in kept} == set(range(3000))
    assert len({event.id for event in kept}) == 3000


_REPLAYING = """
import os, signal, sys
from pathlib import Path
from streams.sdk import Producer
unlink = Path.unlink
def unlink_and_die(path, **options):
    unlink(path, **options)
    os.kill(os.getpid(), signal.SIGKILL)
# A file goes when the broker has all of it.
Path.unlink = unlink_and_die
producer = Producer(sys.argv[1], spill=Path(sys.argv[2]))
signal.pause()
"""


def test_a_process_killed_in_the_middle_of_a_replay_repeats_dots_and_loses_none(broker: Broker, tmp_path: Path) -> None:
    with Producer(nobody_listens(), spill=tmp_path, buffer_events_max=400_000) as early:
        ids = [early.publish(PlayerSaid(text="x" * 400), subject=f"hero-{n % 50}") for n in range(100_000)]
        assert early.close(timeout_s=0) == 100_000
    files = len(list(tmp_path.glob("*.spill")))
    assert files > 2
    ended = subprocess.run([sys.executable, "-c", _REPLAYING, broker.address, str(tmp_path)], timeout=WAIT_S)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.spill"))) == files - 1
    with Producer(broker.address, spill=tmp_path) as heir:
        assert 0 < heir.counters.spilled < 100_000
        assert heir.flush(60) == 0
    kept = [firsts(events) for events in read(broker.address, [early.origin]).values()]
    assert all([event.sequence for event in events] == list(range(1, len(events) + 1)) for events in kept)
    assert {event.id for events in kept for event in events} == set(ids)
