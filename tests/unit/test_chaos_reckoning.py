"""The reckoning of a chaos run: it finds what it is there to find."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from schemas import (
    ApprovalRequested,
    DecisionEffective,
    DecisionProposed,
    DecisionRejected,
    DecisionRequested,
    Event,
    event_id,
    fact_name,
)
from schemas.stamps import pack
from streams.chaos.questions import questions
from streams.chaos.reckoning import GRACE_MS, Reckoning, reckon

NOW_MS = 1_800_000_000_000


def event(fact: Message, number: int, after_ms: int = 0) -> Event:
    made = Event(id=event_id(NOW_MS, number.to_bytes(10, "big")), subject="hero", stamp=pack(NOW_MS + after_ms))
    getattr(made, fact_name(fact)).CopyFrom(fact)
    return made


def asked(name: str = "d1", agent: str = "guard") -> DecisionRequested:
    return DecisionRequested(decision_id=name, agent=agent, tier="gold", deadline_ms=NOW_MS + 1_000)


def effect(name: str = "d1", action: str = "greet") -> DecisionEffective:
    return DecisionEffective(decision_id=name, agent="guard", action=action, route="full")


def run(
    *events: Event, published: tuple[str, ...] = ("d1",), known: tuple[str, ...] = ("d1",), at_ms: int = 0
) -> Reckoning:
    return reckon(events, published, known, NOW_MS + at_ms)


def test_a_request_with_one_effect_holds_however_often_the_log_repeats_it() -> None:
    proposal = DecisionProposed(decision_id="d1", agent="guard", fallback_reason="timeout: no answer", route="full")
    found = run(event(asked(), 1), event(proposal, 2), event(effect(), 3, 40), event(effect(), 3, 40))
    assert found.holds
    assert (found.requests, found.effective, found.late, found.p50_ms) == (1, 1, 0, 40)
    assert (found.by_route, found.fallbacks) == ({"full": 1}, {"timeout": 1})


def test_a_second_effect_is_found() -> None:
    found = run(event(asked(), 1), event(effect(), 2), event(effect(), 3))
    assert (found.duplicate_effective, found.holds) == (1, False)


def test_a_request_that_nobody_answered_is_found() -> None:
    found = run(event(asked(), 1))
    assert (found.unanswered, found.lost, found.holds) == (1, 0, False)
    assert run(event(asked(), 1), known=()).lost == 1
    assert run(event(asked("other"), 1), event(effect("other"), 2)).lost == 1


def test_nobody_needs_to_answer_for_an_unknown_agent() -> None:
    rejected = DecisionRejected(decision_id="d1", reason="unknown_agent: no agent is named 'nobody'")
    found = run(event(asked(agent="nobody"), 1), event(rejected, 2))
    assert (found.rejected_for_good, found.holds) == (1, True)
    refused = DecisionRejected(decision_id="d1", reason="illegal_action: 'burn'")
    assert run(event(asked(), 1), event(refused, 2)).unanswered == 1


def test_what_waits_for_a_person_is_answered_while_there_is_time_and_unanswered_after_it() -> None:
    put = ApprovalRequested(decision_id="d1", deadline_ms=NOW_MS + 86_400_000)
    waiting = [event(asked(), 1), event(put, 2, 40)]
    found = run(*waiting, at_ms=86_400_000 + GRACE_MS)
    assert (found.holds, found.waiting, found.reviewed, found.p50_ms) == (True, 1, 1, 40)
    late = run(*waiting, at_ms=86_400_001 + GRACE_MS)
    assert (late.unanswered, late.waiting, late.holds) == (1, 0, False)
    assert run(event(asked(), 1), event(put, 2, 1_001 + GRACE_MS)).late == 1


@pytest.mark.parametrize("reason", ["refused: by Ada", "not_approved: nobody agreed in time"])
def test_a_persons_no_is_an_answer_and_a_strangers_word_of_one_is_not(reason: str) -> None:
    put = ApprovalRequested(decision_id="d1", deadline_ms=NOW_MS + 86_400_000)
    no = DecisionRejected(decision_id="d1", agent="guard", reason=reason)
    found = run(event(asked(), 1), event(put, 2), event(no, 3, 80_000_000), at_ms=10**9)
    assert (found.holds, found.waiting, found.late, found.reviewed) == (True, 0, 0, 1)
    assert run(event(asked(), 1), event(no, 2), at_ms=10**9).unanswered == 1


def test_an_answer_given_again_is_counted_and_one_of_the_rules_is_not() -> None:
    full, rule = (DecisionProposed(decision_id="d1", agent="guard", route=route) for route in ("full", "rule"))
    assert run(event(asked(), 1), event(full, 2), event(rule, 3), event(effect(), 4)).answered_again == 0
    assert run(event(asked(), 1), event(full, 2), event(full, 3), event(effect(), 4)).answered_again == 1


def test_a_late_answer_is_told_apart() -> None:
    assert run(event(asked(), 1), event(effect(), 2, 1_001 + GRACE_MS)).late == 1
    assert run(event(asked(), 1), event(effect(), 2, 1_000 + GRACE_MS)).late == 0


def test_the_same_seed_asks_the_same_and_every_kind_of_question() -> None:
    first, second = (list(questions(400, 3)) for _ in range(2))
    assert first == second
    assert len({one.request.decision_id for one in first}) == 400
    agents = {one.request.agent for one in first}
    assert {"dialogue", "nobody"} <= agents
    assert len(agents) > 8
