"""Aggregates: the four folds that every CRDT is made of, in each of the faces that fold many events at once.

An aggregate turns the events of one batch into a few columns of one row per key and region. Two such rows are *added*
when they come from different events, and *joined* when they are copies of one row that may have seen the same events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add, attrgetter, gt, lt
from typing import Any, ClassVar

import polars as pl

from projections.fields import REAL, TRUTH, WHOLE, ColumnType, Field, quoted
from projections.sources import Source
from schemas import Event

#: Folds one event into one slot of a row.
Update = Callable[[list[Any], Event], None]


@dataclass(frozen=True)
class Column:
    """A column of a table in Postgres: its name, its type, and what its rows hold before the first fact."""

    name: str
    type: ColumnType
    constraint: str = ""


@dataclass(frozen=True)
class StateColumn:
    """A column of a state table in ClickHouse: its name, its type, and how the view over events computes it."""

    name: str
    type: str
    select: str


class Aggregate(ABC):
    """One fold of events into columns of a row."""

    name: str
    #: What a row's slot holds before the first event, in Python.
    start: ClassVar[Any] = None

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The columns it takes, in Postgres and in a row of deltas."""

    @property
    @abstractmethod
    def fields(self) -> set[Field]:
        """Every field it reads."""

    @abstractmethod
    def updates(self, slot: int, fact: str) -> list[Update]:
        """Python: what an event of this fact does to a row's slot."""

    def flat(self, held: Any) -> tuple[Any, ...]:
        """Python: a slot as its columns."""
        return (held,)

    def reductions(self, present: Collection[str]) -> list[pl.Expr]:
        """Columns: expressions over a group in which only these facts occur; none when `pick` does it instead."""
        return []

    def pick(self, rows: pl.LazyFrame, keys: list[str], present: Collection[str]) -> pl.LazyFrame | None:
        """Columns: a frame of keys and columns, at most one row a key; None when `reductions` do it instead."""
        return None

    @abstractmethod
    def added(self) -> Mapping[str, str]:
        """Postgres: each column after adding the row `excluded` to the row `t`."""

    @abstractmethod
    def joined(self) -> Mapping[str, str]:
        """Postgres: each column of the join of the copies `excluded` and `t` of one row."""

    @abstractmethod
    def state(self) -> StateColumn:
        """ClickHouse: the column of the state table."""


@dataclass(frozen=True)
class Sum(Aggregate):
    """The sum of what events give. Exactly once each: a copy of the row that has seen more has the greater sum."""

    name: str
    sources: tuple[Source, ...]
    start: ClassVar[int] = 0

    @property
    def fields(self) -> set[Field]:
        """What the sources read."""
        return {source.read for source in self.sources if source.read is not None}

    @property
    def columns(self) -> tuple[Column, ...]:
        """One whole number, 0 before the first fact."""
        return (Column(self.name, WHOLE, "not null default 0"),)

    def updates(self, slot: int, fact: str) -> list[Update]:
        """Add each source's value."""
        return [_adder(slot, source.value()) for source in self.sources if source.fact in ("", fact)]

    def reductions(self, present: Collection[str]) -> list[pl.Expr]:
        """The sum over a group."""
        totals = [source.total() for source in self.sources if not source.fact or source.fact in present]
        return [reduce(add, totals, pl.lit(0, pl.Int64)).alias(self.name)]

    def added(self) -> Mapping[str, str]:
        """Sums add."""
        name = quoted(self.name)
        return {self.name: f"t.{name} + excluded.{name}"}

    def joined(self) -> Mapping[str, str]:
        """The one that has seen more."""
        name = quoted(self.name)
        return {self.name: f"greatest(t.{name}, excluded.{name})"}

    def state(self) -> StateColumn:
        """A plain sum over all regions."""
        total = " + ".join(source.sql("sum") for source in self.sources)
        return StateColumn(self.name, "SimpleAggregateFunction(sum, Int64)", total)


def _adder(slot: int, value: Callable[[Event], int]) -> Update:
    def update(row: list[Any], event: Event) -> None:
        row[slot] += value(event)

    return update


@dataclass(frozen=True)
class _Extreme(Aggregate):
    """The greatest or the least of what events give; null before the first fact."""

    name: str
    sources: tuple[Source, ...]
    function: ClassVar[str]
    horizontal: ClassVar[str]
    better: ClassVar[Callable[[Any, Any], bool]]

    @property
    def fields(self) -> set[Field]:
        """What the sources read."""
        return {source.read for source in self.sources if source.read is not None}

    @property
    def columns(self) -> tuple[Column, ...]:
        """One whole number."""
        return (Column(self.name, WHOLE),)

    def updates(self, slot: int, fact: str) -> list[Update]:
        """Keep the better of what is held and what comes."""
        return [
            _keeper(slot, source.value(), type(self).better) for source in self.sources if source.fact in ("", fact)
        ]

    def reductions(self, present: Collection[str]) -> list[pl.Expr]:
        """The extreme over a group."""
        parts = [source for source in self.sources if not source.fact or source.fact in present]
        found = [part.extreme(self.function) for part in parts] or [pl.lit(None, pl.Int64)]
        horizontal = pl.max_horizontal if self.function == "max" else pl.min_horizontal
        return [horizontal(found).alias(self.name)]

    def added(self) -> Mapping[str, str]:
        """The better one; null loses."""
        name = quoted(self.name)
        return {self.name: f"{self.horizontal}(t.{name}, excluded.{name})"}

    def joined(self) -> Mapping[str, str]:
        """Adding is joining: to see an event twice changes nothing."""
        return self.added()

    def state(self) -> StateColumn:
        """The extreme over all regions, null before the first fact."""
        parts = [source.sql(f"{self.function}OrNull") for source in self.sources]
        best = parts[0] if len(parts) == 1 else f"{self.horizontal}({', '.join(parts)})"
        return StateColumn(self.name, f"SimpleAggregateFunction({self.function}, Nullable(Int64))", best)


