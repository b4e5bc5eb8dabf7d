"""How often each schedule was due, and when last, by the world's clock."""

from projections.crdt import Grow, Highest
from projections.projection import Projection
from schemas import ScheduleDue

schedules = Projection("schedules", key="schedule", times=Grow(ScheduleDue), due_ms=Highest(ScheduleDue, "due_ms"))
