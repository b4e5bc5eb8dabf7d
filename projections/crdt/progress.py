"""Progress: objectives that are done, and flags that only rise."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, ClassVar

from google.protobuf.message import Message

from projections.aggregates import Max
from projections.crdt.crdt import Crdt, Entries, Key, State, Value, held, merged, whole
from projections.errors import DeclarationRefused
from projections.fields import WHOLE, quoted
from projections.sources import Source
from schemas import Event

#: The objectives done, sorted, and the greatest value of each flag, sorted.
Contribution = tuple[tuple[str, ...], tuple[tuple[str, int], ...]]


class Progress(Crdt):
    """`Progress(objectives=(ObjectiveCompleted, "objective"), flags=(FlagSet, "flag", "value"))`.

    Union and maximum: what one region has seen done is done everywhere, and nothing done is ever undone.
    """

    start: ClassVar[Any] = ((), ())

    def __init__(self, *, objectives: tuple[type[Message], str], flags: tuple[type[Message], str, str]) -> None:
        (objective,) = held(objectives[0], objectives[1:], "Progress")
        (flag,) = held(flags[0], flags[1:2], "Progress")
        self.facts = (objective.fact, whole(flags[0], flags[2], "Progress", signed=True))
        if len(set(self.facts)) != len(self.facts):
            raise DeclarationRefused("Progress needs one fact for objectives and another for flags")
        self.objective, self.flag = Key(objective.name, (objective,)), Key(flag.name, (flag,))
        self.flag_value = flags[2]
        self._objective = attrgetter(objective.path)
        self._flag = attrgetter(flag.path, f"{flag.fact}.{flags[2]}")

    def add(self, contribution: Contribution, event: Event) -> Contribution:
        """One more objective, or a flag raised."""
        if event.WhichOneof("fact") == self.facts[0]:
            return self.joined(contribution, ((self._objective(event),), ()))
        return self.joined(contribution, ((), (self._flag(event),)))

    def joined(self, ours: Contribution, theirs: Contribution) -> Contribution:
        """The union of the objectives, the maximum of each flag."""
        return tuple(sorted({*ours[0], *theirs[0]})), merged(ours[1], theirs[1], max)

    def value(self, name: str, state: State) -> dict[str, Any]:
        """Union and maximum over all regions; `name` is not used, the parts have names of their own."""
        done, flags = self.start
        for _, contribution in state:
            done, flags = self.joined((done, flags), contribution)
        return {
            "objectives": {(objective,): {} for objective in done},
            "flags": {(flag,): {self.flag_value: value} for flag, value in flags},
        }

    def entries(self, name: str) -> tuple[Entries, ...]:
        """A table of objectives, whose rows are the set; and a table of flags, with a Max."""
        column = quoted(self.flag_value)
        highest = Max(self.flag_value, (Source(self.facts[1], self.flag_value),))
        value = Value(self.flag_value, WHOLE, f"max({column})", f"max(s.{column})")
        return (
            Entries("objectives", (self.objective,)),
            Entries("flags", (self.flag,), (highest,), (value,)),
        )
