"""The toll: what of the events that a producer had acknowledged a store lacks, or holds twice. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from schemas import GoldGained, PlayerScored

#: A topic and the number of one of its partitions.
Place = tuple[str, int]

#: Spread over every partition of the players' topic, and few enough for each to be in most commits.
SUBJECTS = 200
#: Sums of different amounts tell an event lost and another doubled from none of either.
GOLD_MAX = 9


@dataclass(frozen=True, slots=True)
class Held:
    """What one store holds of a producer's events."""

    #: Rows, and different events among them, by partition.
    rows: Mapping[Place, int]
    distinct: Mapping[Place, int]
    #: Points and gold by subject.
    sums: Mapping[str, tuple[int, int]]


@dataclass(slots=True)
class Expected:
    """What the events of a producer come to: points and gold by subject."""

    points: Counter[str] = field(default_factory=Counter)
    gold: Counter[str] = field(default_factory=Counter)

    def add(self, subject: str, fact: Message) -> None:
        """Take up one fact that was published."""
        if isinstance(fact, PlayerScored):
            self.points[subject] += fact.points
        elif isinstance(fact, GoldGained):
            self.gold[subject] += fact.amount

    def sums(self) -> dict[str, tuple[int, int]]:
        """Points and gold of each subject."""
        return {subject: (self.points[subject], self.gold[subject]) for subject in {*self.points, *self.gold}}


@dataclass(frozen=True, slots=True)
class Toll:
    """What all stores together lost and doubled, and the first subjects whose sums are wrong."""

    lost: int
    doubled: int
    examples: tuple[str, ...]


#: Of the wrong sums, for whoever looks into them.
EXAMPLES_MAX = 5


def facts(count: int, seed: int) -> Iterator[tuple[str, Message]]:
    """So many facts with their subjects, points and gold by turns; the same seed gives the same."""
    drawn = random.Random(seed)
    for number in range(count):
        subject = f"chaos-{drawn.randrange(SUBJECTS)}"
        if number % 2:
            yield subject, GoldGained(amount=drawn.randint(1, GOLD_MAX), reason="chaos")
        else:
            yield subject, PlayerScored(points=1, reason="chaos")


def toll(
    acknowledged: Mapping[Place, int], expected: Mapping[str, tuple[int, int]], stores: Mapping[str, Held]
) -> Toll:
    """Hold every store against what was acknowledged.

    An event whose number a store has not had is lost; one that it has in two rows is doubled. A sum that is too small
    or too large by itself, with all numbers there, counts as one event for the subject.
    """
    lost = doubled = 0
    examples: list[str] = []
    for name, held in stores.items():
        places = {*acknowledged, *held.distinct, *held.rows}
        short = sum(max(0, acknowledged.get(place, 0) - held.distinct.get(place, 0)) for place in places)
        over = sum(max(0, held.rows.get(place, 0) - held.distinct.get(place, 0)) for place in places)
        wrong = {
            subject: (expected.get(subject, (0, 0)), held.sums.get(subject, (0, 0)))
            for subject in sorted({*expected, *held.sums})
            if expected.get(subject, (0, 0)) != held.sums.get(subject, (0, 0))
        }
        # A sum shows again what the numbers have shown already, so the larger of both is the toll.
        lost += max(short, sum(_too_few(*both) for both in wrong.values()))
        doubled += max(over, sum(_too_many(*both) for both in wrong.values()))
        examples += [f"{name}: {subject} has {found} for {right}" for subject, (right, found) in wrong.items()]
    return Toll(lost, doubled, tuple(examples[:EXAMPLES_MAX]))


def _too_few(right: tuple[int, int], found: tuple[int, int]) -> int:
    """Events missing in a subject's sums: a point is an event, and gold too little is one at least."""
    return max(0, right[0] - found[0]) + (found[1] < right[1])


def _too_many(right: tuple[int, int], found: tuple[int, int]) -> int:
    return max(0, found[0] - right[0]) + (found[1] > right[1])


def as_object(found: Toll) -> dict[str, Any]:
    """For JSON."""
    return {"lost": found.lost, "doubled": found.doubled, "examples": list(found.examples)}
