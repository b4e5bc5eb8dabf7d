"""The players by score."""

from projections.catalog.players import players
from projections.projection import OrderedView

leaderboard = OrderedView("leaderboard", of=players, columns=("score", "level", "gold"), by="score")
