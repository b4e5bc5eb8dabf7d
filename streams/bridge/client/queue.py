"""The queue: every event that was accepted and is not yet on the log, in memory or on disk.

An event is in the ring, in the batch that is being sent, or in the dead-letter file; and, until it is sent or in that
file, in the journal too. The file is sent before the ring, so each player's events arrive in the order they were put.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas import EventRefused
from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent
from streams.bridge.client.dead_letters import DeadLetters, dead_letter
from streams.bridge.client.files import Appending
from streams.bridge.client.journal import Journal
from streams.bridge.client.ring import Entry, Ring
from streams.bridge.client.service import Answer
from streams.bridge.wire import BATCH_EVENTS_MAX, check_offered
from streams.clock import Clock

# A stamp keeps 16 bits of an event's number to order what happens in one millisecond.
_NUMBERS_A_MS = 1 << 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Counters:
    """Where the events are: `queued` in memory, `dead` in the dead-letter file, `sent` or `refused` by the bridge."""

    queued: int
    dead: int
    sent: int
    refused: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are sent together. `file_end` is where they end in the dead-letter file, or None from the ring."""

    entries: Sequence[Entry]
    file_end: int | None = None
    #: How many events the file's part holds, of which some may be done with.
    of: int = 0


class Queue:
    """Any thread puts; one thread takes batches and says what became of each. `changed` is notified of both."""

    def __init__(self, dead_letters: Path, events_max: int, new_name: Callable[[], str], clock: Clock) -> None:
        self.changed = threading.Condition()
        self._clock = clock
        self._ring = Ring(events_max)
        self._journal = Journal(beside(dead_letters, "journal"), new_name)
        self._dead = DeadLetters(dead_letters)
        self._refusals = Appending(beside(dead_letters, "refused"))
        self._sending: list[Entry] = []
        self._held_until_s: dict[str, float] = {}
        self._last_ms = self._sent = self._refused = 0
        self._began_s: float | None = None
        self._closed = False
        if left := self._journal.unsettled:
            _log.warning("%d events that an earlier life had not sent follow now", len(left))
            self._bury(left, "killed")

    @property
    def client(self) -> str:
        """The name under which the bridge knows these events."""
        return self._journal.client

    def put(self, event: OfferedEvent, priority: int) -> int:
        """Accept an event that has no number and no time yet; gives its number. Raises PermanentErrors, and OSError."""
        with self.changed:
            if self._closed:
                raise EventRefused("this client is closed: make another")
            event.sequence = self._journal.last + 1
            event.time_ms = self._time_ms(event.sequence)
            check_offered(event)
            if self._ring.full:
                self._spill("ring full")
            entry = Entry(self.client, priority, event)
            self._journal.accept(entry)
            self._ring.put(entry)
            if self._began_s is None:
                self._began_s = self._clock.monotonic_s()
            self.changed.notify_all()
            return event.sequence

    def _time_ms(self, sequence: int) -> int:
        """Never earlier than the event before, and later where the bits of the number begin anew."""
        earliest = self._last_ms + (sequence % _NUMBERS_A_MS == 0)
        self._last_ms = max(earliest, self._clock.now_ms())
        return self._last_ms

    def due_in_s(self, flush_s: float) -> float | None:
        """When a batch is due; None when nothing waits."""
        if self._dead.waiting or len(self._ring) >= BATCH_EVENTS_MAX:
            return 0.0
        if self._began_s is None:
            return None
        return max(0.0, self._began_s + flush_s - self._clock.monotonic_s())

    def take(self) -> Batch | None:
        """The next batch, or None when all that waits is held."""
        with self.changed:
            if self._dead.waiting:
                entries, end = self._dead.peek(BATCH_EVENTS_MAX)
                if entries:
                    return Batch(entries, end, len(entries))
                # What was left of the file was damaged, and is kept aside.
                self._dead.settle(self._dead.waiting, end)
            now_s = self._clock.monotonic_s()
            self._held_until_s = {subject: until for subject, until in self._held_until_s.items() if until > now_s}
            self._sending = self._ring.take(BATCH_EVENTS_MAX, self._held_until_s)
            self._began_s = now_s if len(self._ring) else None
            return Batch(tuple(self._sending)) if self._sending else None

    def answered(self, batch: Batch, answer: Answer) -> Batch | None:
        """The bridge has answered; gives what of a batch from the file is to be sent again after a wait."""
        refused = [entry for entry in batch.entries if entry.sequence in answer.refused]
        deferred = [entry for entry in batch.entries if entry.sequence in answer.deferred]
        with self.changed:
            self._keep_refused(refused, answer)
            if batch.file_end is not None:
                if deferred:
                    return Batch(deferred, batch.file_end, batch.of)
                self._dead.settle(batch.of, batch.file_end)
                self._sent += batch.of - len(refused)
            elif self._sending:
                self._sending = []
                self._hold(deferred, answer.retry_after_s)
                later = {entry.sequence for entry in deferred}
                done = [entry for entry in batch.entries if entry.sequence not in later]
                self._journal.settle(done)
                self._sent += len(done) - len(refused)
            self.changed.notify_all()
        return None

    def failed(self, batch: Batch, why: str) -> None:
        """The batch could not be sent: what is not in the file yet is put there."""
        with self.changed:
            if batch.file_end is None and self._sending:
                self._spill(why)
            self.changed.notify_all()

    def _hold(self, deferred: Sequence[Entry], wait_s: float) -> None:
        if deferred:
            self._ring.put_back(deferred)
            now_s = self._clock.monotonic_s()
            self._held_until_s |= {entry.subject: now_s + wait_s for entry in deferred}
            self._began_s = now_s if self._began_s is None else self._began_s

    def _keep_refused(self, refused: Sequence[Entry], answer: Answer) -> None:
        for entry in refused:
            why = answer.refused[entry.sequence]
            _log.error("the bridge refuses event %d of %s, kept in %s: %s", entry.sequence, entry.client,
                       self._refusals.path, why)  # fmt: skip
            self._refusals.append(dead_letter(entry, why, self._clock.now_ms()), sync=True)
        self._refused += len(refused)

    def _spill(self, why: str) -> None:
        """Move what is in memory to the file, the batch that is being sent too: it is older, and may yet fail."""
        entries = sorted([*self._sending, *self._ring.empty()], key=lambda entry: entry.sequence)
        self._sending = []
        self._began_s = None
        self._bury(entries, why)

    def _bury(self, entries: Sequence[Entry], why: str) -> None:
        if entries:
            self._dead.append(entries, why, self._clock.now_ms())
            self._journal.settle(entries)

    @property
    def left(self) -> int:
        """How many events are not on the log yet."""
        return len(self._ring) + len(self._sending) + self._dead.waiting

    @property
    def counters(self) -> Counters:
        """One consistent reading."""
        with self.changed:
            return Counters(len(self._ring) + len(self._sending), self._dead.waiting, self._sent, self._refused)

    def shut(self) -> None:
        """Accept no more, and put what is in memory in the file."""
        with self.changed:
            self._closed = True
            self._spill("closed")
            self.changed.notify_all()

    def close(self) -> None:
        """Let another process have the files."""
        for file in (self._journal, self._dead, self._refusals):
            file.close()


def beside(path: Path, what: str) -> Path:
    """A file that belongs to another."""
    return path.with_name(f"{path.name}.{what}")
