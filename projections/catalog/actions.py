"""What a game server is to do: the decisions in effect, and what became of each."""

from projections.crdt import First
from projections.projection import Projection
from schemas import ActionCompleted, DecisionEffective

actions = Projection(
    "actions",
    key="decision_id",
    effective=First(DecisionEffective, "subject", "agent", "action", "content", "about", "impact"),
    completion=First(ActionCompleted, "outcome", "detail", "server"),
)
