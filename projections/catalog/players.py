"""What is known about each player."""

from projections.crdt import Bag, Balance, Grow, Highest, Latest
from projections.projection import Projection
from schemas import (
    GoldGained,
    GoldSpent,
    HealthChanged,
    ItemGained,
    ItemLost,
    PlayerLevelled,
    PlayerMoved,
    PlayerScored,
)

players = Projection(
    "players",
    key="subject",
    position=Latest(PlayerMoved, "zone", "x", "y"),
    level=Highest(PlayerLevelled, "level"),
    score=Grow(PlayerScored, "points"),
    gold=Balance(plus=(GoldGained, "amount"), minus=(GoldSpent, "amount")),
    health=Latest(HealthChanged, "health", "health_max"),
    inventory=Bag(add=(ItemGained, "item_id"), remove=(ItemLost, "item_id"), quantity="quantity", detail="kind"),
)
