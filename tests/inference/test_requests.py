"""Requests: pure, complete, and the same however often they are asked for."""

from __future__ import annotations

from contextlib import suppress

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inference.agent
import inference.governance
import schemas.requests
from inference.agents import AGENTS
from inference.asking import Asking
from inference.requests import asked_as, requests_for
from schemas import (
    DecisionRequested,
    Event,
    EventRefused,
    PlaceEntered,
    PlayerSaid,
    check_decision_request,
    check_fact,
    derived_id,
    fact_of,
    topic_of,
)
from schemas.requests import AHEAD_MAX_MS
from tests.inference.asking import ALL, NOW_MS, death, descent, happened
from tests.strategies import TEXTS, events


def test_a_death_asks_the_chronicler_for_a_line_within_ten_seconds() -> None:
    event = death()
    assert requests_for(event, ALL) == [
        DecisionRequested(
            decision_id=derived_id(event.id.hex(), "chronicler"),
            agent="chronicler",
            tier="silver",
            context='{"depth":3,"hero":"Astrid","killer":"a jackal","zone":"Dungeons of Doom 3"}',
            legal_actions=["chronicle"],
            deadline_ms=NOW_MS + 10_000,
            cost_cap_usd_micros=5_000,
            impact="low",
        )
    ]


def test_a_new_depth_asks_the_chronicler_too() -> None:
    [request] = requests_for(descent(), ALL)
    assert orjson.loads(request.context) == {"depth": 4, "hero": "Astrid", "zone": "Dungeons of Doom 4"}


@given(st.data())
def test_the_same_event_always_asks_for_the_same_decisions_and_no_two_events_for_one(data: st.DataObject) -> None:
    one, other = data.draw(events()), data.draw(events())
    asked, again = requests_for(one, ALL), requests_for(Event.FromString(one.SerializeToString()), ALL)
    assert asked == again
    if one.id != other.id:
        ids = [request.decision_id for request in [*asked, *requests_for(other, ALL)]]
        assert len(set(ids)) == len(ids)


@given(events(["player_died", "depth_reached"]))
def test_every_request_goes_to_a_topic(event: Event) -> None:
    assert [topic_of(request) for request in requests_for(event, ALL)] == ["ai.requests.silver.v1"]


#: Texts that grow most when they are written as JSON, as long as a fact or a name may be.
LONG_TEXTS = st.sampled_from(["é" * 300, '"' * 600, "\x01" * 1_500, "\U0001f600" * 2_000, '"' * 9_000])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(events(sorted({fact for agent in AGENTS.values() for fact in agent.triggers}), texts=TEXTS | LONG_TEXTS))
def test_what_an_agent_is_asked_for_any_fact_is_a_request_in_form(event: Event) -> None:
    with suppress(EventRefused):
        check_fact(fact_of(event))
        for request in requests_for(event, AGENTS):
            try:
                check_fact(request)
                check_decision_request(request)
            except EventRefused as refused:
                raise AssertionError(str(refused)) from refused


def test_what_may_be_at_stake_and_how_far_ahead_a_deadline_is_are_the_same_for_agents_and_for_games() -> None:
    assert inference.agent.IMPACTS == schemas.requests.IMPACTS
    assert inference.governance.ACTION_BYTES_MAX == schemas.requests.ACTION_BYTES_MAX
    assert all(agent.deadline_ms < AHEAD_MAX_MS for agent in AGENTS.values())


def ids(asking: Asking, walks: list[Event]) -> list[str]:
    """The decisions that walks into another region call the gold agent for."""
    agents = asked_as({"decision": AGENTS["decision"]}, {"decision": asking})
    return [request.decision_id for walk in walks for request in requests_for(walk, agents)]


#: As many as a game of another kind made in an hour, of two heroes.
WALKS = [
    happened(PlaceEntered(zone=f"region {n % 9}", depth=n % 9), subject=f"hero-{n % 2}", at_ms=NOW_MS + n * 1_800)
    for n in range(2_005)
]


def test_without_a_setting_every_walk_asks() -> None:
    assert len(set(ids(Asking(), WALKS))) == len(WALKS)


def test_an_agent_that_is_off_is_never_asked_and_the_others_are() -> None:
    assert ids(Asking(enabled=False), WALKS) == []
    agents = asked_as(ALL, {"guard": Asking(enabled=False)})
    assert requests_for(happened(PlayerSaid(text="hello")), agents) == []
    assert requests_for(death(), agents) == requests_for(death(), ALL)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 1.0])
def test_a_share_is_about_as_large_as_it_says_and_the_same_whenever_the_log_is_read(share: float) -> None:
    asked = ids(Asking(share=share), WALKS)
    assert abs(len(asked) - share * len(WALKS)) <= (0.05 * len(WALKS) if 0 < share < 1 else 0)
    assert ids(Asking(share=share), WALKS[::-1]) == asked[::-1]
    assert set(asked) <= set(ids(Asking(), WALKS))


def test_of_each_subject_there_is_one_decision_in_a_while_however_often_it_is_called_for() -> None:
    asked = ids(Asking(every_s=600), WALKS)
    whiles = {(walk.subject, (NOW_MS + n * 1_800) // 600_000) for n, walk in enumerate(WALKS)}
    assert len(set(asked)) == len(whiles) < 20
    assert set(ids(Asking(every_s=600), WALKS[5::7])) <= set(asked)


def test_a_setting_of_one_agent_changes_no_other_agents_decisions() -> None:
    asked = asked_as(ALL, {"guard": Asking(every_s=60), "nobody": Asking(enabled=False)})
    assert requests_for(death(), asked) == requests_for(death(), ALL)
    assert asked.keys() == ALL.keys()
