"""Every decision: what was asked, the first answer, how far it has come, who agreed, and what a game made of it.

What took effect stands in `actions`.
"""

from projections.crdt import First, Latest, Status
from projections.projection import Projection
from schemas import (
    ActionCompleted,
    ApprovalGiven,
    DecisionEffective,
    DecisionExpired,
    DecisionProposed,
    DecisionRejected,
    DecisionRequested,
)

decisions = Projection(
    "decisions",
    key="decision_id",
    status=Status(
        requested=DecisionRequested,
        proposed=DecisionProposed,
        rejected=DecisionRejected,
        expired=DecisionExpired,
        effective=DecisionEffective,
    ),
    request=First(DecisionRequested, "subject", "tier", "deadline_ms", "cost_cap_usd_micros"),
    proposal=First(
        DecisionProposed,
        "agent",
        "action",
        "content",
        "engine",
        "model",
        "route",
        "fallback_reason",
        "confidence",
        "latency_ms",
        "prompt_hash",
    ),
    rejection=Latest(DecisionRejected, "reason"),
    effect=First(DecisionEffective, "impact"),
    approval=First(ApprovalGiven, "approver", "comment"),
    completion=First(ActionCompleted, "outcome"),
)
