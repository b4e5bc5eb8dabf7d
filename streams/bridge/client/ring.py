"""The ring: events that wait in memory for their batch, the important ones first, each player's in their order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent

#: Spec A.12.
EVENTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its number, on its way."""

    client: str
    priority: int
    event: OfferedEvent

    @property
    def sequence(self) -> int:
        """The event's number."""
        return self.event.sequence

    @property
    def subject(self) -> str:
        """The player."""
        return self.event.player_id


def ranked(entries: Sequence[Entry]) -> list[Entry]:
    """Entries by priority, greatest first, else in their order; none before an earlier one of the same player.

    What an important event has to follow is as important as it.
    """
    greatest: dict[str, int] = {}
    ranks = []
    for entry in reversed(entries):
        rank = greatest[entry.subject] = max(entry.priority, greatest.get(entry.subject, entry.priority))
        ranks.append(-rank)
    ranks.reverse()
    return [entry for _, _, entry in sorted(zip(ranks, range(len(entries)), entries, strict=True))]


class Ring:
    """At most `events_max` events, oldest first. Not thread-safe: the caller holds a lock."""

    def __init__(self, events_max: int = EVENTS_MAX) -> None:
        self._events_max = events_max
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def full(self) -> bool:
        """Whether nothing more fits."""
        return len(self._entries) >= self._events_max

    @property
    def oldest(self) -> Entry | None:
        """The event that has waited longest."""
        return self._entries[0] if self._entries else None

    def put(self, entry: Entry) -> None:
        """Add an event behind all others."""
        assert not self.full, "the caller makes room first"
        self._entries.append(entry)

    def take(self, count: int, held: Collection[str] = ()) -> list[Entry]:
        """Take out the next events, at most `count`, leaving those of held players."""
        free = [entry for entry in self._entries if entry.subject not in held] if held else self._entries
        taken = ranked(free)[:count]
        numbers = {entry.sequence for entry in taken}
        self._entries = [entry for entry in self._entries if entry.sequence not in numbers]
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Return what was taken to its place; for that the ring may hold more than it should."""
        self._entries = sorted([*entries, *self._entries], key=lambda entry: entry.sequence)

    def empty(self) -> list[Entry]:
        """Take out everything, oldest first."""
        taken, self._entries = self._entries, []
        return taken
