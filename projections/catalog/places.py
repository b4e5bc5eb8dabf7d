"""What has happened in each place."""

from projections.crdt import Grow, Highest
from projections.projection import Projection
from schemas import PlaceEntered, PlayerDied

places = Projection(
    "places",
    key="zone",
    visits=Grow(PlaceEntered),
    deaths=Grow(PlayerDied),
    depth=Highest(PlaceEntered, "depth"),
)
