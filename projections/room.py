"""Room: which events still fit the sums of their rows, when a batch would take one past Postgres's bigint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from projections.aggregates import Sum
from projections.fold import Deltas
from projections.projection import Table
from schemas.limits import NUMBER_MAX

#: By table, then by a row's key: its sums, in the order of `sums`.
Sums = Mapping[str, Mapping[tuple[Any, ...], Sequence[int]]]


def sums(table: Table) -> list[str]:
    """The columns of a table that only grow or shrink by what is added: those that may run out of room."""
    return [part.name for part in table.aggregates if isinstance(part, Sum)]


def fitting(tables: Iterable[Table], standing: Sums, additions: Iterable[Deltas]) -> list[bool]:
    """Which additions fit, taken in order, where the rows stand as they do: each is one event's rows of deltas.

    An event that does not fit is left out whole, and those after it are judged without it.
    """
    places = {table.name: _places(table) for table in tables}
    held = {name: {key: list(values) for key, values in rows.items()} for name, rows in standing.items()}
    return [_add(addition, places, held) for addition in additions]


def _places(table: Table) -> tuple[int, list[int]]:
    """How many columns of a row are its key, and where its sums stand."""
    names = [column.name for column in table.columns]
    return len(table.key_columns), [names.index(name) for name in sums(table)]


def _add(
    addition: Deltas,
    places: Mapping[str, tuple[int, list[int]]],
    held: dict[str, dict[tuple[Any, ...], list[int]]],
) -> bool:
    after: list[tuple[str, tuple[Any, ...], list[int]]] = []
    for name, rows in addition.items():
        keys, at = places[name]
        for row in rows:
            before = held.setdefault(name, {}).get(row[:keys]) or [0] * len(at)
            total = [value + row[place] for value, place in zip(before, at, strict=True)]
            if any(not -NUMBER_MAX - 1 <= value <= NUMBER_MAX for value in total):
                return False
            after.append((name, row[:keys], total))
    for name, key, total in after:
        held[name][key] = total
    return True
