"""Decisions as history tells of them, added up: what took effect, what waits for a person, what a person declined."""

from __future__ import annotations

from google.protobuf.message import Message

from projections.clickhouse import migrate
from projections.records import concatenate, log_fields
from schemas import (
    ApprovalRequested,
    CostSampled,
    DecisionEffective,
    DecisionProposed,
    DecisionRejected,
    DecisionRequested,
)
from streams.clickhouse import Events, connect
from streams.statements import statement
from streams.world.agreement import Reused
from streams.world.tally import GRACE_MS, Decision, tally
from tests.log import Life

BEGAN_MS, UNTIL_MS = 1_000, 86_401_000
NAMES = frozenset({
    "decision_requested", "decision_proposed", "decision_effective", "approval_requested", "decision_rejected",
    "cost_sampled",
})  # fmt: skip


def asked(name: str) -> DecisionRequested:
    return DecisionRequested(decision_id=name, agent=name, tier="bronze", deadline_ms=BEGAN_MS + 5_000)


def put(name: str) -> ApprovalRequested:
    return ApprovalRequested(decision_id=name, agent=name, deadline_ms=UNTIL_MS)


def test_what_took_effect_what_waits_and_what_was_declined_are_told_apart(clickhouse: str) -> None:
    migrate(connect(clickhouse))
    facts: list[Message] = [
        *map(asked, ("weather", "storyline", "story_teller", "karma", "faction")),
        DecisionProposed(decision_id="weather", agent="weather", route="full"),
        CostSampled(decision_id="weather", source="ai_inference", calls=1),
        DecisionEffective(decision_id="weather", agent="weather", route="full"),
        *map(put, ("storyline", "story_teller")),
        DecisionRejected(decision_id="story_teller", reason="refused: by Ada; nothing takes effect: none is left"),
        DecisionRejected(decision_id="karma", reason="malformed: no JSON"),
    ]
    written = Life(partitions=1)
    events = [written.event(fact, "hero", (BEGAN_MS + n) << 16)[1] for n, fact in enumerate(facts)]
    place = log_fields("ai.decisions.v1", 0)
    records = [event.SerializeToString() + place(offset) for offset, event in enumerate(events)]
    Events(clickhouse).insert("ai.decisions.v1", concatenate(records), "once", NAMES)
    rows = connect(clickhouse).query(statement("tally_decisions"), parameters={"since": 0}).result_rows
    found = {one.agent: one for one in (Decision(*row) for row in rows)}
    assert (found["weather"].effective_ms, found["weather"].calls, found["weather"].put_ms) == (BEGAN_MS + 7, 1, 0)
    assert (found["storyline"].put_ms, found["storyline"].until_ms) == (BEGAN_MS + 8, UNTIL_MS)
    assert found["story_teller"].declined_ms == BEGAN_MS + 10
    assert found["karma"].declined_ms == 0
    within, after = (tally(list(found.values()), [], now_ms) for now_ms in (UNTIL_MS, UNTIL_MS + GRACE_MS + 1))
    assert (within.unanswered, within.waiting_by_agent) == (2, {"storyline": 1})
    assert (after.unanswered, after.waiting_by_agent) == (3, {})


def test_of_what_was_reused_the_answers_that_others_paid_for_are_sampled_with_where_they_came_from(
    clickhouse: str,
) -> None:
    migrate(connect(clickhouse))
    facts: list[Message] = []
    for name, route, why in (
        ("paid", "batch", '{"together":2}'),
        ("shared", "batch", '{"together":2}'),
        ("again", "cache", '{"decision_id":"paid","kind":"exact"}'),
        ("ruled", "rule", "{}"),
    ):
        facts += [
            DecisionRequested(decision_id=name, agent="weather", context="{}", legal_actions=["clear"]),
            DecisionProposed(decision_id=name, agent="weather", route=route, why=why),
            DecisionEffective(decision_id=name, agent="weather", route=route, action="clear", content="{}"),
        ]
    facts.append(CostSampled(decision_id="paid", source="ai_inference", calls=1))
    written = Life(partitions=1)
    events = [written.event(fact, "hero", (BEGAN_MS + n) << 16)[1] for n, fact in enumerate(facts)]
    place = log_fields("ai.decisions.v1", 0)
    records = [event.SerializeToString() + place(offset) for offset, event in enumerate(events)]
    Events(clickhouse).insert("ai.decisions.v1", concatenate(records), "once", NAMES)
    asked_for = {"since": 0, "size": 10}
    rows = connect(clickhouse).query(statement("sample_reused"), parameters=asked_for).result_rows
    found = {one.decision_id: one for one in (Reused(*row) for row in rows)}
    assert {name: (one.route, one.source) for name, one in found.items()} == {
        "shared": ("batch", ""),
        "again": ("cache", "paid"),
    }
