"""The tables of events in ClickHouse: one for the topics of each kind, and `events` to read all of them as one.

Records are inserted as they stand in the log: ClickHouse itself decodes the protobuf. Each table has a column for every
field of every fact, but stores only those of its own topics' facts; the others are aliases of nothing, which cost no
insert anything and let every table be asked and folded by the same SQL (docs/adr/0006).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from projections.errors import DeclarationRefused
from projections.fields import quoted
from projections.limits import limits
from projections.projection import Projection, tables
from projections.records import LOG_COLUMNS
from schemas import FACTS, TOPICS, Event, stamps

#: What readers ask: every event, whichever table it is in.
EVENTS = "events"

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

_ENVELOPE = tuple(field for field in Event.DESCRIPTOR.fields if field.containing_oneof is None)


@dataclass(frozen=True)
class Column:
    """A column of a table in ClickHouse."""

    name: str
    type: str
    #: How ClickHouse computes it when it is inserted: MATERIALIZED, by this expression.
    expression: str = ""
    #: Whether it stores a value; else it reads as its type's default.
    stored: bool = True

    @property
    def comment(self) -> str:
        """What tells whether its expression is still this one."""
        return mark(self.expression) if self.expression else ""

    @property
    def sql(self) -> str:
        """Its definition."""
        defined = f"{quoted(self.name)} {self.type}"
        if not self.stored:
            return f"{defined} alias defaultValueOfTypeName('{self.type}')"
        return f"{defined} materialized {self.expression} comment '{self.comment}'" if self.expression else defined


@dataclass(frozen=True)
class EventsTable:
    """A table of events: the kind of topics it is for, and the facts whose fields it stores."""

    kind: str
    facts: frozenset[str]

    @property
    def name(self) -> str:
        """Its name in ClickHouse."""
        return f"{EVENTS}_{self.kind}"

    def insert_columns(self, facts: Iterable[str]) -> list[str]:
        """The columns to name in an insert of records that hold no other facts than these, all of them its own.

        ClickHouse fills the rest in bulk instead of row by row, which takes a quarter off an insert of players' facts.
        """
        fields = [f"{fact}.{field.name}" for fact in sorted(facts) for field in FACTS[fact].DESCRIPTOR.fields]
        log = [column.name for column in LOG_COLUMNS]
        return [*(field.name for field in _ENVELOPE), "fact", *fields, *log]


def _kind(topic: str) -> str:
    """What the tables of topics are told apart by: `ai.requests.gold.v1` is one of `ai_requests`."""
    return "_".join(topic.split(".")[:2])


def _by_kind() -> Mapping[str, EventsTable]:
    facts: dict[str, set[str]] = {}
    for topic in TOPICS.values():
        facts.setdefault(_kind(topic.name), set()).update(topic.facts)
    return {kind: EventsTable(kind, frozenset(held)) for kind, held in facts.items()}


_BY_KIND = _by_kind()
#: Where an event goes that came by a topic it does not belong to, so that it is kept with all its fields even so.
OTHER = EventsTable("other", frozenset(FACTS))
EVENTS_TABLES: Sequence[EventsTable] = (*_BY_KIND.values(), OTHER)


def table_of(topic: str, facts: Collection[str]) -> EventsTable:
    """The table for records of a topic that hold these facts."""
    table = _BY_KIND.get(_kind(topic), OTHER)
    return table if table.facts.issuperset(facts) else OTHER


def event_columns(table: EventsTable, projections: Sequence[Projection]) -> tuple[Column, ...]:
    """The columns of a table of events: envelope, `fact`, each fact's fields as `<fact>.<field>`, place in the log.

    `foldable` is whether the event is within the limits of these projections.
    """
    members = ", ".join(f"'{field.name}' = {field.number}" for field in _members())
    bound = limits(tables(projections)).items()
    within = [one.within for fact, found in bound if fact in ("", *table.facts) for one in found if one.binds]
    return (
        *(Column(field.name, _type(field)) for field in _ENVELOPE),
        Column("fact", f"Enum16('none' = 0, {members})"),
        Column("time", "DateTime64(3, 'UTC')", _TIME),
        Column("foldable", "Bool", " and ".join(f"({condition})" for condition in within)),
        *(
            Column(f"{fact}.{field.name}", _type(field), stored=fact in table.facts)
            for fact, kind in FACTS.items()
            for field in kind.DESCRIPTOR.fields
        ),
        *(Column(column.name, column.clickhouse) for column in LOG_COLUMNS),
    )


def _members() -> Iterable[FieldDescriptor]:
    return sorted(Event.DESCRIPTOR.oneofs_by_name["fact"].fields, key=lambda field: field.number)


def _type(field: Any) -> str:
    if field.type not in _TYPES:
        raise DeclarationRefused(f"{field.full_name} is of a type that has no column in ClickHouse: use plain fields")
    kind = _TYPES[field.type]
    if kind == "String" and field.name in LOW_CARDINALITY:
        kind = f"LowCardinality({kind})"
    return f"Array({kind})" if field.is_repeated else kind


def events_sql(table: EventsTable, projections: Sequence[Projection]) -> str:
    """A table of events, ordered as the log is: what was inserted together lies together, and no insert is sorted."""
    columns = ",\n    ".join(column.sql for column in event_columns(table, projections))
    return (
        f"create table if not exists {table.name} (\n    {columns},\n"
        "    index by_time time type minmax granularity 1,\n"
        "    index by_subject subject type bloom_filter(0.01) granularity 1\n"
        f") engine = MergeTree order by (log_topic, log_partition, log_offset) settings {table_settings()}"
    )


def all_events_sql() -> str:
    """`events`: all the tables read as one."""
    columns = ", ".join(f"{quoted(column.name)} {column.type}" for column in event_columns(OTHER, ()))
    names = "|".join(table.name for table in EVENTS_TABLES)
    return f"create or replace table {EVENTS} ({columns}) engine = Merge(currentDatabase(), '^({names})$')"


def mark(sql: str) -> str:
    """What tells in a comment which SQL a thing was made by."""
    return f"norn {hashlib.sha256(sql.encode()).hexdigest()}"


def table_settings() -> str:
    """What the tables of events and of states have in common."""
    return (
        f"non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, min_bytes_for_wide_part = {WIDE_PART_BYTES_MIN}"
    )
