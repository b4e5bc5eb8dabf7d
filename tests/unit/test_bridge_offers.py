"""What a batch offers: every body is read or refused, and a bad event never fails its neighbours."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import FACTS, Event, GoldGained, PlayerMoved, PlayerSaid, topic_of
from schemas.gen.norn.v1.bridge_pb2 import DispatchRequest, OfferedEvent
from streams.bridge.offers import JSON, OFFERED, PROTOBUF, Malformed, TooLarge, read
from streams.sdk.envelope import FACT_BYTES_MAX

GOOD = {"sequence": 1, "player_id": "astrid", "gold_gained": {"amount": 30}}

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
nearly = st.dictionaries(
    st.sampled_from(
        ["sequence", "player_id", "time_ms", "cause", "trace", "gold_gained", "player_said", "clock_ticked"]
    ),
    junk,
    max_size=5,
)


def body(*events: Any, client: Any = "harbour-1") -> bytes:
    return orjson.dumps({"client": client, "events": list(events)}, option=orjson.OPT_NON_STR_KEYS)


def test_the_facts_that_may_be_offered_are_the_logs_own_under_the_same_numbers() -> None:
    for name in OFFERED:
        ours, theirs = OfferedEvent.DESCRIPTOR.fields_by_name[name], Event.DESCRIPTOR.fields_by_name[name]
        assert (ours.number, ours.message_type.full_name) == (theirs.number, theirs.message_type.full_name)


def test_a_game_server_asks_but_decides_nothing_and_spends_nothing() -> None:
    assert "decision_requested" in OFFERED
    said = [name for name in OFFERED if name != "decision_requested"]
    topics = {topic_of(FACTS[name]()) for name in said}
    assert topics == {"players.actions.v1", "world.facts.v1", "ai.decisions.v1"}
    assert [name for name in said if topic_of(FACTS[name]()) == "ai.decisions.v1"] == ["action_completed"]
    assert not {"clock_ticked", "decision_effective", "approval_given", "budget_reserved"} & set(OFFERED)


@pytest.mark.parametrize("names", [True, False], ids=["as in the proto", "as protobuf writes them"])
def test_json_and_protobuf_say_the_same(names: bool) -> None:
    request = DispatchRequest(client="harbour-1")
    request.events.add(
        sequence=7, player_id="Zoë", time_ms=5, cause=b"c" * 16, player_moved=PlayerMoved(zone="a", x=1.5)
    )
    request.events.add(sequence=8, player_id="finn", gold_gained=GoldGained(amount=2**42))
    said = MessageToDict(request, preserving_proto_field_name=names)
    assert read(JSON, orjson.dumps(said)) == read(PROTOBUF, request.SerializeToString())
    assert [offer.sequence for offer in read(JSON, orjson.dumps(said)).offers] == [7, 8]


@pytest.mark.parametrize(
    ("event", "reason", "sequence"),
    [
        ({**GOOD, "sequence": 0}, "unnumbered", 0),
        ({"player_id": "astrid", "gold_gained": {}}, "unnumbered", 0),
        ({**GOOD, "sequence": 2**63}, "unnumbered", 0),
        ({"sequence": "4", "player_id": "astrid"}, "unknown_fact", 4),
        ({"sequence": 4, "player_id": "astrid", "clock_ticked": {"time_ms": 1}}, "malformed", 4),
        ({"sequence": "4", "player_id": "astrid", "decision_effective": {}}, "malformed", 4),
        ({**GOOD, "player_said": {"text": "two facts"}}, "malformed", 1),
        ({**GOOD, "gold_gained": {"amount": -1}}, "malformed", 1),
        ({**GOOD, "player_id": ""}, "invalid_event", 1),
        ({**GOOD, "player_id": "x" * 257}, "invalid_event", 1),
        ({**GOOD, "player_id": "a\x00b"}, "invalid_event", 1),
        ({**GOOD, "cause": "AAAA"}, "invalid_event", 1),
        ({**GOOD, "trace": "☃"}, "invalid_event", 1),
        ({**GOOD, "time_ms": 2**60}, "invalid_event", 1),
        ({"sequence": 4, "player_id": "a", "player_moved": {"x": "NaN"}}, "invalid_event", 4),
        ({"sequence": 4, "player_id": "a", "player_said": {"text": "x" * FACT_BYTES_MAX}}, "too_large", 4),
        ("gold", "malformed", 0),
        (None, "malformed", 0),
    ],
)
def test_what_is_wrong_with_one_event_is_said_of_it_alone(event: Any, reason: str, sequence: int) -> None:
    found = read(JSON, body(event, {**GOOD, "sequence": 9}))
    assert [offer.sequence for offer in found.offers] == [9]
    (refusal,) = found.refusals
    assert (refusal.index, refusal.reason, refusal.sequence) == (0, reason, sequence)
    assert refusal.detail
    assert "\n" not in refusal.detail


def test_a_fact_of_ten_kilobytes_fits() -> None:
    said = PlayerSaid(text="x" * (FACT_BYTES_MAX - 3))
    assert said.ByteSize() == FACT_BYTES_MAX
    request = DispatchRequest(client="c", events=[OfferedEvent(sequence=1, player_id="a", player_said=said)])
    assert not read(PROTOBUF, request.SerializeToString()).refusals


@pytest.mark.parametrize(
    "wrong",
    [
        b"", b"{", b"[]", b"null", b'"x"', b'{"client":"a"}', b'{"client":"a","events":[]}', b"\xff\xfe",
        body(GOOD, client=""), body(GOOD, client="-a"), body(GOOD, client="a b"), body(GOOD, client=1),
        body(GOOD, client="x" * 65), b'{"client":"a","events":[1],"more":1}', b'{"client":"a","events":{}}',
    ],
)  # fmt: skip
def test_what_is_no_batch_is_malformed(wrong: bytes) -> None:
    with pytest.raises(Malformed):
        read(JSON, wrong)


@pytest.mark.parametrize("wrong", [b"", b"\xff\xff\xff", DispatchRequest(client="a").SerializeToString()])
def test_protobuf_that_is_no_batch_is_malformed(wrong: bytes) -> None:
    with pytest.raises(Malformed):
        read(PROTOBUF, wrong)


def test_fifty_events_are_a_batch_and_fifty_one_are_not() -> None:
    assert len(read(JSON, body(*[GOOD] * 50)).offers) == 50
    with pytest.raises(TooLarge, match="at most 50"):
        read(JSON, body(*[GOOD] * 51))


@settings(max_examples=50)
@given(st.lists(junk | nearly, min_size=1, max_size=20))
def test_every_event_is_offered_or_refused_in_its_place(events: list[Any]) -> None:
    try:
        whole = body(*events)
    except orjson.JSONEncodeError:  # beyond 64 bits, which no JSON of ours can say
        return
    found = read(JSON, whole)
    indexes = [one.index for one in (*found.offers, *found.refusals)]
    assert sorted(indexes) == list(range(len(events)))


@given(st.binary(max_size=300))
def test_bytes_are_a_batch_or_malformed(noise: bytes) -> None:
    for kind in (JSON, PROTOBUF):
        with contextlib.suppress(Malformed, TooLarge):
            read(kind, noise)
