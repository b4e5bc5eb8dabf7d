"""Avro is derived from the facts, loses nothing, and says what is wrong with what it cannot read."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from contextlib import suppress
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import FACTS, Event, EventRefused, GoldSpent, PlayerMoved, PlayerSaid, UndecodableEvent
from schemas.avro import (
    FINGERPRINT,
    MARKER,
    SCHEMA,
    decode_single,
    encode_single,
    fingerprint_of,
    from_avro,
    read_into,
    schema_of,
    to_avro,
)
from tests.schemas.shapes import thing
from tests.strategies import ANY_TEXTS, events, messages

THING = thing()
THING_SCHEMA = fastavro.parse_schema(schema_of(THING.DESCRIPTOR))
EVENT = Event(
    id=b"\1" * 16, subject="hero-1", stamp=2**64 - 1, sequence=2**63, player_moved=PlayerMoved(zone="D:1", x=0.5)
)
ENCODED = encode_single(EVENT)


def in_avro_and_back(schema: Any, record: dict[str, Any]) -> Any:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, record)
    body.seek(0)
    return fastavro.schemaless_reader(body, schema, None, return_record_name=True)


def crc_64_avro(text: bytes) -> bytes:
    """The Avro specification's CRC-64-AVRO bit by bit, beside the table-driven one under test."""
    empty = crc = 0xC15D213AA4D7A795
    for byte in text:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (empty if crc & 1 else 0)
    return crc.to_bytes(8, "little")


@given(events(texts=ANY_TEXTS))
def test_any_event_survives_single_object_encoding(event: Event) -> None:
    assert decode_single(encode_single(event)) == event


@given(events(texts=ANY_TEXTS))
def test_any_event_survives_its_record(event: Event) -> None:
    assert from_avro(to_avro(event)) == event


@given(messages(THING.DESCRIPTOR, texts=ANY_TEXTS))
def test_a_message_with_every_kind_of_field_survives(message: Any) -> None:
    back = THING()
    read_into(back, in_avro_and_back(THING_SCHEMA, to_avro(message)))
    assert back == message


@given(st.lists(events(), max_size=5))
def test_events_survive_an_avro_file_that_any_reader_opens(written: list[Event]) -> None:
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(dict(SCHEMA)), [to_avro(event) for event in written])
    file.seek(0)
    assert [from_avro(record) for record in fastavro.reader(file, return_record_name=True)] == written


@pytest.mark.parametrize("name", sorted(FACTS))
def test_a_fact_of_nothing_but_zeros_is_still_that_fact(name: str) -> None:
    event = Event(**{name: FACTS[name]()})
    assert decode_single(encode_single(event)).WhichOneof("fact") == name


def test_the_schema_lists_every_field_of_the_envelope_and_every_fact() -> None:
    fields = {field["name"]: field["type"] for field in SCHEMA["fields"]}
    envelope = [field.name for field in Event.DESCRIPTOR.fields if field.containing_oneof is None]
    assert list(fields) == [*envelope, "fact"]
    assert fields["fact"][0] == "null"
    assert {record["name"] for record in fields["fact"][1:]} == {fact.DESCRIPTOR.full_name for fact in FACTS.values()}


def test_every_field_has_a_default_so_that_later_readers_can_read_earlier_files() -> None:
    record = next(kind for kind in SCHEMA["fields"][-1]["type"][1:] if kind["name"] == "norn.v1.DecisionRequested")
    assert all("default" in field for field in [*SCHEMA["fields"], *record["fields"]])
    only_a_subject = {"type": "record", "name": "norn.v1.Event", "fields": [{"name": "subject", "type": "string"}]}
    body = io.BytesIO()
    fastavro.schemaless_writer(body, only_a_subject, {"subject": "hero-1"})
    body.seek(0)
    read = fastavro.schemaless_reader(body, only_a_subject, dict(SCHEMA))
    assert isinstance(read, dict)
    assert (read["subject"], read["fact"], read["id"]) == ("hero-1", None, "")


def test_the_schema_is_plain_json_and_says_what_is_personal() -> None:
    said = next(kind for kind in SCHEMA["fields"][-1]["type"][1:] if kind["name"] == "norn.v1.PlayerSaid")
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert {field["name"]: field.get("personal", False) for field in said["fields"]} == {"text": True, "channel": False}


def test_the_largest_unsigned_number_is_readable_as_itself() -> None:
    record = to_avro(Event(stamp=2**64 - 1, gold_spent=GoldSpent(amount=2**64 - 1)))
    assert record["stamp"] == Decimal(18_446_744_073_709_551_615)
    assert record["fact"] == ("norn.v1.GoldSpent", {"amount": Decimal(2**64 - 1), "reason": ""})


def test_the_encoding_is_marker_fingerprint_and_body() -> None:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(dict(SCHEMA)), to_avro(EVENT))
    assert bytes.fromhex("c301") + FINGERPRINT + body.getvalue() == ENCODED


