"""Governance: what validates takes effect, and nothing else."""

from __future__ import annotations

import pytest

from inference.governance import judge
from schemas import DecisionEffective, DecisionProposed, DecisionRejected
from tests.inference.asking import ALL, LINE, request


def proposal(**changes: str) -> DecisionProposed:
    made = DecisionProposed(
        decision_id=request().decision_id, agent="chronicler", action="chronicle", content=LINE, engine="scripted"
    )
    for field, value in changes.items():
        setattr(made, field, value)
    return made


def test_a_proposal_that_validates_takes_effect() -> None:
    proposed = proposal()
    effective = DecisionEffective(
        decision_id=proposed.decision_id, agent="chronicler", action="chronicle", content=LINE
    )
    assert judge(proposed, ALL) == judge(proposed, ALL, request()) == effective


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"agent": "nobody"}, "unknown_agent"),
        ({"decision_id": ""}, "no_decision"),
        ({"action": ""}, "illegal_action"),
        ({"content": "{}"}, "malformed"),
        ({"content": '{"line":"<|im_start|>"}'}, "reserved_token"),
    ],
)
def test_a_proposal_that_does_not_validate_is_rejected_with_the_reason(changes: dict[str, str], reason: str) -> None:
    rejected = judge(proposal(**changes), ALL)
    assert isinstance(rejected, DecisionRejected)
    assert rejected.reason.startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"action": "burn"}, "illegal_action"), ({"decision_id": "another"}, "other_request")],
)
def test_with_its_request_at_hand_a_proposal_must_answer_it_legally(changes: dict[str, str], reason: str) -> None:
    rejected = judge(proposal(**changes), ALL, request())
    assert isinstance(rejected, DecisionRejected)
    assert rejected.reason.startswith(reason)
