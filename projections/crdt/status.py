"""Status: how far something has come, over declared ranks: it never goes back."""

from __future__ import annotations

from typing import Any, ClassVar

from google.protobuf.message import Message

from projections.aggregates import Max
from projections.crdt.crdt import Crdt, State, Value
from projections.errors import DeclarationRefused
from projections.fields import TEXT, quoted
from projections.sources import Source
from schemas import Event, fact_name


class Status(Crdt):
    """`Status(requested=DecisionRequested, proposed=DecisionProposed, effective=DecisionEffective)`, from low to high.

    Where two ends are parallel (rejected and expired, say) the one declared later wins, so that all copies agree.
    """

    start: ClassVar[int] = -1

    def __init__(self, **ranks: type[Message]) -> None:
        if not ranks:
            raise DeclarationRefused("Status needs its ranks from low to high: Status(asked=Asked, answered=Answered)")
        self.names = tuple(ranks)
        self.facts = tuple(fact_name(fact) for fact in ranks.values())
        if len(set(self.facts)) != len(self.facts):
            raise DeclarationRefused(f"Status has one rank a fact, and names one twice: {', '.join(self.facts)}")

    def add(self, contribution: int, event: Event) -> int:
        """The rank of the event's fact, if that is higher."""
        return max(contribution, self.facts.index(event.WhichOneof("fact") or ""))

    def joined(self, ours: int, theirs: int) -> int:
        """The higher rank."""
        return max(ours, theirs)

    def value(self, name: str, state: State) -> dict[str, Any]:
        """The name of the highest rank of all regions."""
        rank = max((rank for _, rank in state), default=-1)
        return {name: self.names[rank] if rank >= 0 else None}

    def aggregates(self, name: str) -> tuple[Max, ...]:
        """A Max over ranks counted from 1."""
        return (Max(f"{name}_rank", tuple(Source(fact, weight=at) for at, fact in enumerate(self.facts, start=1))),)

    def values(self, name: str) -> tuple[Value, ...]:
        """The name of the highest rank of all regions."""
        names, rank = ", ".join(f"'{name}'" for name in self.names), quoted(f"{name}_rank")
        return (
            Value(
                name,
                TEXT,
                f"(array[{names}])[max({rank})]",
                f"if(max(s.{rank}) is null, null, [{names}][assumeNotNull(max(s.{rank}))])",
            ),
        )
