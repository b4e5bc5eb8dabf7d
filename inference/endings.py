"""Endings: the facts that tell how a decision came to its end, by which rule, and on whose word. Pure.

Whatever is told of an end stands in the one fact that ends it, so that no part of it can be there without the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from inference.governance import AGENT_BYTES_MAX, cut, said
from inference.validation import Refused
from schemas import DecisionClosed, DecisionEffective, Event
from schemas.stamps import time_ms

#: By which rule something takes effect (DecisionEffective.rule).
Rule = Literal["proposed", "approved", "default", "deadline"]
#: What came of asking people, once the decision has ended; until then it is waiting where they are asked.
ApprovalStatus = Literal["none", "approved", "refused", "lapsed"]

# Beside the longest content and context an effect has some 600 bytes left for its record.
APPROVER_BYTES_MAX = 100
COMMENT_BYTES_MAX = 300
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Consent:
    """What came of asking people, and the answer that counted, if there was one."""

    status: ApprovalStatus = "none"
    answer: Event | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that tell of it."""
        if self.answer is None:
            return {"approval_status": self.status}
        given = self.answer.approval_given
        return {
            "approval_status": self.status,
            "approver": cut(given.approver, APPROVER_BYTES_MAX),
            "answered_ms": time_ms(self.answer.stamp),
            "comment": cut(given.comment, COMMENT_BYTES_MAX),
        }


NOBODY_ASKED = Consent()


def hexadecimal(event: Event | None) -> str:
    """An event's id as the facts about it name it; "" without an event."""
    return "" if event is None else event.id.hex()


def effective(
    effect: DecisionEffective,
    request: Event,
    rule: Rule,
    consent: Consent = NOBODY_ASKED,
    proposal: Event | None = None,
) -> DecisionEffective:
    """The effect with its record. proposal: the one that takes effect, if one does."""
    record: dict[str, Any] = {"rule": rule, "proposal_id": hexadecimal(proposal), **_calls(request), **consent.fields}
    effect.MergeFrom(DecisionEffective(**record))
    return effect


def closed(request: Event, refused: Refused, consent: Consent = NOBODY_ASKED) -> DecisionClosed:
    """The end of a request under which nothing took effect."""
    asked = request.decision_requested
    return DecisionClosed(
        decision_id=asked.decision_id,
        agent=cut(asked.agent, AGENT_BYTES_MAX),
        reason=said(refused),
        **_calls(request),
        **consent.fields,
    )


def _calls(request: Event) -> dict[str, Any]:
    calling = request.cause if len(request.cause) == _ID_BYTES else request.id
    return {"request_id": hexadecimal(request), "called_by": calling.hex()}
