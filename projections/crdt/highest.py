"""Highest: the greatest number any event has said."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar

from google.protobuf.message import Message

from projections.aggregates import Max, Min
from projections.crdt.crdt import Crdt, State, Value, whole
from projections.fields import WHOLE, quoted
from projections.sources import Source
from schemas import Event


class Highest(Crdt):
    """`Highest(PlayerLevelled, "level")`: a level never falls, whatever comes late or twice."""

    start: ClassVar[None] = None
    best: ClassVar[Callable[..., Any]] = max
    aggregate: ClassVar[type[Max | Min]] = Max

    def __init__(self, fact: type[Message], field: str) -> None:
        self.facts = (whole(fact, field, type(self).__name__, signed=True),)
        self.field = field
        self._take = attrgetter(f"{self.facts[0]}.{field}")

    def add(self, contribution: int | None, event: Event) -> Any:
        """The better of what is held and what the event says."""
        return self.joined(contribution, self._take(event))

    def joined(self, ours: int | None, theirs: int | None) -> Any:
        """The better of two."""
        return type(self).best((number for number in (ours, theirs) if number is not None), default=None)

    def value(self, name: str, state: State) -> dict[str, Any]:
        """The best of all regions."""
        return {name: type(self).best((number for _, number in state if number is not None), default=None)}

    def aggregates(self, name: str) -> tuple[Max | Min, ...]:
        """One Max (or Min)."""
        return (self.aggregate(name, (Source(self.facts[0], self.field),)),)

    def values(self, name: str) -> tuple[Value, ...]:
        """The best of all regions."""
        function, column = self.aggregate.function, quoted(name)
        return (Value(name, WHOLE, f"{function}({column})", f"{function}(s.{column})"),)
