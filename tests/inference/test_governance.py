"""Governance: what validates takes effect, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inference.agent import CHOSEN
from inference.attempt import Question
from inference.governance import ABOUT_BYTES_MAX, about, gated, judge, stake, stake_of
from inference.prompts import canonical
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
    fields = {"decision_id": proposed.decision_id, "agent": "chronicler", "action": "chronicle", "content": LINE}
    assert judge(proposed, ALL) == DecisionEffective(**fields)
    assert judge(proposed, ALL, request()) == DecisionEffective(
        **fields, impact="low", about=about(ALL["chronicler"], question().context)
    )


def question(**changes: Any) -> Question:
    found = Question.of(request(**changes), ALL)
    assert isinstance(found, Question)
    return found


def test_what_is_at_stake_is_the_most_that_anybody_says() -> None:
    assert stake(question()) == "low"
    assert stake(question(impact="medium"), proposal(impact="low")) == "medium"
    assert stake(question(impact="medium"), proposal(impact="critical")) == "critical"
    assert stake(question(impact="whatever"), proposal(impact="HIGH")) == "low"
    own = replace(question(), agent=replace(ALL["chronicler"], impact=lambda context: "high"))
    assert stake(own) == "high"
    unsure = replace(question(), agent=replace(ALL["chronicler"], impact=lambda context: context["nothing"]))
    assert stake(unsure) == "high"


def test_a_person_agrees_to_what_is_at_stake_and_to_what_asks_for_it() -> None:
    assert not gated(question(impact="medium"), proposal())
    assert gated(question(impact="high"), proposal())
    asking = proposal()
    asking.requires_approval = True
    assert gated(question(), asking)


def test_what_is_at_stake_in_an_action_is_what_the_agent_says_of_that_action() -> None:
    picky = replace(ALL["guard"], impact=lambda context: "low" if context[CHOSEN] == "ignore" else "high")
    asked = replace(question(impact="critical"), agent=picky, context={CHOSEN: "ignore"})
    assert (stake_of(asked, "ignore"), stake_of(asked, "greet"), stake_of(asked, "")) == ("low", "high", "high")
    assert stake(asked) == "critical"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Astrid fell to a jackal on the 3rd level of the Dungeons of Doom; ask bob@example.org.", "personal_data"),
        ("Astrid fell to a jackal on the 3rd level of the Dungeons of Doom, k1ll y0urself.", "content"),
        ("Somebody fell to something, somewhere, far from home and unremembered by the others.", "unfit"),
    ],
)
def test_a_proposal_of_anybody_fits_its_request_and_is_safe_as_our_own_are(line: str, reason: str) -> None:
    refused = judge(proposal(content=canonical({"line": line})), ALL, request())
    assert isinstance(refused, DecisionRejected)
    assert refused.reason.startswith(reason)


def test_a_proposal_whose_agent_cannot_read_the_context_is_rejected() -> None:
    puzzled = replace(ALL["chronicler"], check=lambda context, answer: str(context["nothing"]))
    refused = judge(proposal(), {"chronicler": puzzled}, request())
    assert isinstance(refused, DecisionRejected)
    assert refused.reason.startswith("unfit: the agent cannot read the context")


def test_a_game_is_told_the_fields_that_the_agent_names_as_far_as_they_fit() -> None:
    agent = replace(ALL["guard"], tells=("who", "long", "where", "missing"))
    assert about(agent, {"who": "Sif", "where": "Sokoban 2", "long": "x" * ABOUT_BYTES_MAX, "secret": 1}) == (
        '{"where":"Sokoban 2","who":"Sif"}'
    )
    assert about(ALL["guard"], {"heard": "Open!"}) == ""


def test_content_that_chooses_another_action_than_the_proposal_is_rejected() -> None:
    torn = DecisionProposed(decision_id="d", agent="guard", action="greet", content='{"action":"ignore","why":"No."}')
    rejected = judge(torn, ALL)
    assert isinstance(rejected, DecisionRejected)
    assert rejected.reason.startswith("other_action")


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
