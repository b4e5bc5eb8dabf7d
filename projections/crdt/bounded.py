"""BoundedBalance: a balance that no region can take below zero, because each spends only rights it holds.

The bounded counter of Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric
Invariants" (2015). What is gained in a region gives that region rights; rights can be handed to another region; to
spend takes rights away. A region decides alone, without asking, and the sum of all rights is the balance.
"""

from __future__ import annotations

from typing import Any, ClassVar

from google.protobuf.message import Message

from projections.aggregates import Sum
from projections.crdt.balance import Balance
from projections.crdt.crdt import Crdt, State, Value, merged
from projections.errors import RightsExceeded
from schemas import Event

#: What one region has written: all it has spent, and all it has handed to each region (to itself: all it has gained).
Contribution = tuple[int, tuple[tuple[str, int], ...]]
_NOTHING: Contribution = (0, ())


class BoundedBalance(Crdt):
    """`BoundedBalance(plus=(GoldGained, "amount"), minus=(GoldSpent, "amount"))`.

    A fact is folded whatever it says: it has happened. `spend` and `transfer` are what a region asks *before* it
    writes one, and refuse what it has no rights to. In the databases it is a Balance: only its value is held there.
    """

    start: ClassVar[Contribution] = _NOTHING

    def __init__(self, *, plus: tuple[type[Message], str], minus: tuple[type[Message], str]) -> None:
        self._balance = Balance(plus=plus, minus=minus)
        self.facts = self._balance.facts

    def add(self, contribution: Contribution, event: Event) -> Contribution:
        """What the event's region has gained and spent."""
        plus, minus = self._balance.change(event)
        spent, given = contribution
        return spent + minus, _given(given, event.region, plus)

    def joined(self, ours: Contribution, theirs: Contribution) -> Contribution:
        """Every number only grows, so the greater of two copies has seen more."""
        return max(ours[0], theirs[0]), merged(ours[1], theirs[1], max)

    def value(self, name: str, state: State) -> dict[str, Any]:
        """All that was gained less all that was spent; what was handed over cancels."""
        gained = sum(amount for region, (_, given) in state for to, amount in given if to == region)
        return {name: gained - sum(spent for _, (spent, _) in state)}

    def aggregates(self, name: str) -> tuple[Sum, ...]:
        """Those of a Balance."""
        return self._balance.aggregates(name)

    def values(self, name: str) -> tuple[Value, ...]:
        """Those of a Balance."""
        return self._balance.values(name)

    def rights(self, state: State, region: str) -> int:
        """How much a region may spend or hand over without asking anybody."""
        held = 0
        for giver, (spent, given) in state:
            held += sum(amount for to, amount in given if to == region)
            if giver == region:
                held -= spent + sum(amount for to, amount in given if to != region)
        return held

    def gain(self, state: State, region: str, amount: int) -> State:
        """The state after a region has gained an amount, and the rights to it."""
        return _written(state, region, 0, region, amount)

    def spend(self, state: State, region: str, amount: int) -> State:
        """The state after a region has spent an amount. Raises RightsExceeded."""
        self._require(state, region, amount)
        return _written(state, region, amount, region, 0)

    def transfer(self, state: State, giver: str, taker: str, amount: int) -> State:
        """The state after a region has handed rights to another. Raises RightsExceeded."""
        if giver == taker:
            raise RightsExceeded(f"{giver} cannot hand rights to itself: they would come from nowhere")
        self._require(state, giver, amount)
        return _written(state, giver, 0, taker, amount)

    def _require(self, state: State, region: str, amount: int) -> None:
        rights = self.rights(state, region)
        if not 0 <= amount <= rights:
            raise RightsExceeded(f"{region} holds rights to {rights}, not to {amount}: ask another region for some")


def _given(given: tuple[tuple[str, int], ...], to: str, amount: int) -> tuple[tuple[str, int], ...]:
    return merged(given, ((to, amount),), lambda ours, more: ours + more) if amount else given


def _written(state: State, writer: str, spent: int, to: str, amount: int) -> State:
    before, given = dict(state).get(writer, _NOTHING)
    return merged(state, ((writer, (before + spent, _given(given, to, amount))),), lambda _, after: after)
