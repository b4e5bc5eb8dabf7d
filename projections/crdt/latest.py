"""Latest: the values of the last event, by (stamp, region, values): a last-writer-wins register."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, ClassVar

from google.protobuf.message import Message

from projections.aggregates import ArgMax, ArgMin
from projections.crdt.crdt import Crdt, State, Value, held
from projections.fields import REAL
from schemas import Event, fact_name


class Latest(Crdt):
    """`Latest(PlayerMoved, "zone", "x", "y")`: one column for each field, all of one and the same event.

    A column is called as its field, or otherwise: `Latest(PlayerMoved, was_in="zone")`. A field is one of the fact, or
    its event's subject, origin or stamp.

    Stamps are hybrid logical clocks, so "last" respects cause and effect; at equal stamps the greater region wins, and
    within one region the greater values, so that any two copies agree.
    """

    start: ClassVar[tuple[Any, ...]] = ()

    def __init__(self, fact: type[Message], *fields: str, **renamed: str) -> None:
        self.fields = held(fact, fields, type(self).__name__, renamed)
        self.facts = (fact_name(fact),)
        self._take = attrgetter("stamp", *(field.path for field in self.fields))

    def add(self, contribution: tuple[Any, ...], event: Event) -> tuple[Any, ...]:
        """The greater of (stamp, values)."""
        return self.joined(contribution, self.offered(event))

    def offered(self, event: Event) -> tuple[Any, ...]:
        """What an event says, as (stamp, values); a float's -0.0 is its 0.0."""
        stamp, *values = self._take(event)
        return (stamp, *(v + 0.0 if f.type is REAL else v for v, f in zip(values, self.fields, strict=True)))

    def joined(self, ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The greater of (stamp, values)."""
        return max(ours, theirs)

    def value(self, name: str, state: State) -> dict[str, Any]:
        """The fields of the greatest (stamp, region, values), or nothing known yet."""
        return self._named(max(self._said(state), default=None))

    def _said(self, state: State) -> list[tuple[Any, ...]]:
        return [(said[0], region, said[1:]) for region, said in state if said]

    def _named(self, best: tuple[Any, ...] | None) -> dict[str, Any]:
        values = best[2] if best else (None,) * len(self.fields)
        return {field.label: value for field, value in zip(self.fields, values, strict=True)}

    def aggregates(self, name: str) -> tuple[ArgMax | ArgMin, ...]:
        """One ArgMax over (stamp, region, values)."""
        return (ArgMax(name, self.facts[0], self.fields),)

    def values(self, name: str) -> tuple[Value, ...]:
        """A column for each field."""
        (best,) = self.aggregates(name)
        return tuple(Value(f.label, f.type, best.across(f.label), best.read(f.label)) for f in self.fields)
