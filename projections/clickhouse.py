"""ClickHouse: what has been true. Every event in typed columns, and the projections folded from them on the way in.

Records are inserted as they stand in the log: ClickHouse itself decodes the protobuf. A projection is a state table fed
by a materialised view over the events, and a plain view that merges the states; nothing needs FINAL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from projections import PROJECTIONS, VIEWS
from projections.crdt.crdt import Key
from projections.errors import DeclarationRefused, SchemaRefused
from projections.fields import TEXT, WHOLE, names, quoted
from projections.limits import limits
from projections.projection import OrderedView, Projection, Table, tables
from projections.records import INSERT_SETTINGS, LOG_COLUMNS, concatenate, inline_schema, log_fields
from schemas import FACTS, Event, stamps

__all__ = [
    "EVENTS_TABLE",
    "INSERT_SETTINGS",
    "concatenate",
    "inline_schema",
    "insert_columns",
    "log_fields",
    "migrate",
    "read",
]

EVENTS_TABLE = "events"

# How many inserts back a repeated token is recognised: hours of them, for the price of some files' names.
DEDUPLICATION_WINDOW = 10_000

# Below this size a part is one file instead of two for each of a hundred columns, which an insert pays for most.
WIDE_PART_BYTES_MIN = 256 << 20

#: Fields of few distinct texts, stored and compared as numbers. Each costs every insert 2 ms a 100,000 events, whether
#: or not its fact is among them, so only those that most events have.
LOW_CARDINALITY = frozenset({"region", "origin", "zone", "reason"})

_TYPES = {
    FieldDescriptor.TYPE_STRING: "String",
    FieldDescriptor.TYPE_BYTES: "String",
    FieldDescriptor.TYPE_BOOL: "Bool",
    FieldDescriptor.TYPE_DOUBLE: "Float64",
    FieldDescriptor.TYPE_FLOAT: "Float32",
    FieldDescriptor.TYPE_INT32: "Int32",
    FieldDescriptor.TYPE_SINT32: "Int32",
    FieldDescriptor.TYPE_INT64: "Int64",
    FieldDescriptor.TYPE_SINT64: "Int64",
    FieldDescriptor.TYPE_UINT32: "UInt32",
    FieldDescriptor.TYPE_FIXED32: "UInt32",
    FieldDescriptor.TYPE_UINT64: "UInt64",
    FieldDescriptor.TYPE_FIXED64: "UInt64",
}

# After ClickHouse's DateTime has ended; a stamp beyond is refused by the fold, and must not stop the insert.
_TIME = f"fromUnixTimestamp64Milli(toInt64(least(bitShiftRight(stamp, {stamps.COUNTER_BITS}), 4294967295000)), 'UTC')"


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    #: MATERIALIZED, by this expression.
    expression: str = ""

    @property
    def mark(self) -> str:
        """What tells in the column's comment whether its expression is still this one."""
        return _mark(self.expression) if self.expression else ""

    @property
    def sql(self) -> str:
        materialized = f" materialized {self.expression} comment '{self.mark}'" if self.expression else ""
        return f"{quoted(self.name)} {self.type}{materialized}"


def event_columns(projections: Sequence[Projection]) -> tuple[_Column, ...]:
    """The columns of the events table: envelope, `fact`, every fact's fields as `<fact>.<field>`, place in the log.

    `foldable` is whether the event is within the limits of these projections.
    """
    members = ", ".join(f"'{field.name}' = {field.number}" for field in _members())
    within = [limit.within for found in limits(tables(projections)).values() for limit in found if limit.binds]
    columns = [
        *(_Column(field.name, _type(field)) for field in Event.DESCRIPTOR.fields if field.containing_oneof is None),
        _Column("fact", f"Enum16('none' = 0, {members})"),
        _Column("time", "DateTime64(3, 'UTC')", _TIME),
        _Column("foldable", "Bool", " and ".join(f"({condition})" for condition in within)),
        *(
            _Column(f"{fact}.{field.name}", _type(field))
            for fact, kind in FACTS.items()
            for field in kind.DESCRIPTOR.fields
        ),
        *(_Column(column.name, column.clickhouse) for column in LOG_COLUMNS),
    ]
    return tuple(columns)


def insert_columns(facts: Iterable[str]) -> list[str]:
    """The columns to name in an insert of records that hold no other facts than these.

    ClickHouse fills the rest in bulk instead of row by row, which takes a quarter off an insert of players' facts.
    """
    envelope = [field.name for field in Event.DESCRIPTOR.fields if field.containing_oneof is None]
    fields = [f"{fact}.{field.name}" for fact in sorted(facts) for field in FACTS[fact].DESCRIPTOR.fields]
    return [*envelope, "fact", *fields, *(column.name for column in LOG_COLUMNS)]


def _members() -> Iterable[FieldDescriptor]:
    return sorted(Event.DESCRIPTOR.oneofs_by_name["fact"].fields, key=lambda field: field.number)


def _type(field: Any) -> str:
    if field.type not in _TYPES:
        raise DeclarationRefused(f"{field.full_name} is of a type that has no column in ClickHouse: use plain fields")
    kind = _TYPES[field.type]
    if kind == "String" and field.name in LOW_CARDINALITY:
        kind = f"LowCardinality({kind})"
    return f"Array({kind})" if field.is_repeated else kind


