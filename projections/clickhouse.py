"""ClickHouse: what has been true. Every event in typed columns, and the projections folded from them on the way in.

A projection is a state table fed by materialised views over the events tables (see `projections.events_tables`), and a
plain view that merges the states; nothing needs FINAL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from projections import PROJECTIONS, VIEWS
from projections.crdt.crdt import Key
from projections.errors import SchemaRefused
from projections.events_tables import (
    EVENTS,
    EVENTS_TABLES,
    OTHER,
    Column,
    EventsTable,
    all_events_sql,
    event_columns,
    events_sql,
    mark,
    table_settings,
)
from projections.fields import TEXT, WHOLE, names, quoted
from projections.projection import OrderedView, Projection, Table, tables


def state_name(table: Table) -> str:
    """The name of the state table below the view that readers see."""
    return f"{table.name}_state"


def state_columns(table: Table) -> tuple[Column, ...]:
    """The keys, and a partial aggregate for each of the table's aggregates."""
    states = [part.state() for part in table.aggregates]
    plain = "Int64" if table.vanishing else ""
    return (
        *(Column(key.name, key.type.clickhouse) for key in table.keys),
        *(Column(state.name, plain or state.type) for state in states),
    )


def state_sql(table: Table) -> str:
    """The state table. Rows whose sums are all 0 vanish when parts of a `vanishing` table are merged."""
    columns = ", ".join(column.sql for column in state_columns(table))
    engine = "SummingMergeTree" if table.vanishing else "AggregatingMergeTree"
    return (
        f"create table if not exists {state_name(table)} ({columns}) "
        f"engine = {engine} order by ({names(key.name for key in table.keys)}) settings {table_settings()}"
    )


def fold_views(table: Table) -> dict[str, str]:
    """Every view that feeds a state table, by name: one for each table of events that can hold its facts."""
    sources = [source for source in EVENTS_TABLES if source.facts.intersection(table.facts)]
    return {f"{table.name}_fold_{source.kind}": fold_sql(table, source) for source in sources}


def fold_sql(table: Table, source: EventsTable) -> str:
    """How one insert's events become partial states: a group-by."""
    keys = [_key(key, table.facts) for key in table.keys]
    states = [part.state() for part in table.aggregates]
    selected = [f"{sql} as {quoted(key.name)}" for sql, key in zip(keys, table.keys, strict=True)]
    selected += [f"{state.select} as {quoted(state.name)}" for state in states]
    facts = ", ".join(f"'{fact}'" for fact in table.facts if fact in source.facts)
    return (
        f"select {', '.join(selected)} from {source.name} as e "
        f"where e.fact in ({facts}) and e.foldable group by {', '.join(keys)}"
    )


def _key(key: Key, facts: Sequence[str]) -> str:
    by_fact = {field.fact: field.sql for field in key.fields}
    if "" in by_fact:
        return by_fact[""]
    *others, last = [by_fact[fact] for fact in facts]
    parts = [f"e.fact = '{fact}', {sql}" for fact, sql in zip(facts, others, strict=False)]
    chosen = f"multiIf({', '.join(parts)}, {last})" if parts else last
    return f"toString({chosen})" if key.type is TEXT else f"toInt64({chosen})" if key.type is WHOLE else chosen


def view_sql(table: Table) -> str:
    """What readers see. Asking for one key reads only the granules that may hold it."""
    keys = [f"s.{quoted(key.name)}" for key in table.keys]
    columns = [f"{sql} as {quoted(key.name)}" for sql, key in zip(keys, table.keys, strict=True)]
    columns += [f"{value.clickhouse} as {quoted(value.name)}" for value in table.values]
    held = f" having {' and '.join(f'{value.clickhouse} > 0' for value in table.values)}" if table.vanishing else ""
    return f"select {', '.join(columns)} from {state_name(table)} as s group by {', '.join(keys)}{held}"


def migrate(
    client: Any, projections: Sequence[Projection] = PROJECTIONS, views: Sequence[OrderedView] = VIEWS
) -> list[str]:
    """Bring the database up to date; gives the names of what was made or changed. `client` is clickhouse-connect's.

    Each step can be done again, so an interrupted migration is finished by the next. A column that is new to a state
    table starts from the events after it. Raises SchemaRefused when a table holds something else than is declared.
    """
    done = _migrate_events(client, projections)
    for table in tables(projections):
        done += _migrate_table(client, state_name(table), state_sql(table), state_columns(table), table.keys)
        for name, sql in fold_views(table).items():
            done += _migrate_fold(client, name, state_name(table), sql)
    wanted = {table.name: view_sql(table) for table in tables(projections)}
    wanted |= {view.name: view.sql() for view in views}
    changed = False
    for name, sql in wanted.items():
        # A view that reads another is made anew after it.
        changed = changed or _comment(client, name) != mark(sql)
        if changed:
            client.command(f"create or replace view {quoted(name)} as {sql} comment '{mark(sql)}'")
            done.append(name)
    return done


def _migrate_events(client: Any, projections: Sequence[Projection]) -> list[str]:
    done = _keep_older_events(client)
    for table in EVENTS_TABLES:
        done += _migrate_table(client, table.name, events_sql(table, projections), event_columns(table, projections))
    if _comment(client, EVENTS) != mark(all_events_sql()):
        client.command(f"{all_events_sql()} comment '{mark(all_events_sql())}'")
        done.append(EVENTS)
    return done


