"""Postgres: what is true now. Tables derived from the declarations, and the merge of a batch's deltas into them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from projections import PROJECTIONS, VIEWS
from projections.errors import SchemaRefused
from projections.fields import names, quoted
from projections.fold import Deltas
from projections.indexes import INDEXES, Index
from projections.merging import Statements
from projections.migrations import migrations, pending
from projections.projection import OrderedView, Projection, Table, tables
from projections.room import Sums

# Below this many rows one statement over arrays is quicker than COPY and a statement (measured: they meet near 500).
COPY_ROWS_MIN = 500

# Room on every page for the new versions of its rows, so that an update touches no index (HOT).
FILLFACTOR = 70

#: Held while migrating, so that workers which start together do not migrate together; "norn" as a number.
MIGRATION_LOCK = 0x6E6F726E

_CREATE_MIGRATIONS = """
create table if not exists migrations (
    name text primary key, checksum text not null, applied_at timestamptz not null default now()
)
"""

_READ_COLUMNS = """
select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, k.place
from pg_attribute a
left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
left join lateral (
    select n as place from unnest(i.indkey::int[]) with ordinality as u (attnum, n) where u.attnum = a.attnum
) k on true
where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""


async def migrate(
    connection: Any, projections: Sequence[Projection] = PROJECTIONS, views: Sequence[OrderedView] = VIEWS
) -> list[str]:
    """Bring the database up to date, in one transaction; gives the names of what was made or changed.

    Numbered migrations first, then the tables, indexes and views that the declarations need. A column that is new to a
    table starts from the events after it: to give it its past, fold again from the log. Raises SchemaRefused when a
    table holds something else than is declared, and changes nothing then.
    """
    done: list[str] = []
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        await connection.execute("set local client_min_messages = warning")
        await connection.execute(_CREATE_MIGRATIONS)
        applied = {row["name"]: row["checksum"] for row in await connection.fetch("select * from migrations")}
        for migration in pending(migrations("postgres"), applied):
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into migrations (name, checksum) values ($1, $2)", migration.name, migration.checksum
            )
            done.append(migration.name)
        for table in tables(projections):
            done += await _migrate_table(connection, table)
        made = {table.by_region for table in tables(projections)}
        for index in INDEXES:
            if index.table in made:
                done += await _migrate_index(connection, index)
        wanted = {table.name: view_sql(table) for table in tables(projections)}
        wanted |= {view.name: f"create view {quoted(view.name)} as {view.sql()}" for view in views}
        done += await _migrate_views(connection, wanted)
    return done


async def _migrate_table(connection: Any, table: Table) -> list[str]:
    found = await connection.fetch(_READ_COLUMNS, quoted(table.by_region))
    if not found:
        await connection.execute(table_sql(table))
        return [table.by_region]
    held = {row["name"]: row["type"] for row in found}
    keys = [row["name"] for row in sorted(found, key=lambda row: row["place"] or 0) if row["place"]]
    wanted_keys = [column.name for column in table.key_columns]
    if keys != wanted_keys:
        raise SchemaRefused(
            f"{table.by_region} is kept by ({', '.join(keys)}) and declared by ({', '.join(wanted_keys)}): "
            f"give the projection a new name, or drop the table and fold again from the log"
        )
    done = []
    for column in table.columns:
        if column.name not in held:
            await connection.execute(
                f"alter table {quoted(table.by_region)} "
                f"add column {quoted(column.name)} {column.type.postgres} {column.constraint}"
            )
            done.append(f"{table.by_region}.{column.name}")
        elif held[column.name] != column.type.bare:
            raise SchemaRefused(
                f"{table.by_region}.{column.name} is {held[column.name]} and declared {column.type.bare}: "
                f"give the column a new name, or drop the table and fold again from the log"
            )
    return done


async def _migrate_index(connection: Any, index: Index) -> list[str]:
    # Asked first, because making an index that is there would still wait for everybody who writes.
    if await connection.fetchval("select to_regclass($1)", quoted(index.name)) is not None:
        return []
    await connection.execute(index.sql())
    return [index.name]


async def _migrate_views(connection: Any, wanted: Mapping[str, str]) -> list[str]:
    """Views depend on each other, so when one has changed all are made anew."""
    marks = {name: f"norn {hashlib.sha256(sql.encode()).hexdigest()}" for name, sql in wanted.items()}
    changed = []
    for name, mark in marks.items():
        held = await connection.fetchval("select obj_description(to_regclass($1), 'pg_class')", quoted(name))
        if held != mark:
            changed.append(name)
    if changed:
        for name in reversed(list(wanted)):
            await connection.execute(f"drop view if exists {quoted(name)}")
        for name, sql in wanted.items():
            await connection.execute(sql)
            await connection.execute(f"comment on view {quoted(name)} is '{marks[name]}'")
    return changed


