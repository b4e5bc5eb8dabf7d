"""What all players were told, by reason, and the last of each."""

from projections.crdt import Grow, Latest
from projections.projection import Projection
from schemas import Announced

announcements = Projection("announcements", key="reason", told=Grow(Announced), last=Latest(Announced, "text"))
