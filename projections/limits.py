"""Limits: the values that no face may fold, said once for Python, columns and ClickHouse alike.

An event over a limit is refused whole, so that every face refuses the same events and folds the same rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import polars as pl

from projections.aggregates import Sum
from projections.errors import DeclarationRefused
from projections.fields import REAL, TEXT, TRUTH, WHOLE, Field, quoted
from projections.projection import REGION, Table
from schemas import stamps
from schemas.limits import NAME_BYTES_MAX, NUMBER_MAX, NUMBERS, QUANTITY_MAX, TEXTS

# ClickHouse's DateTime ends in 2106, long after any honest clock.
STAMP_MAX = stamps.pack(0xFFFF_FFFF * 1000)


@dataclass(frozen=True)
class Limit:
    """A field and how it is used, in the ways that each face can ask whether its value may be folded."""

    field: Field
    key: bool = False
    summed: bool = False

    @property
    def greatest(self) -> int:
        """The greatest whole number allowed."""
        if self.field.path == "stamp":
            return STAMP_MAX
        return QUANTITY_MAX if self.summed else NUMBER_MAX

    @property
    def binds(self) -> bool:
        """Whether the field's type has values over the limit."""
        if self.field.type is TRUTH:
            return False
        return self.field.type is not WHOLE or self.field.bits > self.greatest.bit_length()

    def complaint(self) -> Callable[[Any], str | None]:
        """Python: what is wrong with a value, or None."""
        path, greatest = self.field.path, self.greatest

        def text(value: str) -> str | None:
            return f"{path} holds a NUL character, which Postgres cannot store" if "\0" in value else None

        def key(value: str) -> str | None:
            if len(value) > NAME_BYTES_MAX or (not value.isascii() and len(value.encode()) > NAME_BYTES_MAX):
                return f"{path} is longer than the {NAME_BYTES_MAX} bytes of a key"
            return text(value)

        def real(value: float) -> str | None:
            return None if isfinite(value) else f"{path} is {value}, which has no place in an order"

        def whole(value: int) -> str | None:
            return None if value <= greatest else f"{path} is {value}, beyond {greatest}"

        if self.field.type is TEXT:
            return key if self.key else text
        return real if self.field.type is REAL else whole

    @property
    def refused(self) -> pl.Expr:
        """Columns: whether any value of the column is refused."""
        raw = pl.col(self.field.path) if not self.field.fact else pl.col(self.field.fact).struct.field(self.field.name)
        if self.field.type is TEXT:
            bad = raw.str.contains("\0", literal=True)
            return (bad | (raw.str.len_bytes() > NAME_BYTES_MAX) if self.key else bad).any()
        if self.field.type is REAL:
            return raw.is_finite().not_().any()
        return raw.max() > self.greatest

    @property
    def within(self) -> str:
        """ClickHouse: whether the value in the events table may be folded; true where the event holds another fact."""
        name = quoted(self.field.path)
        if self.field.type is TEXT:
            short = f" and length({name}) <= {NAME_BYTES_MAX}" if self.key else ""
            return f"position({name}, char(0)) = 0{short}"
        if self.field.type is REAL:
            return f"isFinite({name})"
        return f"{name} <= {self.greatest}"


def limits(tables: Iterable[Table]) -> dict[str, tuple[Limit, ...]]:
    """By fact, every field that these tables read and what must hold of it; the envelope's are under "".

    Raises DeclarationRefused for a sum or a key that producers are not held to the limits of.
    """
    keys: set[Field] = set()
    summed: set[Field] = set()
    fields: set[Field] = {Field("", "stamp")}
    for table in tables:
        keys |= {field for key in (*table.keys, REGION) for field in key.fields if not field.worked_out}
        for part in table.aggregates:
            fields |= part.fields
            if isinstance(part, Sum):
                summed |= part.fields
    for path in sorted({field.path for field in summed} & NUMBERS | {field.path for field in keys} & TEXTS):
        raise DeclarationRefused(f"{path} may be too large for a sum or a key: take it out of schemas/limits.py first")
    found: dict[str, tuple[Limit, ...]] = {}
    for field in sorted(fields | keys):
        limit = Limit(field, key=field in keys, summed=field in summed)
        found[field.fact] = (*found.get(field.fact, ()), limit)
    return found