def _keep_older_events(client: Any) -> list[str]:
    """Before there was a table for each kind of topic, `events` held them all, and one view fed each state from it."""
    done = []
    if _rows(client, _READ_OLDER_EVENTS, {"name": EVENTS}):
        # First of all: a worker that still runs then fails, instead of writing what no view folds.
        client.command(f"rename table {EVENTS} to {OTHER.name}")
        done.append(OTHER.name)
    for (view,) in _rows(client, _READ_OLDER_FOLDS):
        client.command(f"drop view {quoted(view)}")
        done.append(view)
    return done


def _migrate_table(
    client: Any, name: str, create: str, columns: Sequence[Column], keys: Sequence[Key] | None = None
) -> list[str]:
    held = {row[0]: _Held(*row[1:]) for row in _rows(client, _READ_COLUMNS, {"name": name})}
    if not held:
        client.command(create)
        return [name]
    sorted_by = [column for column, found in held.items() if found.is_key]
    if keys is not None and sorted_by != [key.name for key in keys]:
        raise SchemaRefused(
            f"{name} is kept by ({', '.join(sorted_by)}), declared by ({names(key.name for key in keys)}): {_ADVICE}"
        )
    done = []
    # An expression may speak of a column that is new as well.
    for column in sorted(columns, key=lambda column: bool(column.expression)):
        change = _change(name, column, held.get(column.name))
        if change:
            client.command(f"alter table {quoted(name)} {change}")
            done.append(f"{name}.{column.name}")
    return done


@dataclass(frozen=True)
class _Held:
    """A column as ClickHouse has it; `kind` is DEFAULT, MATERIALIZED, ALIAS or nothing."""

    type: str
    kind: str
    comment: str
    is_key: int


def _change(name: str, column: Column, held: _Held | None) -> str:
    """What brings a column up to date, or ""; raises SchemaRefused where nothing does."""
    if held is None:
        return f"add column if not exists {column.sql}"
    if held.type != column.type and not _extends(column.type, held.type):
        raise SchemaRefused(f"{name}.{column.name} is {held.type}, declared {column.type}: {_ADVICE}")
    if column.stored and held.kind == "ALIAS":
        return f"modify column {quoted(column.name)} remove alias"
    return "" if (held.type, held.comment) == (column.type, column.comment) else f"modify column {column.sql}"


_ADVICE = "give it a new name, or drop the table and fold again from the log"
_READ_COLUMNS = """
select name, type, default_kind, comment, is_in_sorting_key
from system.columns where database = currentDatabase() and table = {name:String} order by position
"""
_READ_OLDER_EVENTS = """
select name from system.tables where database = currentDatabase() and name = {name:String} and engine = 'MergeTree'
"""
_READ_OLDER_FOLDS = """
select name from system.tables
where database = currentDatabase() and engine = 'MaterializedView' and endsWith(name, '_fold')
"""
_READ_COMMENT = "select comment from system.tables where database = currentDatabase() and name = {name:String}"


def _extends(declared: str, held: str) -> bool:
    """Whether an enumeration of facts has only grown."""
    prefix = "Enum16("
    members = [set(kind.removeprefix(prefix).removesuffix(")").split(", ")) for kind in (declared, held)]
    return declared.startswith(prefix) and held.startswith(prefix) and members[0] >= members[1]


def _migrate_fold(client: Any, name: str, state: str, sql: str) -> list[str]:
    comment = _comment(client, name)
    if comment is None:
        client.command(f"create materialized view if not exists {name} to {state} as {sql} comment '{mark(sql)}'")
    elif comment != mark(sql):
        # In place: were the view dropped and made again, an insert in between would not be folded.
        client.command(f"alter table {name} modify query {sql}")
        client.command(f"alter table {name} modify comment '{mark(sql)}'")
    else:
        return []
    return [name]


def _comment(client: Any, name: str) -> str | None:
    rows = _rows(client, _READ_COMMENT, {"name": name})
    return rows[0][0] if rows else None


def _rows(client: Any, query: str, parameters: Mapping[str, str] | None = None) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = client.query(query, parameters=parameters).result_rows
    return rows


def read(client: Any, projection: Projection) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Every key's value, by column; a table of entries is a dictionary by entry. In the same form as `memory`."""
    own, *others = projection.tables
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key, values in _read_table(client, own):
        found[key] = {**values, **{part: {} for part in projection.entries()}}
    for part, table in zip(projection.entries(), others, strict=True):
        for key, values in _read_table(client, table):
            found[key[: len(own.keys)]][part][key[len(own.keys) :]] = values
    return found


def _read_table(client: Any, table: Table) -> Iterable[tuple[tuple[Any, ...], dict[str, Any]]]:
    values = [value.name for value in table.values]
    columns = ", ".join(quoted(name) for name in [*(key.name for key in table.keys), *values])
    for row in _rows(client, f"select {columns} from {quoted(table.name)}"):
        # The client gives UTC as times without a zone.
        key = tuple(v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for v in row[: len(table.keys)])
        yield key, dict(zip(values, row[len(table.keys) :], strict=True))
