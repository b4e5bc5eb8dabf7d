"""Values: whether what an event holds is within the limits of facts, for one event and for columns of them.

These are the limits that producers are held to (schemas/limits.py), for every field of every fact, read by a projection
or not: what one role may be stopped by, no role takes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import polars as pl

from projections.errors import Unfoldable
from projections.limits import STAMP_MAX
from schemas import Event, EventRefused
from schemas.limits import FACT_LIMITS, NAME_BYTES_MAX, check_text


def check_values(event: Event) -> None:
    """Raises Unfoldable for the first value of an event that is over its limit."""
    try:
        check_text("the subject", event.subject, NAME_BYTES_MAX)
        check_text("the region", event.region, NAME_BYTES_MAX)
        if event.stamp > STAMP_MAX:
            raise EventRefused(f"the stamp is {event.stamp}: at most {STAMP_MAX}")
        name = event.WhichOneof("fact")
        if name is not None:
            FACT_LIMITS[name].check(getattr(event, name))
    except EventRefused as refused:
        raise Unfoldable(f"event {event.id.hex()} of {event.origin!r}: {refused}") from None


def check_value_columns(frame: pl.DataFrame, facts: Collection[str]) -> None:
    """Raises Unfoldable when a value of a frame is over its limit, without saying of which event.

    `frame` holds a struct of all fields for each of these facts. A fact that has lists of texts is always refused: they
    are in no column.
    """
    lists = [fact for fact in facts if FACT_LIMITS[fact].lists]
    if lists:
        raise Unfoldable(f"the lists of {', '.join(sorted(lists))} are looked at one by one")
    checks = list(_checks(facts))
    refused = frame.select(check.alias(str(at)) for at, (_, check) in enumerate(checks)).row(0)
    paths = [path for (path, _), bad in zip(checks, refused, strict=True) if bad]
    if paths:
        raise Unfoldable(f"among {frame.height} events, one is over the limit of its {', '.join(paths)}")


def _checks(facts: Collection[str]) -> Iterator[tuple[str, pl.Expr]]:
    """Each field that has values over a limit, and whether any value of its column is."""
    yield "subject", _text(pl.col("subject"), NAME_BYTES_MAX)
    yield "region", _text(pl.col("region"), NAME_BYTES_MAX)
    yield "stamp", pl.col("stamp").max() > STAMP_MAX
    for fact in facts:
        limits = FACT_LIMITS[fact]
        for name, bytes_max in limits.texts:
            yield f"{fact}.{name}", _text(pl.col(fact).struct.field(name), bytes_max)
        for name, most in limits.numbers:
            number = pl.col(fact).struct.field(name)
            yield f"{fact}.{name}", (number.max() > most) | (number.min() < -most)
        for name in limits.reals:
            yield f"{fact}.{name}", pl.col(fact).struct.field(name).is_finite().not_().any()


def _text(column: pl.Expr, bytes_max: int) -> pl.Expr:
    return (column.str.len_bytes().max() > bytes_max) | column.str.contains("\0", literal=True).any()
