"""Gold made and spent, by hour and by reason."""

from projections.crdt import Grow
from projections.projection import Projection
from schemas import GoldGained, GoldSpent

economy = Projection(
    "economy",
    key=("hour", "reason"),
    gained=Grow(GoldGained, "amount"),
    spent=Grow(GoldSpent, "amount"),
)
