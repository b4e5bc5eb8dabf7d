"""Every decision's record: what was asked, each proposal and who made it, what was rejected and why, who said yes or no
and when, and what took effect and by which rule.

What took effect is what `DecisionEffective` says and nothing else: anybody may propose, and no proposal is an effect.
"""

from projections.crdt import First, Keyed, Latest, Status
from projections.projection import Projection
from schemas import (
    ActionCompleted,
    ApprovalGiven,
    ApprovalRequested,
    DecisionClosed,
    DecisionEffective,
    DecisionExpired,
    DecisionProposed,
    DecisionRejected,
    DecisionRequested,
)

# The first six in the order of `actions`, so that of two effects of one stamp both take the same.
_EFFECT = ("subject", "agent", "action", "content", "about", "impact", "route", "rule", "proposal_id")
_EITHER = ("called_by", "approval_status", "approver", "answered_ms", "comment")
_CLOSED = ("agent", "reason", *_EITHER)


def _of(end: str, fields: tuple[str, ...]) -> dict[str, str]:
    return {f"{end}_{field}": field for field in fields}


decisions = Projection(
    "decisions",
    key="decision_id",
    either={
        "status": ("stage",),
        "subject": ("subject", "effect_subject"),
        "agent": ("asked_agent", "effect_agent", "closed_agent"),
        "reason": ("closed_reason", "reason"),
        **{field: (f"effect_{field}",) for field in _EFFECT if field not in ("subject", "agent")},
        **{field: (f"effect_{field}", f"closed_{field}") for field in _EITHER if field != "approval_status"},
        "approval_status": ("effect_approval_status", "closed_approval_status", "approval_stage"),
    },
    stage=Status(
        requested=DecisionRequested,
        proposed=DecisionProposed,
        rejected=DecisionRejected,
        expired=DecisionExpired,
        waiting=ApprovalRequested,
        closed=DecisionClosed,
        effective=DecisionEffective,
    ),
    request=First(DecisionRequested, "subject", "tier", "deadline_ms", "cost_cap_usd_micros"),
    asked=First(DecisionRequested, asked_agent="agent", asked_impact="impact"),
    review=First(
        ApprovalRequested, review_action="action", review_until_ms="deadline_ms", review_proposal_id="proposal_id"
    ),
    approval_stage=Status(none=DecisionRequested, waiting=ApprovalRequested),
    rejection=Latest(DecisionRejected, "reason"),
    end=First(DecisionEffective, **_of("effect", (*_EFFECT, *_EITHER))),
    closing=First(DecisionClosed, **_of("closed", _CLOSED)),
    completion=First(ActionCompleted, "outcome"),
    # Each by the id of its event: of one decision anybody may write more.
    proposals=Keyed(
        entry="event_id",
        made=First(
            DecisionProposed,
            "stamp",
            "origin",
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
    ),
    rejections=Keyed(entry="proposal_id", rejected=First(DecisionRejected, "stamp", "action", "reason")),
    answers=Keyed(entry="event_id", given=First(ApprovalGiven, "stamp", "origin", "approver", "approved", "comment")),
)
