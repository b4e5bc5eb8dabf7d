"""What the SDK lets onto the log, and the bytes it makes of it."""

from __future__ import annotations

import math
import os
import uuid

import pytest
from google.protobuf.message import Message
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas import (
    FACTS,
    DecisionProposed,
    Event,
    EventRefused,
    GoldGained,
    PlayerMoved,
    PlayerSaid,
    event_id,
    fact_name,
    fact_of,
)
from schemas.limits import FACT_BYTES_MAX, QUANTITY_MAX, SUBJECT_BYTES_MAX, check_links
from schemas.stamps import time_ms
from streams.sdk.envelope import SHAPES, Envelopes, subject_key
from tests.strategies import events

NOW_MS = 1_763_700_000_000
GOLD = GoldGained(amount=3, reason="floor")


def counting(size: int) -> bytes:
    return bytes(n % 251 for n in range(size))


def envelopes() -> Envelopes:
    return Envelopes("eu", "server-1", lambda: NOW_MS, counting)


def seal(sealing: Envelopes, fact: Message, sequence: int = 1) -> tuple[bytes, bytes]:
    return sealing.seal(SHAPES[type(fact)].encode(fact), "hero-1", sequence, b"", "")


@given(events([name for name in FACTS if name != "decision_requested"], largest=QUANTITY_MAX))
def test_an_assembled_event_is_byte_for_byte_the_event_that_protobuf_writes(event: Event) -> None:
    fact = fact_of(event)
    assume(not any(isinstance(value, float) and math.isinf(value) for _, value in fact.ListFields()))
    field = SHAPES[type(fact)].encode(fact)
    new_id, value = Envelopes("eu", "server-1", lambda: NOW_MS, counting).seal(
        field, event.subject, event.sequence, event.cause, event.trace
    )
    expected = Event(
        id=event_id(NOW_MS, counting(10)),
        subject=event.subject,
        stamp=NOW_MS << 16,
        region="eu",
        origin="server-1",
        sequence=event.sequence,
        cause=event.cause,
        trace=event.trace,
        **{fact_name(fact): fact},
    )
    assert value == expected.SerializeToString(deterministic=True)
    assert new_id == expected.id


@given(st.lists(st.tuples(st.just(b"") | st.binary(min_size=16, max_size=16), st.sampled_from(["", "00-ab-01"]))))
def test_an_events_cause_and_trace_are_its_own_and_not_the_ones_before(links: list[tuple[bytes, str]]) -> None:
    sealing, field = envelopes(), SHAPES[GoldGained].encode(GOLD)
    written = [Event.FromString(sealing.seal(field, "hero-1", 1, cause, trace)[1]) for cause, trace in links]
    assert [(event.cause, event.trace) for event in written] == links


def test_every_fact_has_a_shape() -> None:
    assert {shape.name for shape in SHAPES.values()} == set(FACTS)


def test_ids_are_unique_uuids_of_the_stamps_time_and_stamps_grow_while_the_clock_stands_still() -> None:
    sealing = Envelopes("eu", "server-1", lambda: NOW_MS, os.urandom)
    written = [Event.FromString(seal(sealing, GOLD)[1]) for _ in range(5000)]
    assert len({event.id for event in written}) == 5000
    assert all(uuid.UUID(bytes=event.id).version == 7 for event in written)
    assert all(int.from_bytes(event.id[:6], "big") == time_ms(event.stamp) for event in written)
    stamps = [event.stamp for event in written]
    assert stamps == sorted(set(stamps))


def test_an_event_is_stamped_later_than_what_was_observed() -> None:
    sealing = envelopes()
    seen = (NOW_MS + 500) << 16
    sealing.observe(seen)
    assert Event.FromString(seal(sealing, GOLD)[1]).stamp > seen


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("kind", "name"), [(PlayerMoved, "x"), (PlayerMoved, "y"), (DecisionProposed, "confidence")])
def test_a_number_that_is_not_finite_is_refused_by_name(kind: type[Message], name: str, number: float) -> None:
    with pytest.raises(EventRefused, match=rf"\.{name} is .*finite"):
        SHAPES[kind].encode(kind(**{name: number}))


def test_a_fact_of_ten_kilobytes_is_taken_and_one_byte_more_is_refused() -> None:
    largest = PlayerSaid(text="x" * (FACT_BYTES_MAX - 3))
    assert largest.ByteSize() == FACT_BYTES_MAX
    written = Event.FromString(seal(envelopes(), largest)[1])
    assert written.player_said == largest
    with pytest.raises(EventRefused, match=f"player_said of {FACT_BYTES_MAX + 1} bytes"):
        SHAPES[PlayerSaid].encode(PlayerSaid(text="x" * (FACT_BYTES_MAX - 2)))


@pytest.mark.parametrize("subject", ["h", "Zoë", "x" * SUBJECT_BYTES_MAX])
def test_a_subject_becomes_its_records_key(subject: str) -> None:
    assert subject_key(subject).decode() == subject


@pytest.mark.parametrize("subject", ["", "x" * (SUBJECT_BYTES_MAX + 1), "é" * 129, "\ud800", b"hero-1", 7, None])
def test_what_cannot_be_a_subject_is_refused(subject: object) -> None:
    with pytest.raises(EventRefused, match="subject"):
        subject_key(subject)  # type: ignore[arg-type]


@pytest.mark.parametrize("cause", [b"short", b"x" * 17, "x" * 16, None])
def test_a_cause_that_is_no_events_id_is_refused(cause: object) -> None:
    with pytest.raises(EventRefused, match="cause"):
        check_links(cause, "")  # type: ignore[arg-type]


@pytest.mark.parametrize("trace", ["x" * 129, "é", b"00", None])
def test_a_trace_that_is_no_short_text_is_refused(trace: object) -> None:
    with pytest.raises(EventRefused, match="trace"):
        check_links(b"", trace)  # type: ignore[arg-type]
