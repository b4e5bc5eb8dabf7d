"""Fields: where in an event a value stands, and the type of the column that will hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import polars as pl
from google.protobuf.descriptor import FieldDescriptor

from projections.errors import DeclarationRefused
from schemas import FACTS, Event, stamps


def quoted(name: str) -> str:
    """A name as both databases take it, whether or not it is also one of their words."""
    return f'"{name}"'


def names(columns: Iterable[str]) -> str:
    """A list of names."""
    return ", ".join(quoted(name) for name in columns)


@dataclass(frozen=True)
class ColumnType:
    """A column's type by the name that each database gives it."""

    name: str
    postgres: str
    clickhouse: str
    polars: pl.DataType

    @property
    def bare(self) -> str:
        """Postgres's name of it without a collation."""
        return self.postgres.partition(" collate")[0]


# Bytewise order everywhere, so that every face agrees on which text is the greater.
TEXT = ColumnType("text", 'text collate "C"', "String", pl.String())
WHOLE = ColumnType("whole", "bigint", "Int64", pl.Int64())
REAL = ColumnType("real", "double precision", "Float64", pl.Float64())
TRUTH = ColumnType("truth", "boolean", "Bool", pl.Boolean())
HOUR = ColumnType("hour", "timestamp with time zone", "DateTime('UTC')", pl.Datetime("ms", "UTC"))

_TYPES = {
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_BOOL: TRUTH,
    FieldDescriptor.TYPE_DOUBLE: REAL,
    FieldDescriptor.TYPE_FLOAT: REAL,
    FieldDescriptor.TYPE_INT32: WHOLE,
    FieldDescriptor.TYPE_INT64: WHOLE,
    FieldDescriptor.TYPE_SINT32: WHOLE,
    FieldDescriptor.TYPE_SINT64: WHOLE,
    FieldDescriptor.TYPE_UINT32: WHOLE,
    FieldDescriptor.TYPE_UINT64: WHOLE,
    FieldDescriptor.TYPE_FIXED32: WHOLE,
    FieldDescriptor.TYPE_FIXED64: WHOLE,
}

_BITS = {
    FieldDescriptor.CPPTYPE_INT32: 31,
    FieldDescriptor.CPPTYPE_UINT32: 32,
    FieldDescriptor.CPPTYPE_INT64: 63,
    FieldDescriptor.CPPTYPE_UINT64: 64,
}

#: What every event has beside its fact. `hour` is the stamp's; `event_id` is the event's own id, in hexadecimal.
ENVELOPE = {"subject": TEXT, "region": TEXT, "origin": TEXT, "stamp": WHOLE, "hour": HOUR, "event_id": TEXT}
#: Those that are worked out from what an event has, and so within every limit; a key may be one, a value may not.
WORKED_OUT = {"hour": "stamp", "event_id": "id"}
# An id has 16 bytes. Of a longer one, which somebody else may have written, no more than that is told.
ID_BYTES = 16


@dataclass(frozen=True, order=True)
class Field:
    """A field of a fact, by the fact's name in Event's oneof; or one of ENVELOPE, whose fact is "".

    `alias` names the column that holds it, where that is not the field's own name.
    """

    fact: str
    name: str
    alias: str = ""

    @property
    def label(self) -> str:
        """The name of the column that holds it."""
        return self.alias or self.name

    @property
    def plain(self) -> Field:
        """The same field, whatever its column is called."""
        return Field(self.fact, self.name)

    @property
    def worked_out(self) -> bool:
        """Whether it is no field of the event itself, but one of WORKED_OUT."""
        return not self.fact and self.name in WORKED_OUT

    @property
    def type(self) -> ColumnType:
        """The type of a column that holds it. Raises DeclarationRefused for a field that no column can hold."""
        if not self.fact:
            return ENVELOPE[self.name]
        descriptor = FACTS[self.fact].DESCRIPTOR
        field = descriptor.fields_by_name.get(self.name)
        if field is None:
            raise DeclarationRefused(
                f"{descriptor.name} has no field {self.name!r}; it has {', '.join(descriptor.fields_by_name)}"
            )
        if field.is_repeated or field.type not in _TYPES:
            raise DeclarationRefused(f"{descriptor.name}.{self.name} is neither one text nor one number")
        return _TYPES[field.type]

    @property
    def bits(self) -> int:
        """How many bits a whole number of this field may have, its sign aside."""
        if not self.fact:
            return 64
        field = FACTS[self.fact].DESCRIPTOR.fields_by_name[self.name]
        return _BITS[field.cpp_type]

    @property
    def path(self) -> str:
        """The field as a dotted attribute of an Event."""
        if self.worked_out:
            return WORKED_OUT[self.name]
        return f"{self.fact}.{self.name}" if self.fact else self.name

    @property
    def column(self) -> pl.Expr:
        """The field in a decoded frame; null where the event holds another fact."""
        if self.fact:
            return pl.col(self.fact).struct.field(self.name).cast(self.type.polars)
        if self.name == "hour":
            since = pl.col("stamp") // (stamps.HOUR_MS << stamps.COUNTER_BITS) * stamps.HOUR_MS
            return since.cast(pl.Int64).cast(HOUR.polars)
        if self.name == "event_id":
            return pl.col("id").bin.slice(0, ID_BYTES).bin.encode("hex")
        return pl.col(self.name).cast(self.type.polars)

    @property
    def sql(self) -> str:
        """The field in ClickHouse's events table `e`; its type's default where the event holds another fact."""
        if self.name == "hour" and not self.fact:
            return f"toDateTime(intDiv(e.stamp, {stamps.HOUR_MS << stamps.COUNTER_BITS}) * 3600, 'UTC')"
        if self.name == "event_id" and not self.fact:
            return f"lower(hex(substring(e.id, 1, {ID_BYTES})))"
        return f"e.{quoted(self.path)}"


@lru_cache(maxsize=4096)
def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _hour(stamp: int) -> datetime:
    return _time(stamps.hour(stamp))


def reader(fields: Sequence[Field]) -> Callable[[Event], tuple[Any, ...]]:
    """Read these fields of an event, as a tuple in this order. The fields of facts are of one fact: the event's."""
    take = attrgetter(*(field.path for field in fields))
    shape = {at: _SHAPES[field.name] for at, field in enumerate(fields) if field.worked_out}
    if len(fields) == 1:
        shaped = shape.get(0, lambda value: value)
        return lambda event: (shaped(take(event)),)
    if not shape:
        return take

    def read(event: Event) -> tuple[Any, ...]:
        values = list(take(event))
        for at, shaped in shape.items():
            values[at] = shaped(values[at])
        return tuple(values)

    return read


def _hexadecimal(event_id: bytes) -> str:
    return event_id[:ID_BYTES].hex()


_SHAPES: Mapping[str, Callable[[Any], Any]] = {"hour": _hour, "event_id": _hexadecimal}
