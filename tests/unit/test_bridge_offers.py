"""What a batch offers: every body is read or refused, and a bad event never fails its neighbours."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import FACTS, Event, GoldGained, PlayerMoved, PlayerSaid, topic_of
from schemas.gen.norn.v1.bridge_pb2 import DispatchedParts, DispatchRequest, OfferedEvent, OfferedNumber
from schemas.limits import (
    DECISION_ID_BYTES_MAX,
    FACT_BYTES_MAX,
    ID_BYTES,
    NAME_BYTES_MAX,
    NUMBER_MAX,
    QUANTITY_MAX,
    SUBJECT_BYTES_MAX,
    TRACE_BYTES_MAX,
)
from schemas.requests import CONTEXT_BYTES_MAX
from streams.bridge.offers import read
from streams.bridge.wire import BATCH_EVENTS_MAX, JSON, OFFERED, PROTOBUF, Malformed, TooLarge

GOOD = {"sequence": 1, "player_id": "astrid", "gold_gained": {"amount": 30}}

halves = st.text(st.characters(categories=["Cs"]), min_size=1, max_size=2)
texts = st.text(max_size=12) | halves
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
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
        ({**GOOD, "cause": "AAAAAAAAAAAAAAAAAAAAAA!!"}, "malformed", 1),
        ({**GOOD, "cause": "é"}, "malformed", 1),
        ({**GOOD, "cause": 7}, "malformed", 1),
        ({"sequence": 4, "player_id": "a", "gold_gained": []}, "malformed", 4),
        ({"sequence": 4, "player_id": "a", "goldGained": ""}, "malformed", 4),
        ({"sequence": 4, "player_id": "a", "gold_gained": None}, "unknown_fact", 4),
        ({**GOOD, "player_id": None}, "invalid_event", 1),
        ({**GOOD, "player_id": 7}, "malformed", 1),
        ({**GOOD, "sequence": True}, "malformed", 0),
        ({**GOOD, "nonsense": 1}, "malformed", 1),
        ({**GOOD, "gold_gained": {"amount": 1.5}}, "malformed", 1),
        ({**GOOD, "gold_gained": {"amount": [[1]]}}, "malformed", 1),
        ({**GOOD, "player_id": "x\x1b[2J", "nonsense\x1b[2J": 1}, "malformed", 1),
        ("gold", "malformed", 0),
        ([GOOD], "malformed", 0),
        (None, "malformed", 0),
    ],
)
def test_what_is_wrong_with_one_event_is_said_of_it_alone(event: Any, reason: str, sequence: int) -> None:
    found = read(JSON, body(event, {**GOOD, "sequence": 9}))
    assert [offer.sequence for offer in found.offers] == [9]
    (refusal,) = found.refusals
    assert (refusal.index, refusal.reason, refusal.sequence) == (0, reason, sequence)
    assert refusal.detail
    assert refusal.detail.isprintable()


DEEP = b"[" * 100_000 + b"]" * 100_000
UNREADABLE = [
    (rb'{"sequence":4,"player_id":"a","player_said":{"text":"half \ud83d"}}', 4, "surrogate"),
    (rb'{"sequence":4,"player_id":"a\ude00","gold_gained":{"amount":1}}', 4, "surrogate"),
    (rb'{"sequence":4,"player_id":"a","\ud83d":1}', 4, ""),
    (b'{"sequence":4,"player_id":"a","player_said":{"text":"\xff\xfe"}}', 4, "surrogate"),
    (b'{"sequence":4,"player_id":"a","player_said":{"text":"\xed\xa0\xbd"}}', 4, "surrogate"),
    (b'{"sequence":4,"player_id":"a","player_moved":{"x":NaN}}', 4, "NaN"),
    (b'{"sequence":4,"player_id":"a","player_moved":{"x":-Infinity}}', 4, "Infinity"),
    (b'{"sequence":4,"player_id":"a","player_moved":{"x":nan}}', 4, "Expecting value"),
    (b'{"sequence":4,"player_id":"a","player_moved":{"x":1e400}}', 4, "1e400"),
    (b'{"sequence":4,"player_id":"a","gold_gained":{"amount":1e400}}', 4, "1e400"),
    (b'{"sequence":4,"player_id":"a","gold_gained":{"amount":1%s}}' % (b"0" * 5_000), 4, "5001 digits"),
    (b'{"sequence":4,"player_id":"a","gold_gained":{"amount":1%s}}' % (b"0" * 30), 4, "range"),
    (b'{"sequence":4,"player_id":"a","player_said":{"text":%s}}' % DEEP, 4, "deep"),
    (b'{"player_said":{"text":%s},"sequence":"4"}' % DEEP, 4, "deep"),
    (DEEP, 0, "deep"),
    (b'{"sequence":4,"sequence":4,"player_id":"a","gold_gained":{}}', 4, "'sequence' is given twice"),
    (b'{"sequence":4,"sequence":5,"player_id":"a","gold_gained":{}}', 0, "'sequence' is given twice"),
    (b'{"sequence":4,"player_id":"a","gold_gained":{"amount":1,"amount":2}}', 4, "'amount' is given twice"),
    (b'{"sequence":4,"player_id":"a","player_said":{"text":"a\tb"}}', 4, "control character"),
    (rb'{"sequence":4,"player_id":"a","player_said":{"text":"\x1b"}}', 4, "escape"),
    (rb'{"sequence":4,"player_id":"a","player_said":{"text":"[,]\"}","reason":}}', 4, "Expecting value"),
    (b'{"sequence":4,"player_id":"a","gold_gained":{"amount":1,}}', 4, "double quotes"),
    (b"{'sequence':4}", 0, "double quotes"),
    (b"undefined", 0, "Expecting value"),
    (b"", 0, "Expecting value"),
]


@pytest.mark.parametrize(("event", "sequence", "word"), UNREADABLE)
def test_an_event_that_cannot_be_read_fails_none_of_forty_nine_others(event: bytes, sequence: int, word: str) -> None:
    good = [orjson.dumps({**GOOD, "sequence": number, "trace": "[{,"}) for number in range(10, 59)]
    for place in (0, 25, 49):
        events = b" , ".join([*good[:place], event, *good[place:]])
        found = read(JSON, b' {"events" : [ %s ] , "client": "harbour-1"} ' % events)
        assert [offer.sequence for offer in found.offers] == list(range(10, 59))
        (refusal,) = found.refusals
        assert (refusal.index, refusal.reason, refusal.sequence) == (place, "malformed", sequence)
        assert word in refusal.detail
        assert refusal.detail.isprintable()


def test_a_protobuf_event_that_cannot_be_read_fails_none_of_its_neighbours() -> None:
    good = [OfferedEvent(sequence=number, player_id="a", gold_gained=GoldGained(amount=1)) for number in (1, 3)]
    # Its player's name is no UTF-8; and bytes that are no message at all.
    nameless, rubbish = b"\x08\x02\x12\x02\xff\xfe", b"\xff\xff\xff"
    parts = [good[0].SerializeToString(), nameless, rubbish, good[1].SerializeToString()]
    found = read(PROTOBUF, DispatchedParts(client=b"c", events=parts).SerializeToString())
    assert [offer.sequence for offer in found.offers] == [1, 3]
    assert [(one.index, one.sequence, one.reason) for one in found.refusals] == [
        (1, 2, "malformed"),
        (2, 0, "malformed"),
    ]


def test_parts_are_the_same_bytes_as_the_messages_they_stand_for() -> None:
    whole, parts = DispatchRequest.DESCRIPTOR.fields_by_name, DispatchedParts.DESCRIPTOR.fields_by_name
    assert {name: field.number for name, field in whole.items()} == {n: f.number for n, f in parts.items()}
    assert OfferedNumber.DESCRIPTOR.fields_by_name["sequence"].number == (
        OfferedEvent.DESCRIPTOR.fields_by_name["sequence"].number
    )


@pytest.mark.parametrize(
    ("fact", "word"),
    [
        ({"gold_gained": {"amount": 2**42 + 1}}, str(2**42)),
        ({"gold_spent": {"amount": 2**64 - 1}}, str(2**42)),
        ({"gold_gained": {"amount": 1, "reason": "x" * 601}}, "at most 600"),
        ({"item_gained": {"item_id": "ö" * 301}}, "at most 600"),
        ({"item_gained": {"item_id": "a\x00b"}}, "NUL"),
        ({"flag_set": {"quest": "a\x00", "value": 1}}, "NUL"),
        ({"flag_set": {"quest": "a", "value": 2**63}}, str(2**63 - 1)),
        ({"decision_requested": {"agent": "dialogue", "legal_actions": ["refuse", "a\x00"]}}, "NUL"),
        ({"decision_requested": {"agent": "dialogue", "cost_cap_usd_micros": 2**42 + 1}}, str(2**42)),
        ({"action_completed": {"decision_id": "x" * 201}}, "at most 200"),
    ],
)
def test_what_no_fold_could_store_is_refused_with_its_limit(fact: Any, word: str) -> None:
    found = read(JSON, body({"sequence": 4, "player_id": "a", **fact}, {**GOOD, "sequence": 9}))
    assert [offer.sequence for offer in found.offers] == [9]
    (refusal,) = found.refusals
    assert (refusal.sequence, refusal.reason) == (4, "invalid_event")
    assert word in refusal.detail


@pytest.mark.parametrize(
    "limit", [SUBJECT_BYTES_MAX, QUANTITY_MAX, NUMBER_MAX, NAME_BYTES_MAX, DECISION_ID_BYTES_MAX, FACT_BYTES_MAX,
              CONTEXT_BYTES_MAX, ID_BYTES, TRACE_BYTES_MAX, BATCH_EVENTS_MAX]
)  # fmt: skip
def test_the_docs_name_the_limit(limit: int) -> None:
    assert re.search(rf"\b{limit:,}\b", (Path(__file__).parents[2] / "docs" / "bridge.md").read_text())


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
        b'{"client":"a","client":"b","events":[1]}', b'{"client":"a","events":[1],"events":[2]}', b"{}",
        b'{"client":"a","events":[1]', b'{"client":"a","events":[1]}}', b'{"client":"a","events":[1 2]}',
        b'{"client":"a","events":["x]}', b'{"client":"a","events":[{"x":[}', b'{"client":"\\ud83d","events":[1]}',
        b'{"client":"a","\\ud83d":1,"events":[1]}', b'{"client":NaN,"events":[1]}', DEEP, b'{"client":%s' % DEEP,
    ],
)  # fmt: skip
def test_what_is_no_batch_is_malformed(wrong: bytes) -> None:
    with pytest.raises(Malformed) as raised:
        read(JSON, wrong)
    assert str(raised.value)


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
    found = read(JSON, json.dumps({"client": "harbour-1", "events": events}).encode())
    indexes = [one.index for one in (*found.offers, *found.refusals)]
    assert sorted(indexes) == list(range(len(events)))


@given(st.integers(0, 200), st.integers(0, 3), st.sampled_from([b"", *(bytes([one]) for one in b'"\\[]{},:1N\xff ')]))
def test_a_body_damaged_anywhere_is_read_or_malformed(place: int, length: int, instead: bytes) -> None:
    whole = body({**GOOD, "trace": "a\\b"}, {**GOOD, "sequence": 2}, {**GOOD, "sequence": 3})
    with contextlib.suppress(Malformed):
        found = read(JSON, whole[:place] + instead + whole[place + length :])
        assert len(found.offers) + len(found.refusals) <= 4
        assert all(refusal.detail.isprintable() for refusal in found.refusals)


@given(st.binary(max_size=300))
def test_bytes_are_a_batch_or_malformed(noise: bytes) -> None:
    for kind in (JSON, PROTOBUF):
        with contextlib.suppress(Malformed, TooLarge):
            read(kind, noise)
