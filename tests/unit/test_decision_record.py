"""What became of a proposal, told from a decision's record."""

from __future__ import annotations

from typing import Any

import pytest

from streams.decision_record import IN_EFFECT, NOT_JUDGED, REJECTED, UNUSED, WAITING, became

MADE = {"event_id": "e1", "action": "greet", "content": "{}", "rejected": ""}
OPEN: dict[str, Any] = {"status": "proposed", "proposal_id": None, "review_proposal_id": None, "rule": None}
ENDED = {**OPEN, "status": "effective", "action": "ignore", "content": "{}", "rule": "default"}


@pytest.mark.parametrize(
    ("row", "proposal", "expected"),
    [
        ({}, MADE, NOT_JUDGED),
        (OPEN, MADE, NOT_JUDGED),
        ({**OPEN, "status": "waiting", "review_proposal_id": "e1"}, MADE, WAITING),
        ({**OPEN, "status": "waiting", "review_proposal_id": "e2"}, MADE, UNUSED),
        ({**ENDED, "proposal_id": "e1", "rule": "approved"}, MADE, IN_EFFECT),
        ({**ENDED, "proposal_id": "e2", "rule": "approved"}, MADE, UNUSED),
        # The same words as what took effect make nobody's proposal the one that did.
        ({**ENDED, "action": "greet"}, MADE, UNUSED),
        (ENDED, {**MADE, "rejected": "unfit"}, REJECTED),
        ({**ENDED, "rule": "deadline", "action": "greet"}, MADE, IN_EFFECT),
        ({**ENDED, "rule": "deadline"}, MADE, UNUSED),
        ({**OPEN, "status": "closed"}, MADE, UNUSED),
    ],
)
def test_what_became_of_a_proposal(row: dict[str, Any], proposal: dict[str, Any], expected: str) -> None:
    assert became(row, proposal) == expected
