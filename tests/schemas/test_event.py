"""The envelope: ids, the facts by name, decoding, and what is marked as personal."""

from __future__ import annotations

import uuid
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import (
    FACTS,
    Event,
    PlayerMoved,
    PlayerSaid,
    UndecodableEvent,
    UnknownFact,
    decode,
    derived_id,
    event_id,
    fact_name,
    fact_of,
)
from schemas.gen.norn.v1.options_pb2 import personal
from tests.strategies import events

TIMES = st.integers(0, 2**48 - 1)
RANDOM = st.binary(min_size=10, max_size=16)


@given(TIMES, RANDOM)
def test_an_events_id_is_a_uuid_of_version_7_that_holds_its_time(time_ms: int, random: bytes) -> None:
    read = uuid.UUID(bytes=event_id(time_ms, random))
    assert (read.version, read.variant) == (7, uuid.RFC_4122)
    assert read.int >> 80 == time_ms


@given(TIMES, RANDOM, RANDOM)
def test_ids_order_as_their_times(time_ms: int, random: bytes, other: bytes) -> None:
    assert event_id(max(time_ms - 1, 0), random) < event_id(max(time_ms, 1), other)


@given(st.binary(min_size=10, max_size=10), st.integers(0, 79))
def test_an_id_keeps_all_of_its_randomness_but_version_and_variant(random: bytes, bit: int) -> None:
    flipped = (int.from_bytes(random, "big") ^ 1 << bit).to_bytes(10, "big")
    taken_by_version_or_variant = bit in {76, 77, 78, 79, 62, 63}
    assert (event_id(0, random) == event_id(0, flipped)) == taken_by_version_or_variant


def test_the_same_parts_give_the_same_derived_id_in_every_release() -> None:
    assert derived_id("chronicler", "hero-1") == "f872d554-96ce-5a66-98a2-fd479e9c3260"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1, max_size=4))
def test_a_derived_id_is_a_uuid_that_tells_the_parts_apart(parts: list[str]) -> None:
    assert uuid.UUID(derived_id(*parts)).version == 5
    assert derived_id(*parts) == derived_id(*parts)
    assert derived_id(*parts) != derived_id(*parts, "")
    assert derived_id("ab", "c") != derived_id("a", "bc")


@pytest.mark.parametrize("name", sorted(FACTS))
def test_a_fact_is_named_as_its_field_in_the_event(name: str) -> None:
    fact = FACTS[name]()
    assert fact_name(fact) == fact_name(FACTS[name]) == name
    assert fact_of(Event(**{name: fact})) == fact


@given(events())
def test_an_event_is_read_back_as_it_was_written(event: Event) -> None:
    assert decode(event.SerializeToString()) == event


@given(st.binary(min_size=1))
def test_bytes_are_an_event_or_are_undecodable(value: bytes) -> None:
    with suppress(UndecodableEvent):
        assert isinstance(decode(value), Event)


def test_half_an_event_is_refused() -> None:
    whole = Event(subject="hero-1", player_moved=PlayerMoved(zone="D:1")).SerializeToString()
    with pytest.raises(UndecodableEvent, match=f"{len(whole) - 1} bytes"):
        decode(whole[:-1])


def test_an_event_that_holds_no_fact_is_no_known_fact() -> None:
    with pytest.raises(UnknownFact, match="origin-a"):
        fact_of(Event(id=b"\1" * 16, origin="origin-a"))


def test_a_message_that_is_no_fact_is_refused_by_name() -> None:
    with pytest.raises(UnknownFact, match=r"norn\.v1\.Event"):
        fact_name(Event())


def test_what_a_player_says_is_personal_and_where_it_was_said_is_not() -> None:
    fields = PlayerSaid.DESCRIPTOR.fields_by_name
    assert fields["text"].GetOptions().Extensions[personal]
    assert not fields["channel"].GetOptions().Extensions[personal]
