"""A worker's log tells once that Kafka is away and once that it is back, and folds what else repeats itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from streams import quiet_log
from streams.harmless import harmless_logs
from streams.quiet_log import FOLD_S, QuietLog

TROUBLES = (
    "Unable connect to node with id 1: [Errno 111] Connect call failed ('127.0.0.1', 29052)",
    "Unable to update metadata from [1]",
    "Failed fetch messages from 1: NodeNotReadyError: Attempt to send a request to node which is not ready",
    "Group Coordinator Request failed: NodeNotReadyError: Attempt to send a request to node which is not ready",
    "Failed fetch messages from 1: KafkaConnectionError: Connection at 127.0.0.1:29052 closed",
    "Marking the coordinator dead (node 1)for group norn-decide.",
    "Heartbeat session expired - marking coordinator dead",
)


@pytest.fixture(autouse=True, params=["plain", "harmless"])
def records(request: pytest.FixtureRequest) -> Iterator[None]:
    """Records as logging makes them, and as they are in a worker."""
    make = logging.getLogRecordFactory()
    if request.param == "harmless":
        harmless_logs()
    yield
    logging.setLogRecordFactory(make)


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


class World:
    """A log, a clock, and a broker that answers or not; what runs beside everything else runs when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.answers = True
        self.lines = Lines()
        self.beside: list[Callable[[], None]] = []
        #: What happens while the filter waits to ask again.
        self.meanwhile: Callable[[], None] = lambda: None
        self.filter = QuietLog(
            lambda: self.answers,
            now_s=lambda: self.now_s,
            begin=self.beside.append,
            pause=lambda _: self.meanwhile(),
        )
        self.lines.addFilter(self.filter)

    def complain(self, message: str, name: str = "aiokafka.client", level: int = logging.ERROR) -> None:
        logging.getLogger(name).log(level, message)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    root = logging.getLogger()
    root.addHandler(made.lines)
    yield made
    root.removeHandler(made.lines)


def test_a_broker_that_goes_and_comes_back_is_two_lines(world: World) -> None:
    world.answers = False

    def come_back() -> None:
        for _ in range(100):
            for trouble in TROUBLES:
                world.complain(trouble)
        world.answers = True

    world.meanwhile = come_back
    for trouble in TROUBLES:
        world.complain(trouble)
    (ask,) = world.beside
    ask()
    assert [line.split(":")[0].split(" (")[0] for line in world.lines.said] == ["Kafka is away", "Kafka is back"]
    assert "Connect call failed" in world.lines.said[0]


def test_it_is_told_again_when_it_goes_again(world: World) -> None:
    for _ in range(2):
        world.answers = False
        world.meanwhile = lambda: setattr(world, "answers", True)
        world.complain(TROUBLES[0])
        world.beside.pop()()
        world.now_s += quiet_log.TRUSTED_S + 1
    assert len([line for line in world.lines.said if line.startswith("Kafka is away")]) == 2


def test_what_the_worker_says_itself_is_said_once_however_many_of_its_parts_say_it(world: World) -> None:
    database = logging.getLogger("streams.database")
    for _ in range(2):
        database.warning("%s is away (%s): waiting for it", "Kafka", "KafkaException")
        database.warning("%s is away (%s): waiting for it", "Postgres", "OSError")
    world.complain(TROUBLES[0])
    assert world.beside == [], "it is known to be away"
    for _ in range(2):
        database.warning("%s is back", "Kafka")
    assert [line.split(" (")[0] for line in world.lines.said] == ["Kafka is away", "Postgres is away", "Kafka is back"]


def test_a_hiccup_of_a_broker_that_answers_is_no_absence(world: World) -> None:
    world.complain(TROUBLES[0])
    world.beside.pop()()
    assert world.lines.said == []


def test_one_broker_of_several_that_stays_away_is_a_line_a_minute(world: World) -> None:
    """Some broker answers, so that Kafka is there; the complaints are folded."""
    world.complain(TROUBLES[0])
    world.beside.pop()()
    for _ in range(50):
        world.complain(TROUBLES[0])
        for ask in world.beside:
            ask()
        world.beside.clear()
        world.now_s += 0.1
    assert world.lines.said == [TROUBLES[0]]


def test_other_complaints_are_folded_and_counted(world: World) -> None:
    for number in range(10):
        world.complain(f"something odd about {number}", "faust.agents", logging.WARNING)
    world.now_s += FOLD_S
    world.complain("something odd about 11", "faust.agents", logging.WARNING)
    world.complain("something else", "faust.agents", logging.WARNING)
    assert world.lines.said == [
        "something odd about 0",
        "something odd about 11 (and 9 more like it since the last)",
        "something else",
    ]


def test_what_norn_says_and_what_is_no_complaint_passes(world: World) -> None:
    logging.getLogger().setLevel(logging.INFO)
    try:
        for _ in range(3):
            world.complain("partitions assigned", level=logging.INFO)
            world.complain("an event was refused", "streams.processors.fold", logging.WARNING)
    finally:
        logging.getLogger().setLevel(logging.WARNING)
    assert len(world.lines.said) == 6


def test_a_record_of_several_handlers_is_judged_once(world: World) -> None:
    other = Lines()
    other.addFilter(world.filter)
    logging.getLogger().addHandler(other)
    try:
        world.complain("something odd", "mode.services")
    finally:
        logging.getLogger().removeHandler(other)
    assert other.said == world.lines.said == ["something odd"]


def test_what_is_remembered_is_limited(world: World) -> None:
    for number in range(quiet_log.REMEMBERED_MAX * 2):
        world.complain("odd " + "x" * number)
    assert len(world.filter._printed) == quiet_log.REMEMBERED_MAX
