"""A worker's status: how far every group has come, how old what it knows is, and whether anybody must act.

Pure: it is given what was read, and the time. Two ages are told apart. *Lag* says how old the world is that a group
shows: the age of the oldest event that waits. *Staleness* says how long events have waited without one being taken up.
Both are nought while nothing waits, so a quiet group is green however long it has been quiet, and a group is stuck
only when it has work and does none of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

# A killed worker is folding again within 30 s, and a poll of a model's answers may take as long again.
STUCK_AFTER_S = 60.0

# Ten seconds smooth the two or three commits a second of a worker at full speed, and still follow a game that starts.
RATE_WINDOW_S = 10.0

# An hour of samples a second, should the log never rest; beyond it the stamp of the last folded event tells the age.
END_OFFSET_SAMPLES_MAX = 3_600

# Servers are looked at once a second; what is older than a few looks is old news.
OLD_AFTER_S = 5.0

GAME_COMMAND = "python -m examples.nethack --heroes 8"

OK, WAITING, STUCK = "ok", "waiting", "stuck"
QUIET, WORKING = "quiet", "working"


class Place(NamedTuple):
    """A partition of the log."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group stands in one partition, as Postgres says. Times in Unix milliseconds, 0 when there was none."""

    group: str
    topic: str
    partition: int
    next_offset: int
    events: int
    stamped_ms: int
    folded_ms: int

    @property
    def place(self) -> Place:
        """The partition stood in."""
        return Place(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class DotCount:
    """What one group's dots in one partition say: events missing, and repeats dropped."""

    holes: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class Partition:
    """One group in one partition. None: the broker has not said where the partition ends."""

    group: str
    topic: str
    partition: int
    next_offset: int
    end_offset: int | None
    lag_events: int | None
    lag_s: float | None
    staleness_s: float | None

    @property
    def place(self) -> Place:
        """The partition stood in."""
        return Place(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class Group:
    """One group over all its partitions; ages are those of its worst partition."""

    group: str
    state: str
    events: int = 0
    events_per_s: float = 0.0
    lag_events: int = 0
    lag_s: float = 0.0
    staleness_s: float = 0.0
    holes: int = 0
    duplicates: int = 0


class Seen(NamedTuple):
    """A partition ended at `end`, from `first_ms` to `last_ms` at least. Times in Unix milliseconds."""

    end: int
    first_ms: int
    last_ms: int


class EndOffsets:
    """Where each partition ended, and when: so that the age of an event is known without reading it."""

    def __init__(self) -> None:
        self._seen: dict[Place, deque[Seen]] = {}

    def note(self, ends: Mapping[Place, int], now_ms: int) -> None:
        """Remember where partitions end."""
        for place, end in ends.items():
            seen = self._seen.setdefault(place, deque(maxlen=END_OFFSET_SAMPLES_MAX))
            if seen and end < seen[-1].end:
                # A topic made anew begins again.
                seen.clear()
            first_ms = seen.pop().first_ms if seen and seen[-1].end == end else now_ms
            seen.append(Seen(end, first_ms, now_ms))

    def end(self, place: Place) -> int | None:
        """Where a partition ended when last seen."""
        seen = self._seen.get(place)
        return seen[-1].end if seen else None

    def age_s(self, place: Place, offset: int, after_ms: int, now_ms: int) -> float:
        """The age of the event at `offset`, known otherwise to have arrived after `after_ms` (0: not known).

        It arrived after the log was last seen to end before it, so a quiet night does not count as an age. Of an event
        that was there before the log was first seen, with nothing else known, the age is what has been seen of it.
        """
        seen = self._seen[place]
        index = bisect_right(seen, offset, key=attrgetter("end"))
        arrived_ms = max(after_ms, seen[index - 1].last_ms if index else 0) or seen[0].first_ms
        return round(max(now_ms - arrived_ms, 0) / 1000, 1)


class Rates:
    """Events a second per group, over the last seconds."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def note(self, standings: Iterable[Standing], now_s: float) -> None:
        """Remember how many events each group has folded. `now_s` is monotonic."""
        events: dict[str, int] = {}
        for standing in standings:
            events[standing.group] = events.get(standing.group, 0) + standing.events
        for group, count in events.items():
            samples = self._samples.setdefault(group, deque())
            if samples and count < samples[-1][1]:
                samples.clear()
            samples.append((now_s, count))
            while len(samples) > 2 and samples[1][0] <= now_s - RATE_WINDOW_S:
                samples.popleft()

    def events_per_s(self, now_s: float) -> dict[str, float]:
        """Each group's rate; 0 once nothing has been heard for a while."""
        return {group: _rate(samples, now_s) for group, samples in self._samples.items()}


def _rate(samples: Sequence[tuple[float, int]], now_s: float) -> float:
    (first_s, first), (last_s, last) = samples[0], samples[-1]
    if last_s <= first_s or last_s <= now_s - RATE_WINDOW_S:
        return 0.0
    return round((last - first) / (last_s - first_s), 1)


def partitions(standings: Iterable[Standing], ends: EndOffsets, now_ms: int) -> list[Partition]:
    """Every group in every partition it has a position in, in the order given."""
    return [_partition(standing, ends, now_ms) for standing in standings]


def _partition(standing: Standing, ends: EndOffsets, now_ms: int) -> Partition:
    place, offset = standing.place, standing.next_offset
    end = ends.end(place)
    waiting = max(end - offset, 0) if end is not None else None
    lag_s = staleness_s = 0.0 if end is not None else None
    if waiting:
        # What waits was made after the last event folded, near enough.
        lag_s = ends.age_s(place, offset, standing.stamped_ms, now_ms)
        staleness_s = ends.age_s(place, offset, standing.folded_ms, now_ms)
    return Partition(standing.group, *place, offset, end, waiting, lag_s, staleness_s)


@dataclass(frozen=True, slots=True)
class View:
    """How much a look at the groups can tell: for how long somebody has looked, and whether anything is seen."""

    watched_s: float
    #: Nothing has been seen yet, or Postgres or Kafka is away: then nobody folds, and nobody knows who would not.
    blind: bool = False
    stuck_after_s: float = STUCK_AFTER_S

    def state(self, lag_events: int, staleness_s: float) -> str:
        """How a group does: quiet, working, stuck, or waiting for what all wait for."""
        if self.blind:
            return WAITING
        # Who has just begun to look has not seen anybody do nothing for long.
        if min(staleness_s, self.watched_s) > self.stuck_after_s:
            return STUCK
        return WORKING if lag_events else QUIET


def groups(
    standings: Iterable[Standing],
    found: Iterable[Partition],
    dots: Mapping[tuple[str, Place], DotCount],
    rates: Mapping[str, float],
    view: View,
) -> list[Group]:
    """Every group over all its partitions. `rates` are events a second."""
    events: Counter[str] = Counter()
    for standing in standings:
        events[standing.group] += standing.events
    holes: Counter[str] = Counter()
    duplicates: Counter[str] = Counter()
    for (group, _), count in dots.items():
        holes[group] += count.holes
        duplicates[group] += count.duplicates
    made = []
    by_group = attrgetter("group")
    for name, members in groupby(sorted(found, key=by_group), by_group):
        parts = list(members)
        lag_events = sum(part.lag_events or 0 for part in parts)
        staleness_s = max(part.staleness_s or 0.0 for part in parts)
        made.append(
            Group(
                group=name,
                state=view.state(lag_events, staleness_s),
                events=events[name],
                events_per_s=rates.get(name, 0.0),
                lag_events=lag_events,
                lag_s=max(part.lag_s or 0.0 for part in parts),
                staleness_s=staleness_s,
                holes=holes[name],
                duplicates=duplicates[name],
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker knows of itself, for the verdict."""

    group: str
    assigned: bool
    #: Since the worker last asked the log for more; None before it first did.
    heartbeat_s: float | None
    waiting: Mapping[str, str]


def verdict(worker: Worker, found: Sequence[Group], view: View) -> tuple[str, list[str]]:
    """ok, waiting or stuck, and why in words.

    Waiting passes by itself: a server is away, or a share of the log has not been given yet. Stuck does not: somebody
    must look.
    """
    waits = [f"Waits for {server}: {reason}" for server, reason in worker.waiting.items()]
    stuck = _stuck(worker, found, view)
    if stuck:
        return STUCK, stuck + waits
    if not worker.assigned:
        waits.append(f"Waits for its share of the log: {worker.group} has not been given partitions yet.")
    elif view.blind and not waits:
        waits.append("Waits for a first look at where the groups stand and where the log ends.")
    if waits:
        return WAITING, waits
    behind = [group for group in found if group.lag_events]
    if not behind:
        return OK, ["Nothing waits: every event has been taken up."]
    worst = max(behind, key=attrgetter("lag_s"))
    return OK, [f"Working: {worst.group} has {worst.lag_events:,} to go, the oldest {worst.lag_s:.1f} s old."]


def _stuck(worker: Worker, found: Sequence[Group], view: View) -> list[str]:
    stuck = [
        f"{group.group} is stuck: {group.lag_events:,} to go, and none was taken up for "
        f"{group.staleness_s:.0f} s; is its worker running? Its log says what it is doing."
        for group in found
        # A group that waits for a server says so itself.
        if group.state == STUCK and not (group.group == worker.group and worker.waiting)
    ]
    if worker.waiting:
        return stuck
    if not worker.assigned and view.watched_s > view.stuck_after_s:
        stuck.append(f"{worker.group} was given no partitions in {view.watched_s:.0f} s: does it reach every broker?")
    if worker.heartbeat_s is not None and worker.heartbeat_s > view.stuck_after_s:
        stuck.append(f"This worker has not asked the log for more in {worker.heartbeat_s:.0f} s: restart it.")
    return stuck


def notes(empty: bool, ages_s: Mapping[str, float | None], unreadable: Mapping[str, str]) -> list[str]:
    """What a reader of the figures must know about them.

    `empty`: there are none. `ages_s`: since each server last answered, None for never. `unreadable`: what could not be
    read, and why.
    """
    told = []
    for server, age_s in ages_s.items():
        if age_s is None:
            told.append(f"{server} has not answered yet: nothing is known from it.")
        elif age_s > OLD_AFTER_S:
            told.append(f"{server} does not answer: what is shown of it was read {age_s:.0f} s ago.")
    told += [f"{name} cannot be read: {why}" for name, why in unreadable.items()]
    if not told and empty:
        told.append(f"No events yet: start a game ({GAME_COMMAND}), or send a fact from your own.")
    return told
