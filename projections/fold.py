"""The fold: from events to one row of deltas per table, key and region.

Two ways to the same rows. `events` is plain Python: quick for the few events of a quiet moment. `columns` is Polars
over a decoded frame: quick for the many of a busy one. Rows come sorted by key, so that whoever merges them into a
table takes its locks in one order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import polars as pl

from projections.aggregates import Update
from projections.errors import Unfoldable
from projections.fields import Field, reader
from projections.limits import Limit, limits
from projections.projection import Projection, Table, tables
from schemas import Event

#: Rows by the table's name, in the order of Table.columns, sorted by key. A table without changes is left out.
Deltas = Mapping[str, Sequence[tuple[Any, ...]]]

Row = list[Any]


@dataclass(frozen=True, slots=True)
class _Step:
    """What one fact does to one table."""

    table: int
    key: Callable[[Event], tuple[Any, ...]]
    updates: tuple[Update, ...]
    start: Row


class Fold:
    """Folds events into the rows by which the tables of these projections change."""

    def __init__(self, projections: Sequence[Projection]) -> None:
        self.tables = tables(projections)
        self._limits = {
            fact: tuple(limit for limit in found if limit.binds) for fact, found in limits(self.tables).items()
        }
        facts = dict.fromkeys(fact for table in self.tables for fact in table.facts)
        self._checks = {fact: _check((*self._limits[""], *self._limits.get(fact, ()))) for fact in facts}
        self._steps = {
            fact: tuple(_step(at, table, fact) for at, table in enumerate(self.tables) if fact in table.facts)
            for fact in facts
        }

    @property
    def facts(self) -> frozenset[str]:
        """The names of the facts that change any table."""
        return frozenset(self._steps)

    def check(self, event: Event) -> None:
        """Raises Unfoldable when one of the event's values may not be folded."""
        check = self._checks.get(event.WhichOneof("fact") or "")
        if check is not None:
            check(event)

    def events(self, events: Iterable[Event]) -> Deltas:
        """Fold events one by one. Raises Unfoldable for the first that may not be folded."""
        rows: list[dict[tuple[Any, ...], Row]] = [{} for _ in self.tables]
        checks, steps = self._checks, self._steps
        for event in events:
            fact = event.WhichOneof("fact")
            if fact not in steps:
                continue
            checks[fact](event)
            for step in steps[fact]:
                key = step.key(event)
                row = rows[step.table].get(key)
                if row is None:
                    row = rows[step.table][key] = step.start.copy()
                for update in step.updates:
                    update(row, event)
        flat = (_flat(table, found) for table, found in zip(self.tables, rows, strict=True))
        return {table.name: found for table, found in zip(self.tables, flat, strict=True) if found}

    def columns(self, frame: pl.DataFrame, *, checked: bool = False) -> Deltas:
        """Fold a frame that holds at least what these projections read. Raises Unfoldable, not saying for which event.

        A fact without a column is one that does not occur. checked: whether the values are known to be within limits.
        It takes about a millisecond for each table touched before the first event, and half a microsecond an event.
        """
        held = [fact for fact in self._steps if fact in frame.columns]
        counts = {fact: frame.height - frame[fact].null_count() for fact in held}
        present = {fact for fact, count in counts.items() if count}
        if not checked:
            self.check_columns(frame)
        found = {
            table.name: _fold_columns(
                table, frame, present, sum(counts.get(fact, 0) for fact in table.facts) == frame.height
            )
            for table in self.tables
            if not present.isdisjoint(table.facts)
        }
        return {name: rows for name, rows in found.items() if rows}

    def check_columns(self, frame: pl.DataFrame) -> None:
        """Raises Unfoldable when a value in a frame may not be folded, without saying for which event."""
        held = [fact for fact in self._steps if fact in frame.columns]
        present = {fact for fact in held if frame[fact].null_count() < frame.height}
        if not present:
            return
        wanted = [limit for fact in ("", *sorted(present)) for limit in self._limits.get(fact, ())]
        refused = frame.select(limit.refused.alias(str(at)) for at, limit in enumerate(wanted)).row(0)
        paths = [limit.field.path for limit, bad in zip(wanted, refused, strict=True) if bad]
        if paths:
            raise Unfoldable(f"among {frame.height} events, one may not be folded for its {', '.join(paths)}")


def _touching(table: Table, counts: Mapping[str, int]) -> int:
    """How many events touch a table."""
    return sum(counts.get(fact, 0) for fact in table.facts)


def _check(found: Sequence[Limit]) -> Callable[[Event], None]:
    take = reader([limit.field for limit in found])
    complaints = tuple(limit.complaint() for limit in found)

    def check(event: Event) -> None:
        for complaint, value in zip(complaints, take(event), strict=True):
            wrong = complaint(value)
            if wrong is not None:
                raise Unfoldable(f"event {event.id.hex()} of {event.origin!r}: {wrong}")

    return check


def _step(at: int, table: Table, fact: str) -> _Step:
    key = reader([key.field(fact) for key in table.row_keys])
    updates = [update for slot, part in enumerate(table.aggregates) for update in part.updates(slot, fact)]
    return _Step(at, key, tuple(updates), [part.start for part in table.aggregates])


def _flat(table: Table, rows: dict[tuple[Any, ...], Row]) -> list[tuple[Any, ...]]:
    flats = [part.flat for part in table.aggregates]
    found = []
    for key, row in sorted(rows.items(), key=itemgetter(0)):
        if table.vanishing and not any(row):
            continue
        values = list(key)
        for flat, held in zip(flats, row, strict=True):
            values += flat(held)
        found.append(tuple(values))
    return found


def _fold_columns(table: Table, frame: pl.DataFrame, present: set[str], all_touch: bool) -> list[tuple[Any, ...]]:
    touching = [fact for fact in table.facts if fact in present]
    rows = frame.lazy()
    if not all_touch:
        rows = rows.filter(pl.any_horizontal(pl.col(fact).is_not_null() for fact in touching))
    rows = rows.with_columns(_key(key.fields, touching).alias(key.name) for key in table.row_keys)
    keys = [key.name for key in table.row_keys]
    folded = rows.group_by(keys).agg([one for part in table.aggregates for one in part.reductions(touching)])
    for part in table.aggregates:
        picked = part.pick(rows, keys, touching)
        if picked is not None:
            folded = folded.join(picked, on=keys, how="left")
    if table.vanishing:
        folded = folded.filter(pl.any_horizontal(pl.col(part.name) != 0 for part in table.aggregates))
    return folded.sort(keys).select(column.name for column in table.columns).collect().rows()


def _key(fields: tuple[Field, ...], touching: Sequence[str]) -> pl.Expr:
    found = [field.column for field in fields if field.fact in ("", *touching)]
    return found[0] if len(found) == 1 else pl.coalesce(found)
