"""Balance: a number that rises and falls, as two that only grow: a PN-Counter."""

from __future__ import annotations

from typing import Any, ClassVar

from google.protobuf.message import Message

from projections.aggregates import Sum
from projections.crdt.crdt import Crdt, State, Value, whole
from projections.fields import WHOLE, quoted
from projections.sources import Source
from schemas import Event


class Balance(Crdt):
    """`Balance(plus=(GoldGained, "amount"), minus=(GoldSpent, "amount"))`.

    It may fall below zero when two regions spend at once: see BoundedBalance where that must not be.
    """

    start: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, *, plus: tuple[type[Message], str], minus: tuple[type[Message], str]) -> None:
        name = type(self).__name__
        self.plus = Source(whole(*plus, name), plus[1])
        self.minus = Source(whole(*minus, name), minus[1])
        self.facts = tuple(dict.fromkeys((self.plus.fact, self.minus.fact)))
        self._take = {source: source.value() for source in (self.plus, self.minus)}

    def change(self, event: Event) -> tuple[int, int]:
        """What an event adds to each of (plus, minus)."""
        fact = event.WhichOneof("fact")
        plus, minus = (self._take[source](event) if source.fact == fact else 0 for source in (self.plus, self.minus))
        return plus, minus

    def add(self, contribution: tuple[int, int], event: Event) -> tuple[int, int]:
        """Both counts grow by what the event says."""
        plus, minus = self.change(event)
        return contribution[0] + plus, contribution[1] + minus

    def joined(self, ours: tuple[int, int], theirs: tuple[int, int]) -> tuple[int, int]:
        """Of two copies of each count, the one that has seen more."""
        return max(ours[0], theirs[0]), max(ours[1], theirs[1])

    def value(self, name: str, state: State) -> dict[str, Any]:
        """What came in less what went out, over all regions."""
        return {name: sum(plus - minus for _, (plus, minus) in state)}

    def aggregates(self, name: str) -> tuple[Sum, ...]:
        """Two Sums, so that each only grows."""
        return Sum(f"{name}_plus", (self.plus,)), Sum(f"{name}_minus", (self.minus,))

    def values(self, name: str) -> tuple[Value, ...]:
        """The difference over all regions."""
        plus, minus = quoted(f"{name}_plus"), quoted(f"{name}_minus")
        return (Value(name, WHOLE, f"(sum({plus}) - sum({minus}))::bigint", f"sum(s.{plus}) - sum(s.{minus})"),)