def _keeper(slot: int, value: Callable[[Event], Any], better: Callable[[Any, Any], bool]) -> Update:
    def update(row: list[Any], event: Event) -> None:
        offered, held = value(event), row[slot]
        if held is None or better(offered, held):
            row[slot] = offered

    return update


class Max(_Extreme):
    """The greatest of what events give."""

    function = "max"
    horizontal = "greatest"
    better = gt


class Min(_Extreme):
    """The least of what events give."""

    function = "min"
    horizontal = "least"
    better = lt


@dataclass(frozen=True)
class _Arg(Aggregate):
    """The values of the event with the extreme (stamp, region, values): a total order, whatever the clocks do."""

    name: str
    fact: str
    values: tuple[Field, ...]
    function: ClassVar[str]
    better: ClassVar[Callable[[Any, Any], bool]]
    comparison: ClassVar[str]

    @property
    def fields(self) -> set[Field]:
        """The values; the stamp and the region are every event's."""
        return {value.plain for value in self.values}

    @property
    def stamp(self) -> str:
        """The name of the column that holds the stamp of the values."""
        return f"{self.name}_stamp"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The stamp of the values, and the values; all null before the first fact."""
        return (Column(self.stamp, WHOLE), *(Column(value.label, value.type) for value in self.values))

    def updates(self, slot: int, fact: str) -> list[Update]:
        """Within one region, compare (stamp, values)."""
        if fact != self.fact:
            return []
        take = attrgetter("stamp", *(value.path for value in self.values))
        return [_keeper(slot, take, type(self).better)]

    def flat(self, held: Any) -> tuple[Any, ...]:
        """The stamp and the values; adding zero turns a float's -0.0 into 0.0, which equals it in another form."""
        if held is None:
            return (None,) * (1 + len(self.values))
        stamp, *values = held
        return (
            stamp,
            *(value + 0.0 if field.type is REAL else value for value, field in zip(values, self.values, strict=True)),
        )

    def reductions(self, present: Collection[str]) -> list[pl.Expr]:
        """Nulls where the fact does not occur; else `pick` finds the columns."""
        if self.fact in present:
            return []
        return [pl.lit(None, column.type.polars).alias(column.name) for column in self.columns]

    def pick(self, rows: pl.LazyFrame, keys: list[str], present: Collection[str]) -> pl.LazyFrame | None:
        """Filter to the best stamp of each key, and order only what is left of it by value."""
        if self.fact not in present:
            return None
        values = [_canonical(value).alias(value.label) for value in self.values]
        candidates = rows.filter(pl.col(self.fact).is_not_null()).select(
            *keys, pl.col("stamp").cast(pl.Int64).alias(self.stamp), *values
        )
        stamp = pl.col(self.stamp)
        last = self.function == "max"
        best = candidates.filter(stamp == (stamp.max() if last else stamp.min()).over(keys))
        ordered = best.sort([value.label for value in self.values], descending=not last)
        return ordered.unique(keys, keep="last", maintain_order=True)

    def added(self) -> Mapping[str, str]:
        """All columns of the better row."""
        names = [column.name for column in self.columns]
        ours, theirs = (", ".join(f"{row}.{quoted(name)}" for name in names) for row in ("t", "excluded"))
        better = f"t.{quoted(self.stamp)} is null or ({theirs}) {self.comparison} ({ours})"
        return {name: f"case when {better} then excluded.{quoted(name)} else t.{quoted(name)} end" for name in names}

    def joined(self) -> Mapping[str, str]:
        """Adding is joining: to see an event twice changes nothing."""
        return self.added()

    def across(self, column: str) -> str:
        """Postgres: one of the values over all regions."""
        order = "desc" if self.function == "max" else "asc"
        return f"(array_agg({quoted(column)} order by {quoted(self.stamp)} {order} nulls last, region {order}))[1]"

    def state(self) -> StateColumn:
        """The best event so far, behind a 1 that tells it from the default of a state that has seen none."""
        types = ", ".join(value.type.clickhouse for value in self.values)
        values = ", ".join(_clickhouse(value) for value in self.values)
        return StateColumn(
            self.name,
            f"AggregateFunction({self.function}, Tuple(UInt8, UInt64, String, {types}))",
            f"{self.function}StateIf((toUInt8(1), e.stamp, toString(e.region), {values}), e.fact = '{self.fact}')",
        )

    def read(self, column: str) -> str:
        """ClickHouse: one of the values, null before the first fact, of the state table `s`."""
        best = f"{self.function}Merge(s.{quoted(self.name)})"
        place = [value.label for value in self.values].index(column) + 4
        return f"if({best}.1 = 1, {best}.{place}, null)"


def _canonical(field: Field) -> pl.Expr:
    # Polars takes adding zero for nothing, so -0.0 is made 0.0 by name.
    column = field.column
    return pl.when(column == 0).then(0.0).otherwise(column) if field.type is REAL else column


def _clickhouse(field: Field) -> str:
    if field.type is REAL:
        return f"{field.sql} + 0.0"
    if field.type is TRUTH:
        return field.sql
    return f"toInt64({field.sql})" if field.type is WHOLE else f"toString({field.sql})"


class ArgMax(_Arg):
    """The values of the event with the greatest (stamp, region, values)."""

    function = "max"
    better = gt
    comparison = ">"


class ArgMin(_Arg):
    """The values of the event with the least (stamp, region, values)."""

    function = "min"
    better = lt
    comparison = "<"
