"""Requests: pure, complete, and the same however often they are asked for."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from inference.requests import requests_for
from schemas import DecisionRequested, Event, derived_id, topic_of
from tests.inference.asking import ALL, NOW_MS, death, descent
from tests.strategies import events


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
