"""Older shapes become today's: once each, in one place, at no cost while there is nothing to do."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from hypothesis import given

from schemas import (
    FACTS,
    Event,
    GoldGained,
    GoldSpent,
    PlaceEntered,
    PlayerDied,
    PlayerMoved,
    UnknownFact,
    WorkerStarted,
    fact_of,
)
from schemas.upcasts import UPCASTS, upcast
from tests.strategies import events

ENVELOPE = {"id": b"\1" * 16, "subject": "hero-1", "stamp": 7, "region": "eu", "origin": "o", "sequence": 3}


def moved_to_entered(fact: Message) -> Message:
    assert isinstance(fact, PlayerMoved)
    return PlaceEntered(zone=fact.zone)


def entered_to_died(fact: Message) -> Message:
    assert isinstance(fact, PlaceEntered)
    return PlayerDied(zone=fact.zone, killer="an upcast")


def with_a_reason(fact: Message) -> Message:
    assert isinstance(fact, GoldGained)
    return GoldGained(amount=fact.amount + 1, reason="found")


@given(events())
def test_todays_events_are_left_alone(event: Event) -> None:
    assert upcast(event) is event
    assert upcast(event, {"no_such_fact": moved_to_entered}) is event


def test_every_upcast_is_of_a_fact_that_is_in_the_log() -> None:
    assert set(UPCASTS) <= set(FACTS)


def test_an_older_fact_becomes_todays_and_its_envelope_stays() -> None:
    old = Event(**ENVELOPE, player_moved=PlayerMoved(zone="D:3", x=4))
    new = upcast(old, {"player_moved": moved_to_entered})
    assert new == Event(**ENVELOPE, place_entered=PlaceEntered(zone="D:3"))


def test_the_event_that_was_read_is_not_changed() -> None:
    old = Event(**ENVELOPE, player_moved=PlayerMoved(zone="D:3"))
    before = old.SerializeToString()
    upcast(old, {"player_moved": moved_to_entered})
    assert old.SerializeToString() == before


def test_upcasts_follow_each_other() -> None:
    table = {"player_moved": moved_to_entered, "place_entered": entered_to_died}
    new = upcast(Event(**ENVELOPE, player_moved=PlayerMoved(zone="D:3")), table)
    assert fact_of(new) == PlayerDied(zone="D:3", killer="an upcast")


def test_a_fact_filled_in_under_its_own_name_is_filled_in_once() -> None:
    new = upcast(Event(gold_gained=GoldGained(amount=5)), {"gold_gained": with_a_reason})
    assert fact_of(new) == GoldGained(amount=6, reason="found")


def test_upcasts_that_lead_to_each_other_come_to_an_end() -> None:
    table = {"gold_gained": lambda fact: GoldSpent(amount=1), "gold_spent": lambda fact: GoldGained(amount=2)}
    assert fact_of(upcast(Event(gold_gained=GoldGained()), table)) == GoldGained(amount=2)


def test_a_fact_of_nothing_but_zeros_is_still_a_fact() -> None:
    new = upcast(Event(player_moved=PlayerMoved()), {"player_moved": lambda fact: WorkerStarted()})
    assert new.WhichOneof("fact") == "worker_started"


def test_an_event_without_a_fact_is_left_for_others_to_refuse() -> None:
    empty = Event(**ENVELOPE)
    assert upcast(empty, {"player_moved": moved_to_entered}) is empty


def test_an_upcast_to_what_is_no_fact_is_refused() -> None:
    with pytest.raises(UnknownFact):
        upcast(Event(player_moved=PlayerMoved()), {"player_moved": lambda fact: Event()})