def table_sql(table: Table) -> str:
    """The table of rows by key and region."""
    columns = ", ".join(f"{quoted(c.name)} {c.type.postgres} {c.constraint}".rstrip() for c in table.columns)
    keys = names(column.name for column in table.key_columns)
    return f"create table {quoted(table.by_region)} ({columns}, primary key ({keys})) with (fillfactor = {FILLFACTOR})"


def view_sql(table: Table) -> str:
    """What readers see: each key's value over the regions. Asking for one key reads only that key's rows."""
    keys = names(key.name for key in table.keys)
    values = "".join(f", {value.postgres} as {quoted(value.name)}" for value in table.values)
    held = ""
    if table.vanishing:
        held = " having " + " and ".join(f"{value.postgres} > 0" for value in table.values)
    return (
        f"create view {quoted(table.name)} as select {keys}{values} "
        f"from {quoted(table.by_region)} group by {keys}{held}"
    )


class Writer:
    """Merges rows into the tables of these projections, inside the caller's transactions."""

    def __init__(self, projections: Sequence[Projection], copy_rows_min: int = COPY_ROWS_MIN) -> None:
        self._statements = {
            table.name: Statements(table, projection.tables[0])
            for projection in projections
            for table in projection.tables
        }
        self._copy_rows_min = copy_rows_min

    async def prepare(self, connection: Any) -> None:
        """Make a new connection fit for `merge` and `join`: it gets the temporary tables that COPY fills."""
        for statements in self._statements.values():
            await connection.execute(statements.create_stage)

    async def merge(self, connection: Any, deltas: Deltas) -> None:
        """Add a batch's deltas. Rows and tables come in one order, and so do the locks: writers cannot deadlock."""
        for name, statements in self._statements.items():
            rows = deltas.get(name)
            if not rows:
                continue
            if len(rows) < self._copy_rows_min:
                empty = await connection.fetch(statements.add_arrays, *map(list, zip(*rows, strict=True)))
            else:
                await _stage(connection, statements, rows)
                empty = await connection.fetch(statements.add_stage)
            if empty:
                await connection.execute(statements.delete_arrays, *map(list, zip(*empty, strict=True)))

    async def standing(self, connection: Any, deltas: Deltas) -> Sums:
        """The sums of the rows that these deltas would change, as they stand, by table and key."""
        found = {}
        for name, rows in deltas.items():
            statements = self._statements[name]
            keys = [list(column) for column in zip(*rows, strict=True)][: statements.keys]
            held = await connection.fetch(statements.read_sums, *keys)
            found[name] = {tuple(row)[: statements.keys]: tuple(row)[statements.keys :] for row in held}
        return found

    async def join(self, connection: Any, copies: Deltas) -> None:
        """Join copies of rows: what a replica holds of the same keys and regions, having seen more of them or less.

        All tables of a projection go together. Joining the same copies again, or older ones, changes nothing.
        """
        for name, statements in self._statements.items():
            await _stage(connection, statements, copies.get(name, ()))
        # A projection's own table comes last: until then it says which of two copies has seen more.
        for statements in reversed(self._statements.values()):
            for statement in statements.join_stage:
                await connection.execute(statement)


async def _stage(connection: Any, statements: Statements, rows: Sequence[tuple[Any, ...]]) -> None:
    # Emptied here and not on commit, which would empty every such table of the connection, filled or not.
    await connection.execute(statements.empty_stage)
    await connection.copy_records_to_table(statements.stage, records=rows, columns=statements.columns)


async def read(connection: Any, projection: Projection) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Every key's value, by column; a table of entries is a dictionary by entry. In the same form as `memory`."""
    own, *others = projection.tables
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key, values in await _read_table(connection, own, len(own.keys)):
        found[key] = {**values, **{part: {} for part in projection.entries()}}
    for part, table in zip(projection.entries(), others, strict=True):
        for key, values in await _read_table(connection, table, len(table.keys)):
            found[key[: len(own.keys)]][part][key[len(own.keys) :]] = values
    return found


async def _read_table(connection: Any, table: Table, keys: int) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    columns = [key.name for key in table.keys] + [value.name for value in table.values]
    rows = await connection.fetch(f"select {names(columns)} from {quoted(table.name)}")
    return [(tuple(row)[:keys], dict(zip(columns[keys:], tuple(row)[keys:], strict=True))) for row in rows]
