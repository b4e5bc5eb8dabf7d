"""How far each player has come in each quest."""

from projections.crdt import Progress
from projections.projection import Projection
from schemas import FlagSet, ObjectiveCompleted

quests = Projection(
    "quests",
    key=("subject", "quest"),
    progress=Progress(objectives=(ObjectiveCompleted, "objective"), flags=(FlagSet, "flag", "value")),
)
