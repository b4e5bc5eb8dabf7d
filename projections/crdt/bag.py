"""Bag: how many of each thing are held. It remembers what it has seen, not what it has lost: no tombstones."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, ClassVar

from google.protobuf.message import Message

from projections.aggregates import Sum
from projections.crdt.crdt import Crdt, Entries, Key, State, Value, whole
from projections.errors import DeclarationRefused
from projections.fields import TEXT, WHOLE, Field, quoted
from projections.sources import Source
from schemas import Event

#: The number of the key's events that a region has folded, and every entry whose quantity is not 0.
Contribution = tuple[int, tuple[tuple[tuple[str, ...], int], ...]]


class Bag(Crdt):
    """`Bag(add=(ItemGained, "item_id"), remove=(ItemLost, "item_id"), quantity="quantity", detail="kind")`.

    Things are instances with ids of their own, so a thing gained here and lost there sums to zero, and a trade cannot
    copy it. A quantity of 0 means 1. `detail` is part of what is counted: a thing is lost as what it was gained as.

    Which of two copies of a region's contribution is the later is told by how many of the key's events it has folded
    (an OR-Set's causal context, for one region a single number; Bieniusa et al., 2012), so entries that are gone need
    no memory. That needs one fold in order per key and region: the key must be the partition key.
    """

    start: ClassVar[Any] = (0, ())
    anywhere: ClassVar[bool] = False

    def __init__(
        self,
        *,
        add: tuple[type[Message], str],
        remove: tuple[type[Message], str],
        quantity: str | None = None,
        detail: str | None = None,
    ) -> None:
        self.added, self.removed = (whole(fact, quantity, "Bag") for fact, _ in (add, remove))
        if self.added == self.removed:
            raise DeclarationRefused("Bag needs one fact that adds and another that removes")
        self.facts = (self.added, self.removed)
        fields = (Field(self.added, add[1]), Field(self.removed, remove[1]))
        self.keys: tuple[Key, ...] = (Key(add[1], fields),)
        if detail is not None:
            self.keys += (Key(detail, tuple(Field(fact, detail) for fact in self.facts)),)
        for key in self.keys:
            if key.type is not TEXT:
                raise DeclarationRefused(f"Bag's {key.name} must be a text")
        at_least = None if quantity is None else 1
        self.sources = (Source(self.added, quantity, 1, at_least), Source(self.removed, quantity, -1, at_least))
        self._change = {source.fact: source.value() for source in self.sources}
        self._entry = {fact: attrgetter(*(key.field(fact).path for key in self.keys)) for fact in self.facts}

    def add(self, contribution: Contribution, event: Event) -> Contribution:
        """One more event seen, and one entry's quantity changed; at zero it is no entry any more."""
        version, entries = contribution
        fact = event.WhichOneof("fact") or ""
        entry = self._entry[fact](event)
        held = dict(entries)
        key = entry if isinstance(entry, tuple) else (entry,)
        held[key] = held.get(key, 0) + self._change[fact](event)
        return version + 1, tuple(sorted((name, quantity) for name, quantity in held.items() if quantity))

    def joined(self, ours: Contribution, theirs: Contribution) -> Contribution:
        """The copy that has seen more events has seen all that the other has."""
        return max(ours, theirs)

    def value(self, name: str, state: State) -> dict[str, Any]:
        """Every entry held, with its quantity over all regions."""
        total: dict[tuple[str, ...], int] = {}
        for _, (_, entries) in state:
            for entry, quantity in entries:
                total[entry] = total.get(entry, 0) + quantity
        held: Mapping[Any, Any] = {entry: {"quantity": count} for entry, count in total.items() if count > 0}
        return {name: held}

    def entries(self, name: str) -> tuple[Entries, ...]:
        """A table with a row per entry: a signed Sum."""
        column = quoted("quantity")
        quantity = Value("quantity", WHOLE, f"sum({column})::bigint", f"sum(s.{column})")
        return (Entries(name, self.keys, (Sum("quantity", self.sources),), (quantity,), vanishing=True),)
