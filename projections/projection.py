"""The declaration of a projection, and the tables derived from it.

    players = Projection("players", key="subject", level=Highest(PlayerLevelled, "level"), ...)

Everything else follows: the fold in Python and in columns, the tables and views of both databases. A table has one row
per key and region, that region's contribution; what readers see is a view over the regions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from projections.aggregates import Aggregate, Column, Max, Sum
from projections.crdt.crdt import Crdt, Entries, Key, Value
from projections.errors import DeclarationRefused
from projections.fields import TEXT, WHOLE, Field, quoted
from projections.sources import Source

REGION = Key("region", (Field("", "region"),))

#: Every projection's own table counts the events in each row, and has the greatest stamp seen: how stale a row is.
VERSION = Sum("version", (Source(""),))
STAMP = Max("stamp", (Source("", "stamp"),))
_COUNTED = (
    Value("version", WHOLE, 'sum("version")::bigint', 'sum(s."version")'),
    Value("stamp", WHOLE, 'max("stamp")', 'max(s."stamp")'),
)

# What both databases take as a name, with room for "_by_region" below Postgres's 63 bytes.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")


@dataclass(frozen=True)
class Table:
    """A table: rows by (keys, region), made of aggregates. `facts` are those that touch its rows."""

    name: str
    keys: tuple[Key, ...]
    aggregates: tuple[Aggregate, ...]
    values: tuple[Value, ...]
    facts: tuple[str, ...]
    vanishing: bool = False

    @property
    def by_region(self) -> str:
        """The table's name in Postgres; `name` is the view over its regions."""
        return f"{self.name}_by_region"

    @cached_property
    def row_keys(self) -> tuple[Key, ...]:
        """What a row is about: the keys, and the region."""
        return (*self.keys, REGION)

    @cached_property
    def key_columns(self) -> tuple[Column, ...]:
        """The primary key."""
        return tuple(Column(key.name, key.type, "not null") for key in self.row_keys)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Every column, in the order of a row of deltas: keys, region, then each aggregate's."""
        return (*self.key_columns, *(column for part in self.aggregates for column in part.columns))


class Projection:
    """What is known about each key, as CRDTs over facts.

    `key` is one name or several: "subject", "hour" (of the event's stamp), or a field that every fact used has.
    `either` gives columns in place of several others: the value of the first that is known, an empty text being none.
    Raises DeclarationRefused when this cannot be folded.
    """

    def __init__(
        self,
        name: str,
        *,
        key: str | tuple[str, ...],
        either: Mapping[str, tuple[str, ...]] | None = None,
        **crdts: Crdt,
    ) -> None:
        self.name = name
        self.either = either or {}
        self.key = (key,) if isinstance(key, str) else key
        self.crdts = crdts
        if not crdts:
            raise DeclarationRefused(f"{name} has no CRDT: nothing would be known")
        self.facts = tuple(dict.fromkeys(fact for crdt in crdts.values() for fact in crdt.facts))
        self.keys = tuple(_declared_key(name, part, self.facts) for part in self.key)
        for column, crdt in crdts.items():
            if not crdt.anywhere and "subject" not in self.key:
                raise DeclarationRefused(
                    f"{name}.{column}: a {type(crdt).__name__} must be kept by subject, because events of another key "
                    "are folded in several places at once; use Grow, Balance, Highest or Latest there"
                )
        self.tables = (self._own(), *self._entries())
        for table in self.tables:
            _check_names(table)

    def _own(self) -> Table:
        aggregates = [part for column, crdt in self.crdts.items() for part in crdt.aggregates(column)]
        values = [part for column, crdt in self.crdts.items() for part in crdt.values(column)]
        return Table(
            self.name, self.keys, (*aggregates, VERSION, STAMP), (*self._either(values), *_COUNTED), self.facts
        )

    def _either(self, values: list[Value]) -> list[Value]:
        found = {value.name: value for value in values}
        for name, parts in self.either.items():
            missing = [part for part in parts if part not in found]
            if missing:
                raise DeclarationRefused(f"{self.name}.{name}: there is no {', '.join(missing)} to take it from")
            found[name] = _first_known(name, [found.pop(part) for part in parts])
        return list(found.values())

    def shown(self, values: dict[str, Any]) -> dict[str, Any]:
        """What readers see of the CRDTs' values by column."""
        found = dict(values)
        for name, parts in self.either.items():
            held = [found.pop(part) for part in parts]
            found[name] = next((value for value in held if value not in (None, "")), None)
        return found

    def _entries(self) -> Iterable[Table]:
        for column, crdt in self.crdts.items():
            for entries in crdt.entries(column):
                named = dict.fromkeys(field.fact for key in entries.keys for field in key.fields if field.fact)
                facts = tuple(named) or crdt.facts
                yield Table(
                    f"{self.name}_{entries.part}",
                    (*self.keys, *entries.keys),
                    entries.aggregates,
                    entries.values,
                    facts,
                    entries.vanishing,
                )

    def entries(self) -> dict[str, Entries]:
        """Every table of entries beside the projection's own, by the name it has in a value."""
        return {part.part: part for column, crdt in self.crdts.items() for part in crdt.entries(column)}


