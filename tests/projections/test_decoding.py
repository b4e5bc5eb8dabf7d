"""Decoding a batch natively reads what Python reads, and refuses what is not an event."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import PROJECTIONS
from projections.catalog.places import places
from projections.decoding import Decoder
from schemas import FACTS, ClockTicked, Event, GoldGained, GoldSpent, PlaceEntered, PlayerMoved, UndecodableEvent
from tests.strategies import events

decoder = Decoder(PROJECTIONS)


@settings(max_examples=60)
@given(st.lists(events(), max_size=8))
def test_every_field_that_is_used_is_read_as_python_reads_it(log: list[Event]) -> None:
    frame = decoder.columns([event.SerializeToString() for event in log])
    used = set(frame.columns) & set(FACTS)
    assert used == {fact for projection in PROJECTIONS for fact in projection.facts}
    for row, event in zip(frame.iter_rows(named=True), log, strict=True):
        assert row["known"]
        for name in ("subject", "stamp", "region", "origin", "sequence"):
            assert row[name] == getattr(event, name)
        fact = event.WhichOneof("fact") or ""
        assert [name for name in used if row[name] is not None] == ([fact] if fact in used else [])
        for field, value in (row.get(fact) or {}).items():
            assert value == getattr(getattr(event, fact), field)


def test_a_fact_of_nothing_but_defaults_is_there() -> None:
    (row,) = decoder.columns([Event(player_moved=PlayerMoved()).SerializeToString()]).iter_rows(named=True)
    assert row["player_moved"] == {"zone": "", "x": 0.0, "y": 0.0}
    assert row["known"]


def test_a_fact_of_a_later_version_is_not_known_and_one_that_nobody_folds_is() -> None:
    later = Event(subject="hero").SerializeToString() + b"\xc2\xbb\x01\x00"
    frame = decoder.columns([later, Event(clock_ticked=ClockTicked(time_ms=1)).SerializeToString(), b""])
    assert frame["known"].to_list() == [False, True, False]


REFUSED = {
    "bytes that are no message": b"\xff\xff\xff not an event",
    "an event that is cut short": Event(subject="hero", gold_gained=GoldGained(amount=1)).SerializeToString()[:-1],
    "a text that is not UTF-8": b"\x12\x02\xff\xfe",
    "two facts": Event(gold_gained=GoldGained(amount=1)).SerializeToString()
    + Event(gold_spent=GoldSpent(amount=1)).SerializeToString(),
    "two facts, of which one is not used": Event(gold_gained=GoldGained(amount=1)).SerializeToString()
    + Event(clock_ticked=ClockTicked(time_ms=1)).SerializeToString(),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_a_batch_with_a_record_that_is_no_event_is_refused(value: bytes) -> None:
    good = Event(subject="hero", gold_gained=GoldGained(amount=1)).SerializeToString()
    with pytest.raises(UndecodableEvent, match="one of 3 records"):
        decoder.columns([good, value, good])


@settings(max_examples=200)
@given(events(), st.data())
def test_rubbish_is_refused_and_never_crashes(event: Event, data: st.DataObject) -> None:
    value = bytearray(event.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    try:
        frame = decoder.columns([bytes(value)])
    except UndecodableEvent:
        return
    assert frame.height == 1


def test_the_facts_of_a_batch_are_told_used_or_not() -> None:
    log = [Event(clock_ticked=ClockTicked(time_ms=1)), Event(gold_gained=GoldGained()), Event(subject="nothing")]
    assert Decoder([places]).decode([event.SerializeToString() for event in log]).facts == {
        "clock_ticked",
        "gold_gained",
    }


def test_a_decoder_reads_only_what_its_projections_use() -> None:
    frame = Decoder([places]).columns([Event(place_entered=PlaceEntered(zone="keep", depth=3)).SerializeToString()])
    assert set(frame.columns) == {
        "subject", "stamp", "region", "origin", "sequence", "known", "place_entered", "player_died",
    }  # fmt: skip


def test_a_decoder_for_no_projection_still_tells_what_is_an_event() -> None:
    frame = Decoder(()).columns([Event(origin="life", sequence=7, gold_gained=GoldGained()).SerializeToString(), b""])
    assert frame["sequence"].to_list() == [7, 0]
    assert frame["known"].to_list() == [True, False]
    assert Decoder(()).columns([]).height == 0


@given(st.lists(events(), min_size=1, max_size=8), st.data())
def test_a_slice_of_an_array_is_read_as_a_list_is(log: list[Event], data: st.DataObject) -> None:
    decoder, values = Decoder(PROJECTIONS), [event.SerializeToString() for event in log]
    start = data.draw(st.integers(0, len(values) - 1))
    of_array, of_list = decoder.decode(pa.array(values, pa.binary()).slice(start)), decoder.decode(values[start:])
    assert of_array.frame.equals(of_list.frame)
    assert of_array.facts == of_list.facts


def test_a_record_without_a_value_is_no_event() -> None:
    with pytest.raises(UndecodableEvent, match="no value"):
        Decoder(PROJECTIONS).decode(pa.array([b"", None], pa.binary()))
