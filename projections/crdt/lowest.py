"""Lowest: the least number any event has said."""

from __future__ import annotations

from projections.aggregates import Min
from projections.crdt.highest import Highest


class Lowest(Highest):
    """`Lowest(PlayerMoved, "depth")`: Highest upside down."""

    best = min
    aggregate = Min