@dataclass(frozen=True)
class OrderedView:
    """A view that ranks the rows of a projection, greatest first, and by key where they are equal."""

    name: str
    of: Projection
    columns: tuple[str, ...]
    by: str

    def __post_init__(self) -> None:
        known = [value.name for value in self.of.tables[0].values]
        for column in (self.by, *self.columns):
            if column not in known:
                raise DeclarationRefused(f"{self.name}: {self.of.name} has no {column!r}; it has {', '.join(known)}")

    def sql(self) -> str:
        """The view's query, the same for both databases."""
        keys = [quoted(key) for key in self.of.key]
        columns = ", ".join([*keys, *map(quoted, self.columns)])
        order = f"{quoted(self.by)} desc nulls last, {', '.join(keys)}"
        return f'select row_number() over (order by {order}) as "rank", {columns} from {quoted(self.of.name)}'


def _first_known(name: str, parts: list[Value]) -> Value:
    kinds = {part.type for part in parts}
    if len(kinds) != 1:
        raise DeclarationRefused(
            f"{name} is of one type: {', '.join(f'{part.name} is {part.type.name}' for part in parts)}"
        )
    (kind,) = kinds
    postgres = [f"nullif({part.postgres}, '')" if kind is TEXT else part.postgres for part in parts]
    clickhouse = [f"nullIf({part.clickhouse}, '')" if kind is TEXT else part.clickhouse for part in parts]
    return Value(name, kind, f"coalesce({', '.join(postgres)})", f"coalesce({', '.join(clickhouse)})")


def tables(projections: Iterable[Projection]) -> tuple[Table, ...]:
    """Every table of these projections. Raises DeclarationRefused when two have one name."""
    found = tuple(table for projection in projections for table in projection.tables)
    twice = [name for name, count in Counter(table.name for table in found).items() if count > 1]
    if twice:
        raise DeclarationRefused(f"two tables are called {', '.join(twice)}: rename a projection or a CRDT")
    return found


def _declared_key(projection: str, name: str, facts: tuple[str, ...]) -> Key:
    if name in ("subject", "hour"):
        return Key(name, (Field("", name),))
    key = Key(name, tuple(Field(fact, name) for fact in facts))
    try:
        if key.type not in (TEXT, WHOLE):
            raise DeclarationRefused("a key is a text or a whole number")
    except DeclarationRefused as error:
        raise DeclarationRefused(f"{projection} cannot be kept by {name!r}: {error}") from None
    return key


def _check_names(table: Table) -> None:
    seen = [key.name for key in table.row_keys] + [column.name for part in table.aggregates for column in part.columns]
    shown = [key.name for key in table.keys] + [value.name for value in table.values]
    for names in (seen, shown):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DeclarationRefused(
                f"{table.name} would have two columns called {', '.join(twice)}: rename a CRDT, or leave a field out"
            )
    for name in (table.name, *seen, *shown):
        if not _NAME.fullmatch(name):
            raise DeclarationRefused(f"{table.name}: {name!r} is no name: small letters, digits and _, 50 at most")
