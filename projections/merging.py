"""Merging: the statements by which rows are added to, or joined with, the rows of one table in Postgres."""

from __future__ import annotations

from collections.abc import Mapping

from projections.aggregates import Column
from projections.fields import TEXT, names, quoted
from projections.projection import Table
from projections.room import sums


class Statements:
    """The statements of one table; `own` is the projection's own table, which may be the same."""

    def __init__(self, table: Table, own: Table) -> None:
        self._table = table
        self._target = quoted(table.by_region)
        self._keys = [column.name for column in table.key_columns]
        self.columns = [column.name for column in table.columns]
        self.stage = f"stage_{table.name}"
        stage = ", ".join(f"{quoted(column.name)} {column.type.postgres}" for column in table.columns)
        self.create_stage = f"create temp table if not exists {quoted(self.stage)} ({stage})"
        self.empty_stage = f"truncate {quoted(self.stage)}"
        arrays = _arrays(table.columns)
        added = {name: sql for part in table.aggregates for name, sql in part.added().items()}
        #: Add rows; where rows of nothing are no rows, they give the keys of those that have become nothing.
        self.add_arrays = self._adding(f"unnest({arrays}) as s ({names(self.columns)})", added)
        self.add_stage = self._adding(quoted(self.stage), added)
        self.delete_arrays = (
            f"delete from {self._target} t using unnest({_arrays(table.key_columns)}) as gone ({names(self._keys)}) "
            f"where {_same('t', 'gone', self._keys)}"
        )
        self.keys = len(self._keys)
        #: The keys and sums of the rows with these keys.
        self.read_sums = (
            f"select {names([*self._keys, *sums(table)])} from {self._target} "
            f"where ({names(self._keys)}) in (select * from unnest({_arrays(table.key_columns)}))"
        )
        self.join_stage = self._replacing(own) if table.vanishing else (self._joining(),)

    def _upsert(self, source: str, changes: Mapping[str, str]) -> str:
        columns = names(self.columns)
        # An array's texts have the database's collation: locks must be taken in one order wherever rows come from.
        order = ", ".join(
            f'{quoted(column.name)} collate "C"' if column.type is TEXT else quoted(column.name)
            for column in self._table.key_columns
        )
        sets = ", ".join(f"{quoted(name)} = {sql}" for name, sql in changes.items())
        return (
            f"insert into {self._target} as t ({columns}) select {columns} from {source} order by {order} "
            f"on conflict ({names(self._keys)}) do {f'update set {sets}' if sets else 'nothing'}"
        )

    def _adding(self, source: str, added: Mapping[str, str]) -> str:
        adding = self._upsert(source, added)
        if not self._table.vanishing:
            return adding
        empty = " and ".join(f"{quoted(name)} = 0" for name in added)
        return f"with added as ({adding} returning t.*) select {names(self._keys)} from added where {empty}"

    def _joining(self) -> str:
        joined = {name: sql for part in self._table.aggregates for name, sql in part.joined().items()}
        return self._upsert(quoted(self.stage), joined)

    def _replacing(self, own: Table) -> tuple[str, str]:
        """Rows that may vanish are replaced whole where the copy has seen more of the key's events."""
        keys = [column.name for column in own.key_columns]
        newer = (
            f"(select c.* from {quoted(f'stage_{own.name}')} c left join {quoted(own.by_region)} o "
            f"on {_same('o', 'c', keys)} where c.version > coalesce(o.version, -1)) newer"
        )
        columns = ", ".join(f"s.{quoted(name)}" for name in self.columns)
        return (
            f"delete from {self._target} t using {newer} where {_same('t', 'newer', keys)}",
            f"insert into {self._target} ({names(self.columns)}) select {columns} "
            f"from {quoted(self.stage)} s join {newer} on {_same('s', 'newer', keys)}",
        )


def _same(one: str, other: str, keys: list[str]) -> str:
    return " and ".join(f"{one}.{quoted(key)} = {other}.{quoted(key)}" for key in keys)


def _arrays(columns: tuple[Column, ...]) -> str:
    return ", ".join(f"${at}::{column.type.bare}[]" for at, column in enumerate(columns, start=1))
