"""Keyed: a map from entries to other CRDTs, each entry growing by itself."""

from __future__ import annotations

from typing import Any, ClassVar

from projections.crdt.crdt import Crdt, Entries, Key, State, merged
from projections.errors import DeclarationRefused
from projections.fields import Field
from projections.fields import reader as read_fields
from schemas import Event

#: For each entry, what this region has contributed to each CRDT, in the order they are declared in.
Contribution = tuple[tuple[tuple[Any, ...], tuple[Any, ...]], ...]


class Keyed(Crdt):
    """`Keyed(entry="zone", visits=Grow(PlaceEntered), depth=Highest(PlaceEntered, "depth"))`.

    `entry` is a field, or several, that every fact used has; "event_id" makes an entry of each event. Entries are never
    removed.
    """

    start: ClassVar[Any] = ()

    def __init__(self, *, entry: str | tuple[str, ...], **crdts: Crdt) -> None:
        if not crdts:
            raise DeclarationRefused("Keyed needs at least one CRDT: Keyed(entry=..., visits=Grow(PlaceEntered))")
        for name, crdt in crdts.items():
            if crdt.entries(name):
                raise DeclarationRefused(f"{name}: a Keyed map holds single values, not {type(crdt).__name__}")
        self.crdts = crdts
        self.facts = tuple(dict.fromkeys(fact for crdt in crdts.values() for fact in crdt.facts))
        names = (entry,) if isinstance(entry, str) else entry
        self.keys = tuple(_key(name, self.facts) for name in names)
        for key in self.keys:
            _ = key.type
        self._entry = {fact: read_fields([key.field(fact) for key in self.keys]) for fact in self.facts}

    def add(self, contribution: Contribution, event: Event) -> Contribution:
        """The event is folded into its entry's CRDTs."""
        fact = event.WhichOneof("fact") or ""
        entry, held = self._entry[fact](event), dict(contribution)
        before = held.get(entry, tuple(crdt.start for crdt in self.crdts.values()))
        held[entry] = tuple(
            crdt.add(had, event) if fact in crdt.facts else had
            for crdt, had in zip(self.crdts.values(), before, strict=True)
        )
        return tuple(sorted(held.items(), key=lambda item: item[0]))

    def joined(self, ours: Contribution, theirs: Contribution) -> Contribution:
        """Entry by entry, CRDT by CRDT."""

        def both(mine: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(c.joined(a, b) for c, a, b in zip(self.crdts.values(), mine, other, strict=True))

        return merged(ours, theirs, both)

    def value(self, name: str, state: State) -> dict[str, Any]:
        """For each entry, the value of each CRDT over all regions."""
        by_entry: dict[tuple[Any, ...], list[tuple[str, tuple[Any, ...]]]] = {}
        for region, contribution in state:
            for entry, held in contribution:
                by_entry.setdefault(entry, []).append((region, held))
        values: dict[tuple[Any, ...], dict[str, Any]] = {}
        for entry, regions in by_entry.items():
            values[entry] = {}
            for at, (column, crdt) in enumerate(self.crdts.items()):
                values[entry] |= crdt.value(column, tuple((region, held[at]) for region, held in regions))
        return {name: values}

    def entries(self, name: str) -> tuple[Entries, ...]:
        """A table with a row per entry and the columns of each CRDT."""
        aggregates = tuple(part for column, crdt in self.crdts.items() for part in crdt.aggregates(column))
        values = tuple(part for column, crdt in self.crdts.items() for part in crdt.values(column))
        return (Entries(name, self.keys, aggregates, values),)


def _key(name: str, facts: tuple[str, ...]) -> Key:
    return Key(name, (Field("", name),) if name == "event_id" else tuple(Field(fact, name) for fact in facts))
