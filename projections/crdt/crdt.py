"""What every CRDT here is: a state that only grows, kept apart by region, and how the databases hold the same.

The actors are regions, never workers: a state is what each region has contributed, so its size is that of the world's
regions (a handful), not of its processes. A region's events of one key are folded in one order by one place, so of two
copies of a region's contribution one has always seen all that the other has (Shapiro et al., 2011, state-based CRDTs).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from google.protobuf.message import Message

from projections.aggregates import Aggregate
from projections.errors import DeclarationRefused
from projections.fields import WHOLE, ColumnType, Field
from schemas import FACTS, Event, fact_name

#: What each region has contributed, sorted by region: immutable, and the same bytes for the same state.
State = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Value:
    """A column that readers see, and its value over all regions in Postgres and in ClickHouse's state table `s`."""

    name: str
    type: ColumnType
    postgres: str
    clickhouse: str


@dataclass(frozen=True)
class Key:
    """A column that names what a row is about: one field for each fact that has it, or one of the envelope's."""

    name: str
    fields: tuple[Field, ...]

    @property
    def type(self) -> ColumnType:
        """The type that every fact gives it. Raises DeclarationRefused when they differ."""
        types = {field.type for field in self.fields}
        if len(types) != 1:
            given = ", ".join(f"{field.path} is {field.type.name}" for field in self.fields)
            raise DeclarationRefused(f"the key {self.name!r} needs one type in every fact: {given}")
        return types.pop()

    def field(self, fact: str) -> Field:
        """Where an event of this fact has it."""
        return next(field for field in self.fields if field.fact in ("", fact))


@dataclass(frozen=True)
class Entries:
    """A table beside the projection's own, with a row per entry; `vanishing` when a row of nothing but 0 is no row."""

    part: str
    keys: tuple[Key, ...]
    aggregates: tuple[Aggregate, ...] = ()
    values: tuple[Value, ...] = ()
    vanishing: bool = False


class Crdt(ABC):
    """A state, and what one event, another copy and a reader make of it."""

    #: The names of the facts it folds.
    facts: tuple[str, ...]
    #: What a region has contributed before its first fact.
    start: ClassVar[Any]
    #: Whether it may be kept under a key that is not the partition key.
    anywhere: ClassVar[bool] = True

    @abstractmethod
    def add(self, contribution: Any, event: Event) -> Any:
        """A region's contribution after an event that it has not seen."""

    @abstractmethod
    def joined(self, ours: Any, theirs: Any) -> Any:
        """The least upper bound of two copies of one region's contribution."""

    @abstractmethod
    def value(self, name: str, state: State) -> dict[str, Any]:
        """What readers see: by column, or by entry under the name of a table of entries."""

    def aggregates(self, name: str) -> tuple[Aggregate, ...]:
        """The columns of the projection's own table."""
        return ()

    def values(self, name: str) -> tuple[Value, ...]:
        """What readers see of those columns."""
        return ()

    def entries(self, name: str) -> tuple[Entries, ...]:
        """The tables beside it."""
        return ()

    def fold(self, state: State, event: Event) -> State:
        """The state after one event, which must be new to it and of one of `facts`."""
        contributions = dict(state)
        contributions[event.region] = self.add(contributions.get(event.region, self.start), event)
        return tuple(sorted(contributions.items()))

    def join(self, ours: State, theirs: State) -> State:
        """The least upper bound of two states: associative, commutative, idempotent."""
        return merged(ours, theirs, self.joined)


def merged(
    ours: tuple[tuple[Any, Any], ...], theirs: tuple[tuple[Any, Any], ...], both: Callable[[Any, Any], Any]
) -> tuple[tuple[Any, Any], ...]:
    """Two sorted maps as one; `both` decides where each has a value."""
    held = dict(ours)
    for name, value in theirs:
        held[name] = both(held[name], value) if name in held else value
    return tuple(sorted(held.items()))


def whole(fact: type[Message], field: str | None, crdt: str, signed: bool = False) -> str:
    """The fact's name, having checked that its field, if one is named, is of whole numbers (from 0, unless `signed`).

    Raises DeclarationRefused, and UnknownFact for a message that is no fact.
    """
    name = fact_name(fact)
    if field is None:
        return name
    if Field(name, field).type is not WHOLE:
        raise DeclarationRefused(f"{crdt} needs a whole number, and {fact.DESCRIPTOR.name}.{field} is none")
    descriptor = FACTS[name].DESCRIPTOR.fields_by_name[field]
    if not signed and descriptor.cpp_type not in (descriptor.CPPTYPE_UINT32, descriptor.CPPTYPE_UINT64):
        raise DeclarationRefused(
            f"{crdt} only ever grows, so {fact.DESCRIPTOR.name}.{field} must be unsigned: uint32 or uint64"
        )
    return name


#: What of the envelope a column may hold beside a fact's fields.
_TOLD = ("subject", "origin", "stamp")


def held(
    fact: type[Message], names: Sequence[str], crdt: str, renamed: Mapping[str, str] | None = None
) -> tuple[Field, ...]:
    """The fields of a fact (or of its event's envelope), having checked that a column can hold each.

    renamed: more of them, by the name of the column. Raises DeclarationRefused, and UnknownFact for a message that is
    no fact.
    """
    renamed = renamed or {}
    if not names and not renamed:
        raise DeclarationRefused(f"{crdt} of {fact.DESCRIPTOR.name} keeps no field: name at least one")
    wanted = [*((name, "") for name in names), *((name, alias) for alias, name in renamed.items())]
    fields = tuple(Field("" if name in _TOLD else fact_name(fact), name, alias) for name, alias in wanted)
    for field in fields:
        _ = field.type
    return fields
