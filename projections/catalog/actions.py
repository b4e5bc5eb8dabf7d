"""What a game server is to do: the decisions in effect, and what became of each. And for which it need not wait: those
that came to their end without an effect.
"""

from projections.crdt import First
from projections.projection import Projection
from schemas import ActionCompleted, DecisionClosed, DecisionEffective

actions = Projection(
    "actions",
    key="decision_id",
    either={name: (name, f"closed_{name}") for name in ("subject", "agent", "called_by")},
    # What is new about an effect stands beside the old: ClickHouse keeps the fields of one `First` as one value.
    effective=First(DecisionEffective, "subject", "agent", "action", "content", "about", "impact"),
    called=First(DecisionEffective, "called_by"),
    closing=First(
        DecisionClosed, "reason", closed_subject="subject", closed_agent="agent", closed_called_by="called_by"
    ),
    completion=First(ActionCompleted, "outcome", "detail", "server"),
)