def events_sql(projections: Sequence[Projection]) -> str:
    """The events table, ordered as the log is: what was inserted together lies together, and no insert is sorted."""
    columns = ",\n    ".join(column.sql for column in event_columns(projections))
    return (
        f"create table if not exists {EVENTS_TABLE} (\n    {columns},\n"
        "    index by_time time type minmax granularity 1,\n"
        "    index by_subject subject type bloom_filter(0.01) granularity 1\n"
        f") engine = MergeTree order by (log_topic, log_partition, log_offset) settings {_table_settings()}"
    )


def _table_settings() -> str:
    return (
        f"non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, min_bytes_for_wide_part = {WIDE_PART_BYTES_MIN}"
    )


def state_name(table: Table) -> str:
    """The name of the state table below the view that readers see."""
    return f"{table.name}_state"


def state_columns(table: Table) -> tuple[_Column, ...]:
    """The keys, and a partial aggregate for each of the table's aggregates."""
    states = [part.state() for part in table.aggregates]
    plain = "Int64" if table.vanishing else ""
    return (
        *(_Column(key.name, key.type.clickhouse) for key in table.keys),
        *(_Column(state.name, plain or state.type) for state in states),
    )


def state_sql(table: Table) -> str:
    """The state table. Rows whose sums are all 0 vanish when parts of a `vanishing` table are merged."""
    columns = ", ".join(column.sql for column in state_columns(table))
    engine = "SummingMergeTree" if table.vanishing else "AggregatingMergeTree"
    return (
        f"create table if not exists {state_name(table)} ({columns}) "
        f"engine = {engine} order by ({names(key.name for key in table.keys)}) settings {_table_settings()}"
    )


def fold_sql(table: Table) -> str:
    """How one insert's events become partial states: a group-by."""
    keys = [_key(key, table.facts) for key in table.keys]
    states = [part.state() for part in table.aggregates]
    selected = [f"{sql} as {quoted(key.name)}" for sql, key in zip(keys, table.keys, strict=True)]
    selected += [f"{state.select} as {quoted(state.name)}" for state in states]
    facts = ", ".join(f"'{fact}'" for fact in table.facts)
    return (
        f"select {', '.join(selected)} from {EVENTS_TABLE} as e "
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
    done = _migrate_table(client, EVENTS_TABLE, events_sql(projections), event_columns(projections))
    for table in tables(projections):
        done += _migrate_table(client, state_name(table), state_sql(table), state_columns(table), table.keys)
        done += _migrate_fold(client, table)
    wanted = {table.name: view_sql(table) for table in tables(projections)}
    wanted |= {view.name: view.sql() for view in views}
    changed = False
    for name, sql in wanted.items():
        # A view that reads another is made anew after it.
        changed = changed or _comment(client, name) != _mark(sql)
        if changed:
            client.command(f"create or replace view {quoted(name)} as {sql} comment '{_mark(sql)}'")
            done.append(name)
    return done


def _migrate_table(
    client: Any, name: str, create: str, columns: Sequence[_Column], keys: Sequence[Key] | None = None
) -> list[str]:
    held = {row[0]: row[1:] for row in _rows(client, _READ_COLUMNS, {"name": name})}
    if not held:
        client.command(create)
        return [name]
    sorted_by = [column for column, (_, _, in_key) in held.items() if in_key]
    if keys is not None and sorted_by != [key.name for key in keys]:
        raise SchemaRefused(
            f"{name} is kept by ({', '.join(sorted_by)}), declared by ({names(key.name for key in keys)}): {_ADVICE}"
        )
    done = []
    # An expression may speak of a column that is new as well.
    for column in sorted(columns, key=lambda column: bool(column.expression)):
        if column.name not in held:
            client.command(f"alter table {quoted(name)} add column if not exists {column.sql}")
        elif held[column.name][0] == column.type and held[column.name][1] == column.mark:
            continue
        elif held[column.name][0] == column.type or _extends(column.type, held[column.name][0]):
            client.command(f"alter table {quoted(name)} modify column {column.sql}")
        else:
            raise SchemaRefused(f"{name}.{column.name} is {held[column.name][0]}, declared {column.type}: {_ADVICE}")
        done.append(f"{name}.{column.name}")
    return done


_ADVICE = "give it a new name, or drop the table and fold again from the log"
_READ_COLUMNS = """
select name, type, comment, is_in_sorting_key
from system.columns where database = currentDatabase() and table = {name:String} order by position
"""
_READ_COMMENT = "select comment from system.tables where database = currentDatabase() and name = {name:String}"


def _extends(declared: str, held: str) -> bool:
    """Whether an enumeration of facts has only grown."""
    prefix = "Enum16("
    members = [set(kind.removeprefix(prefix).removesuffix(")").split(", ")) for kind in (declared, held)]
    return declared.startswith(prefix) and held.startswith(prefix) and members[0] >= members[1]


def _migrate_fold(client: Any, table: Table) -> list[str]:
    name, sql = f"{table.name}_fold", fold_sql(table)
    comment = _comment(client, name)
    if comment is None:
        client.command(
            f"create materialized view if not exists {name} to {state_name(table)} as {sql} comment '{_mark(sql)}'"
        )
    elif comment != _mark(sql):
        # In place: were the view dropped and made again, an insert in between would not be folded.
        client.command(f"alter table {name} modify query {sql}")
        client.command(f"alter table {name} modify comment '{_mark(sql)}'")
    else:
        return []
    return [name]


def _comment(client: Any, name: str) -> str | None:
    rows = _rows(client, _READ_COMMENT, {"name": name})
    return rows[0][0] if rows else None


def _mark(sql: str) -> str:
    return f"norn {hashlib.sha256(sql.encode()).hexdigest()}"


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