def test_the_fingerprint_is_the_specifications_crc_of_the_canonical_form() -> None:
    canonical = fastavro.schema.to_parsing_canonical_form(dict(SCHEMA))
    assert crc_64_avro(canonical.encode()) == FINGERPRINT
    # Avro's own list of fingerprints of primitive types, as its Java implementation prints them.
    assert crc_64_avro(b'"null"') == (0x63DD24E7CC258F8A).to_bytes(8, "little")
    assert crc_64_avro(b'"int"') == (0x7275D51A3F395C8F).to_bytes(8, "little")


def test_the_fingerprint_follows_names_and_types_and_not_defaults() -> None:
    changed = json.loads(json.dumps(SCHEMA))
    changed["fields"][1]["default"] = "somebody"
    assert fingerprint_of(changed) == FINGERPRINT
    changed["fields"][1]["name"] = "player"
    assert fingerprint_of(changed) != FINGERPRINT


def test_an_older_producers_event_is_read_with_its_own_schema() -> None:
    older = json.loads(json.dumps(SCHEMA))
    older["fields"] = [field for field in older["fields"] if field["name"] != "trace"]
    body = io.BytesIO()
    fastavro.schemaless_writer(body, older, {**to_avro(EVENT), "trace": None})
    encoded = MARKER + fingerprint_of(older) + body.getvalue()
    assert decode_single(encoded, {fingerprint_of(older): older}) == EVENT
    with pytest.raises(UndecodableEvent, match="pass the writer's schema"):
        decode_single(encoded)


@pytest.mark.parametrize("length", range(len(ENCODED)))
def test_a_cut_encoding_is_refused(length: int) -> None:
    with pytest.raises(UndecodableEvent):
        decode_single(ENCODED[:length])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (EVENT.SerializeToString(), "do not start with c301"),
        (b"\xc3\x02" + ENCODED[2:], "do not start with c301"),
        (ENCODED + b"\0", "go on after the end"),
    ],
)
def test_what_is_no_encoding_is_refused_with_the_reason(value: bytes, reason: str) -> None:
    with pytest.raises(UndecodableEvent, match=reason):
        decode_single(value)


@given(st.binary(max_size=64))
def test_any_bytes_behind_the_header_are_an_event_or_are_undecodable(body: bytes) -> None:
    with suppress(UndecodableEvent):
        assert isinstance(decode_single(MARKER + FINGERPRINT + body), Event)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"subjct": "hero-1"}, "'subjct'"),
        ({"subject": 5}, "Event.subject"),
        ({"stamp": Decimal(2**64)}, "Event.stamp"),
        ({"stamp": Decimal("1.5")}, "whole number"),
        ({"stamp": Decimal("NaN")}, "Event.stamp"),
        ({"sequence": -1}, "Event.sequence"),
        ({"fact": {"zone": "D:1"}}, "Event.fact"),
        ({"fact": ("norn.v1.Nothing", {})}, "Event.fact"),
        ({"fact": ("norn.v1.PlayerMoved", {"z": 1.0})}, "'z'"),
        ({"fact": ("norn.v1.PlayerMoved", {"x": "far"})}, "PlayerMoved.x"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_by_its_field(record: dict[str, Any], field: str) -> None:
    with pytest.raises(UndecodableEvent, match=field):
        from_avro(record)


def test_numbers_may_come_as_plain_integers() -> None:
    record = {"stamp": 7, "fact": ("norn.v1.GoldSpent", {"amount": 9})}
    assert from_avro(record) == Event(stamp=7, gold_spent=GoldSpent(amount=9))


def test_two_facts_of_the_same_fields_are_told_apart() -> None:
    assert to_avro(FACTS["item_gained"]()) == to_avro(FACTS["item_lost"]())
    lost = Event(item_lost=FACTS["item_lost"](item_id="a"))
    assert decode_single(encode_single(lost)) == lost


def test_an_enum_number_without_a_name_is_refused() -> None:
    message = THING()
    message.colour = 9
    with pytest.raises(EventRefused, match=r"colour is 9.*shapes\.Colour"):
        to_avro(message)


def test_a_map_with_number_keys_has_no_avro_schema() -> None:
    with pytest.raises(TypeError, match="string keys"):
        schema_of(thing(number_keys=True).DESCRIPTOR)


def test_text_is_text_and_not_looked_into() -> None:
    said = Event(player_said=PlayerSaid(text="\x00 ☃ \U0001f409"))
    assert decode_single(encode_single(said)) == said


def test_without_its_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastavro", None)
    monkeypatch.delitem(sys.modules, "schemas.avro")
    with pytest.raises(ImportError, match=r"pip install 'norn\[avro\]'"):
        importlib.import_module("schemas.avro")


def test_no_worker_needs_avro() -> None:
    loaded = "import sys; sys.modules['fastavro'] = None; import streams.roles, streams.bridge.server, streams.sdk"
    subprocess.run([sys.executable, "-c", loaded], check=True, timeout=60)
