"""Sources: what the events of one fact give to an aggregate, in each face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

import polars as pl

from projections.fields import Field
from schemas import Event


@dataclass(frozen=True)
class Source:
    """What an event gives to an aggregate: `weight` times a field of one fact, or `weight` alone when there is none.

    A fact of "" stands for every event of the table. `at_least` raises smaller values of the field to itself.
    """

    fact: str
    field: str | None = None
    weight: int = 1
    at_least: int | None = None

    @property
    def read(self) -> Field | None:
        """The field, if one is read."""
        return None if self.field is None else Field(self.fact, self.field)

    def value(self) -> Callable[[Event], int]:
        """Python: what this event gives."""
        if self.read is None:
            return lambda event: self.weight
        take, weight, at_least = attrgetter(self.read.path), self.weight, self.at_least
        if at_least is None:
            return take if weight == 1 else lambda event: weight * take(event)
        return lambda event: weight * max(at_least, take(event))

    @property
    def column(self) -> pl.Expr:
        """Columns: what each event gives, null where it gives nothing."""
        if self.read is None:
            return pl.when(pl.col(self.fact).is_not_null()).then(pl.lit(self.weight, pl.Int64))
        value = self.read.column
        if self.at_least is not None:
            value = value.clip(lower_bound=self.at_least)
        return value if self.weight == 1 else value * self.weight

    def total(self) -> pl.Expr:
        """Columns: what all events of a group give together."""
        if self.read is not None:
            return self.column.sum()
        counted = pl.col(self.fact).is_not_null().sum() if self.fact else pl.len()
        return counted.cast(pl.Int64) * self.weight

    def extreme(self, function: str) -> pl.Expr:
        """Columns: the "max" or the "min" of what the events of a group give."""
        return self.column.max() if function == "max" else self.column.min()

    def sql(self, function: str) -> str:
        """ClickHouse: an aggregate function over what each event gives."""
        value = f"toInt64({self.read.sql})" if self.read else "1"
        if self.at_least is not None:
            value = f"greatest({value}, {self.at_least})"
        value = value if self.weight == 1 else f"{self.weight} * {value}"
        return f"{function}If({value}, e.fact = '{self.fact}')" if self.fact else f"{function}({value})"
