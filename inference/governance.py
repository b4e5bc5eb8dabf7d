"""Governance: whether a proposed decision takes effect."""

from __future__ import annotations

from collections.abc import Mapping

from inference.agent import Agent
from inference.validation import Refused, illegal, read
from schemas import DecisionEffective, DecisionProposed, DecisionRejected, DecisionRequested


def judge(
    proposed: DecisionProposed, agents: Mapping[str, Agent], request: DecisionRequested | None = None
) -> DecisionEffective | DecisionRejected:
    """A proposal of the agent's shape takes effect; any other is rejected, with the reason.

    Whoever may write to the log may propose, so a proposal is read as warily as a model's answer. With its request at
    hand it must also answer that request, by an action that was legal there.
    """
    refused = _fault(proposed, agents, request)
    if refused:
        return DecisionRejected(
            decision_id=proposed.decision_id, agent=proposed.agent, reason=f"{refused.reason}: {refused.detail}"
        )
    return DecisionEffective(
        decision_id=proposed.decision_id, agent=proposed.agent, action=proposed.action, content=proposed.content
    )


def _fault(
    proposed: DecisionProposed, agents: Mapping[str, Agent], request: DecisionRequested | None
) -> Refused | None:
    agent = agents.get(proposed.agent)
    if agent is None:
        return Refused("unknown_agent", f"no agent is named {proposed.agent[:40]!r}")
    if not proposed.decision_id:
        return Refused("no_decision", "a proposal without a decision's id answers nothing")
    if request is not None:
        if (proposed.decision_id, proposed.agent) != (request.decision_id, request.agent):
            return Refused("other_request", f"it answers another request than {request.decision_id}")
        if proposed.action not in request.legal_actions:
            return illegal(proposed.action, request.legal_actions)
    if not proposed.action:
        return Refused("illegal_action", "a proposal without an action does nothing")
    content = read(proposed.content, agent)
    return content if isinstance(content, Refused) else None
