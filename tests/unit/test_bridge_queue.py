"""The sidecar's queue: nothing that was accepted is lost, doubled or overtaken, whatever fails and whoever dies."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemas import EventRefused, PlayerSaid
from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent
from streams.bridge.client.dead_letters import DeadLetters, dead_letter, entries
from streams.bridge.client.files import Appending, FileInUse, line, lines, record
from streams.bridge.client.journal import Journal
from streams.bridge.client.queue import Batch, Queue
from streams.bridge.client.ring import Entry, Ring, ranked
from streams.bridge.client.service import Answer
from streams.clock import Clock

PLAYERS = ("astrid", "finn", "Zoë")


def entry(sequence: int, subject: str = "astrid", priority: int = 0, client: str = "c") -> Entry:
    said = PlayerSaid(text=f"line {sequence}\n")
    return Entry(client, priority, OfferedEvent(sequence=sequence, player_id=subject, player_said=said))


entry_lists = st.lists(st.tuples(st.sampled_from(PLAYERS), st.integers(-1, 1)), max_size=30).map(
    lambda kinds: [entry(number, *kind) for number, kind in enumerate(kinds, start=1)]
)


@given(entry_lists)
def test_the_important_come_first_and_no_player_is_overtaken_by_itself(waiting: list[Entry]) -> None:
    order = ranked(waiting)
    assert sorted(order, key=lambda one: one.sequence) == waiting
    for player in PLAYERS:
        own = [one.sequence for one in order if one.subject == player]
        assert own == sorted(own)
    for place, one in enumerate(order):
        for other in order[:place]:
            led_to = [e.priority for e in waiting if e.subject == other.subject and e.sequence >= other.sequence]
            assert max(led_to) >= one.priority, (
                "an event of less weight came first and nothing that follows it needs it"
            )


@given(entry_lists, st.integers(1, 10), st.sets(st.sampled_from(PLAYERS)))
def test_a_ring_gives_what_it_was_given(waiting: list[Entry], count: int, held: set[str]) -> None:
    ring = Ring(events_max=30)
    for one in waiting:
        ring.put(one)
    first = ring.take(count, held)
    assert all(one.subject not in held for one in first)
    assert len(first) == min(count, sum(one.subject not in held for one in waiting))
    ring.put_back(first)
    assert ring.take(30) == ranked(waiting)
    assert len(ring) == 0


records = st.dictionaries(
    st.text(max_size=8), st.text(max_size=20) | st.integers() | st.lists(st.integers()), max_size=4
)


@given(records)
def test_a_line_is_json_with_a_checksum(said: dict[str, Any]) -> None:
    text = line({"a": 1, **said})
    assert text.count(b"\n") == 1
    found = record(text)
    assert found == {"a": 1, **said}
    assert json.loads(text) == {**found, "~crc32": json.loads(text)["~crc32"]}


@given(records, st.data())
def test_a_damaged_line_is_told(said: dict[str, Any], data: st.DataObject) -> None:
    text = line({"a": 1, **said})
    place = data.draw(st.integers(0, len(text) - 2))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[place]))
    assert record(text[:place] + bytes([other]) + text[place + 1 :]) is None
    assert record(text[:place]) is None


@given(st.lists(records, max_size=5), st.integers(0, 200))
def test_what_a_crash_left_of_the_last_line_is_cut(said: list[dict[str, Any]], torn: int) -> None:
    whole = [line({"a": 1, **one}) for one in said]
    last = line({"last": "line"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.log"
        path.write_bytes(b"".join(whole) + last[: min(torn, len(last) - 1)])
        file = Appending(path)
        assert path.read_bytes() == b"".join(whole)
        file.append(last)
        file.close()
        assert [text for _, text in lines(path)] == [*whole, last]


def test_one_file_is_one_sidecars(tmp_path: Path) -> None:
    first = Appending(tmp_path / "x.log")
    with pytest.raises(FileInUse, match="a file of its own"):
        Appending(tmp_path / "x.log")
    first.replace(line({"a": 1}))
    with pytest.raises(FileInUse):
        Appending(tmp_path / "x.log")
    first.close()
    Appending(tmp_path / "x.log").close()


def test_dead_letters_come_back_in_order_by_client(tmp_path: Path) -> None:
    dead = DeadLetters(tmp_path / "dlq.log")
    dead.append([entry(1, client="a"), entry(2, client="a"), entry(1, client="b")], "away", 5)
    assert dead.waiting == 3
    dead.close()
    again = DeadLetters(tmp_path / "dlq.log")
    first, end = again.peek(50)
    assert [(one.client, one.sequence) for one in first] == [("a", 1), ("a", 2)]
    assert again.peek(1)[0] == first[:1]
    again.settle(2, end)
    second, end = again.peek(50)
    assert [one.client for one in second] == ["b"]
    again.append([entry(2, client="b")], "away", 6)
    again.settle(1, end)
    assert [one.sequence for one in again.peek(50)[0]] == [2]
    again.settle(1, again.peek(50)[1])
    assert (tmp_path / "dlq.log").read_bytes() == b""
    assert again.waiting == 0
    again.close()


def test_a_damaged_dead_letter_is_kept_aside_once_and_its_neighbours_go(tmp_path: Path) -> None:
    path = tmp_path / "dlq.log"
    texts = [dead_letter(entry(number), "away", 5) for number in (1, 2, 3)]
    damaged = texts[1].replace(b"line 2", b"line X")
    path.write_bytes(texts[0] + damaged + texts[2])
    dead = DeadLetters(path)
    assert dead.waiting == 2
    for _ in range(2):
        assert [one.sequence for one in dead.peek(50)[0]] == [1]
    dead.settle(1, dead.peek(50)[1])
    for _ in range(2):
        assert [one.sequence for one in dead.peek(50)[0]] == [3]
    assert (tmp_path / "dlq.log.damaged").read_bytes() == damaged
    dead.settle(1, dead.peek(50)[1])
    assert path.read_bytes() == b""
    dead.close()


def test_a_dead_letter_can_be_read_by_a_person(tmp_path: Path) -> None:
    said = json.loads(dead_letter(entry(7), "the bridge does not answer", 5))
    assert said["event"] == {"sequence": "7", "player_id": "astrid", "player_said": {"text": "line 7\n"}}
    assert (said["client"], said["reason"], said["failed_ms"]) == ("c", "the bridge does not answer", 5)


@given(st.lists(st.one_of(st.just("accept"), st.just("settle"), st.just("compact"), st.just("reopen")), max_size=40))
def test_a_journal_knows_what_is_unsettled_and_never_gives_a_number_twice(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal", lambda: "c")
        unsettled: list[Entry] = []
        for number, step in enumerate(steps):
            if step == "accept":
                one = entry(journal.last + 1, priority=number % 3 - 1)
                journal.accept(one)
                unsettled.append(one)
            elif step == "settle" and unsettled:
                journal.settle([unsettled.pop(number % len(unsettled))])
            elif step == "compact":
                journal.compact()
            else:
                last = journal.last
                journal.close()
                journal = Journal(Path(folder) / "journal", lambda: "another")
                assert (journal.client, journal.last) == ("c", last)
            assert journal.unsettled == sorted(unsettled, key=lambda one: one.sequence)
        journal.close()


class Sidecar(RuleBasedStateMachine):
    """A queue whose batches are taken, refused, deferred, lost on the way there and on the way back, and killed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "dlq.log"
        self.queue = self.open()
        self.accepted: list[tuple[str, int]] = []
        self.had: list[tuple[str, int]] = []
        self.refused: set[int] = set()

    def open(self) -> Queue:
        return Queue(self.path, 5, lambda: "c", Clock())

    @rule(player=st.sampled_from(PLAYERS), priority=st.integers(-1, 1))
    def put(self, player: str, priority: int) -> None:
        event = OfferedEvent(player_id=player, player_said=PlayerSaid(text="x"))
        self.accepted.append((player, self.queue.put(event, priority)))

    def take(self, batch: Batch, defer: bool = False) -> Answer:
        """As the bridge does: each number once, and every fifth event never."""
        player = batch.entries[0].subject
        deferred = frozenset(one.sequence for one in batch.entries if defer and one.subject == player)
        refused: dict[int, str] = {}
        for one in batch.entries:
            if one.sequence % 5 == 0 and one.sequence not in deferred:
                refused[one.sequence] = "invalid_event"
                self.refused.add(one.sequence)
            elif one.sequence not in deferred and (one.subject, one.sequence) not in self.had:
                self.had.append((one.subject, one.sequence))
        return Answer(0, 0, refused, deferred, 0.0)

    @rule(defer=st.booleans(), between=st.integers(0, 8))
    def send(self, defer: bool, between: int) -> None:
        batch = self.queue.take()
        if batch is None:
            return
        answer = self.take(batch, defer)
        for _ in range(between):
            self.put(PLAYERS[0], 0)
        again = self.queue.answered(batch, answer)
        while again is not None:
            again = self.queue.answered(again, self.take(again))

    @rule(arrived=st.booleans(), between=st.integers(0, 8))
    def lose(self, arrived: bool, between: int) -> None:
        batch = self.queue.take()
        if batch is None:
            return
        if arrived:
            self.take(batch)
        for _ in range(between):
            self.put(PLAYERS[1], 0)
        self.queue.failed(batch, "away")

    @rule(arrived=st.booleans())
    def kill(self, arrived: bool) -> None:
        batch = self.queue.take()
        if batch is not None and arrived:
            self.take(batch)
        self.queue.close()
        self.queue = self.open()

    @invariant()
    def players_are_in_order(self) -> None:
        for player in PLAYERS:
            own = [sequence for one, sequence in self.had if one == player]
            assert own == sorted(own)

    def teardown(self) -> None:
        while (batch := self.queue.take()) is not None:
            assert self.queue.answered(batch, self.take(batch)) is None
        assert self.queue.left == 0
        assert sorted(self.had) == sorted(set(self.had))
        missing = set(self.accepted) - set(self.had)
        assert {sequence for _, sequence in missing} <= self.refused
        assert [number for _, number in self.accepted] == list(range(1, len(self.accepted) + 1))
        kept = {one.sequence for _, one in entries(Path(f"{self.path}.refused")) if one is not None}
        assert self.refused == kept
        self.queue.close()
        self.folder.cleanup()


TestSidecar = Sidecar.TestCase
TestSidecar.settings = settings(max_examples=25, stateful_step_count=25)


def test_what_may_not_be_written_spends_no_number(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "dlq.log", 5, lambda: "c", Clock())
    with pytest.raises(EventRefused):
        queue.put(OfferedEvent(player_id="", player_said=PlayerSaid(text="x")), 0)
    assert queue.put(OfferedEvent(player_id="a", player_said=PlayerSaid(text="x")), 0) == 1
    queue.shut()
    with pytest.raises(EventRefused, match="closed"):
        queue.put(OfferedEvent(player_id="a", player_said=PlayerSaid(text="x")), 0)
    queue.close()


def test_the_ring_is_never_overwritten(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "dlq.log", 1000, lambda: "c", Clock())
    for _ in range(2500):
        queue.put(OfferedEvent(player_id="a", player_said=PlayerSaid(text="x")), 0)
    assert queue.counters.queued == 500
    assert queue.counters.dead == 2000
    queue.close()
