"""Grow: a number that only ever grows, the sum of what every region has counted: a G-Counter."""

from __future__ import annotations

from typing import Any, ClassVar

from google.protobuf.message import Message

from projections.aggregates import Sum
from projections.crdt.crdt import Crdt, State, Value, whole
from projections.fields import WHOLE, quoted
from projections.sources import Source
from schemas import Event


class Grow(Crdt):
    """`Grow(PlayerScored, "points")`, or `Grow(PlayerDied)` to count the facts themselves."""

    start: ClassVar[int] = 0

    def __init__(self, fact: type[Message], field: str | None = None) -> None:
        self.facts = (whole(fact, field, "Grow"),)
        self.source = Source(self.facts[0], field)
        self._value = self.source.value()

    def add(self, contribution: int, event: Event) -> int:
        """One more, or as much more as the field says."""
        return contribution + self._value(event)

    def joined(self, ours: int, theirs: int) -> int:
        """Of two copies of one region's count, the one that has seen more."""
        return max(ours, theirs)

    def value(self, name: str, state: State) -> dict[str, Any]:
        """The sum of all regions."""
        return {name: sum(count for _, count in state)}

    def aggregates(self, name: str) -> tuple[Sum, ...]:
        """One Sum."""
        return (Sum(name, (self.source,)),)

    def values(self, name: str) -> tuple[Value, ...]:
        """The sum of all regions."""
        column = quoted(name)
        return (Value(name, WHOLE, f"sum({column})::bigint", f"sum(s.{column})"),)
