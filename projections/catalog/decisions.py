"""Every decision: what was asked, the first answer, and how far it has come."""

from projections.crdt import First, Latest, Status
from projections.projection import Projection
from schemas import DecisionEffective, DecisionExpired, DecisionProposed, DecisionRejected, DecisionRequested

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
)
