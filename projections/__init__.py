"""What is known: facts folded into CRDTs, held in Postgres (what is true now) and ClickHouse (what has been true)."""

from projections.catalog.actions import actions
from projections.catalog.announcements import announcements
from projections.catalog.arcs import arcs
from projections.catalog.costs import costs
from projections.catalog.decisions import decisions
from projections.catalog.economy import economy
from projections.catalog.leaderboard import leaderboard
from projections.catalog.places import places
from projections.catalog.players import players
from projections.catalog.quests import quests
from projections.catalog.schedules import schedules

#: Every projection. To add one: a file in catalog/, and its name here.
PROJECTIONS = (players, quests, places, economy, decisions, actions, costs, schedules, arcs, announcements)

#: Every view that orders one of them.
VIEWS = (leaderboard,)

__all__ = ["PROJECTIONS", "VIEWS"]
