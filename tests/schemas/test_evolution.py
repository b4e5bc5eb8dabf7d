"""Facts only grow: whatever a release has written stays readable, with the meaning it had."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from schemas.gen.norn.v1.options_pb2 import personal
from schemas.generate import RELEASED, release, todays_shapes
from tests.schemas.evolution import breaking_changes

SAVED = sorted(RELEASED.glob("*.binpb"))


def test_there_is_a_saved_release() -> None:
    assert SAVED


@pytest.mark.parametrize("saved", SAVED, ids=lambda path: path.stem)
def test_todays_facts_only_grew_since_the_release(saved) -> None:
    assert breaking_changes(FileDescriptorSet.FromString(saved.read_bytes()), todays_shapes()) == []


def test_a_release_is_saved_once(tmp_path) -> None:
    saved = release("1.2.3", tmp_path)
    assert FileDescriptorSet.FromString(saved.read_bytes()) == todays_shapes()
    with pytest.raises(SystemExit, match="saved once"):
        release("1.2.3", tmp_path)


# A small log of its own, so that each planted change breaks one thing and nothing else.
def small_log() -> FileDescriptorSet:
    file = FileDescriptorProto(name="small.proto", package="small", syntax="proto3")
    event = file.message_type.add(name="Event")
    event.oneof_decl.add(name="fact")
    event.oneof_decl.add(name="other")
    for number, (name, kind) in enumerate([("moved", ".small.Moved"), ("said", ".small.Said")], start=1):
        event.field.add(name=name, number=number, type=11, type_name=kind, label=1, oneof_index=0)
    event.field.add(name="subject", number=3, type=9, label=1)
    event.reserved_range.add(start=100, end=116)
    event.reserved_name.append("owner")
    file.message_type.add(name="Moved").field.add(name="x", number=1, type=1, label=1)
    said = file.message_type.add(name="Said").field.add(name="text", number=1, type=9, label=1)
    said.options.Extensions[personal] = True
    nested = file.message_type[0].nested_type.add(name="Inner")
    nested.field.add(name="deep", number=1, type=9, label=1)
    kind = file.enum_type.add(name="Kind")
    kind.value.add(name="NONE", number=0)
    kind.value.add(name="ONE", number=1)
    kind.reserved_range.add(start=7, end=7)
    file.extension.add(name="mark", number=50001, type=8, label=1, extendee=".google.protobuf.FieldOptions")
    return FileDescriptorSet(file=[file])


def event_of(file: FileDescriptorProto) -> DescriptorProto:
    return file.message_type[0]


def subject_of(file: FileDescriptorProto) -> FieldDescriptorProto:
    return event_of(file).field[2]


def set_(target: object, **values: object) -> None:
    for name, value in values.items():
        setattr(target, name, value)


def remove_message(file: FileDescriptorProto) -> None:
    del file.message_type[1]


def remove_nested_message(file: FileDescriptorProto) -> None:
    del event_of(file).nested_type[0]


def remove_field(file: FileDescriptorProto) -> None:
    del event_of(file).field[2]


def remove_a_fact_and_reserve_its_number(file: FileDescriptorProto) -> None:
    del event_of(file).field[1]
    event_of(file).reserved_range.add(start=2, end=3)


def narrow_the_reserved_range(file: FileDescriptorProto) -> None:
    event_of(file).reserved_range[0].end = 110


def forget_the_reserved_name(file: FileDescriptorProto) -> None:
    del event_of(file).reserved_name[:]


def take_a_fact_out_of_the_oneof(file: FileDescriptorProto) -> None:
    event_of(file).field[1].ClearField("oneof_index")


def remove_enum_value(file: FileDescriptorProto) -> None:
    del file.enum_type[0].value[1]


def free_the_reserved_enum_number(file: FileDescriptorProto) -> None:
    del file.enum_type[0].reserved_range[:]


def make_text_public(file: FileDescriptorProto) -> None:
    file.message_type[2].field[0].options.ClearExtension(personal)


BREAKING: dict[str, Callable[[FileDescriptorProto], None]] = {
    "small.Moved was removed": remove_message,
    "small.Event.Inner was removed": remove_nested_message,
    "small.Event.subject was removed": remove_field,
    "small.Event.said was removed": remove_a_fact_and_reserve_its_number,
    "small.Event.subject was renumbered": lambda file: set_(subject_of(file), number=9),
    "small.Event.subject was renamed": lambda file: set_(subject_of(file), name="player"),
    "small.Event.subject was given another type": lambda file: set_(subject_of(file), type=12),
    "small.Event.said was given another type": lambda file: set_(event_of(file).field[1], type_name=".small.Moved"),
    "small.Event.Inner.deep was given another type": lambda file: set_(event_of(file).nested_type[0].field[0], label=3),
    "small.Event.subject was moved": lambda file: set_(subject_of(file), oneof_index=0),
    "small.Event.said was moved": take_a_fact_out_of_the_oneof,
    "small.Event.moved was moved": lambda file: set_(event_of(file).field[0], oneof_index=1),
    "small.Event no longer reserves the numbers": narrow_the_reserved_range,
    "small.Event no longer reserves the name owner": forget_the_reserved_name,
    "small.Kind was removed": lambda file: file.enum_type.pop(),
    "small.Kind.ONE is no longer 1": remove_enum_value,
    "small.Kind.NONE is no longer 0": lambda file: set_(file.enum_type[0].value[0], name="NOTHING"),
    "small.Kind no longer reserves": free_the_reserved_enum_number,
    "extension.mark was renumbered": lambda file: set_(file.extension[0], number=50002),
    "small.Said.text was changed in being personal": make_text_public,
}


@pytest.mark.parametrize("expected", BREAKING)
def test_a_breaking_change_is_named(expected: str) -> None:
    changed = small_log()
    BREAKING[expected](changed.file[0])
    changes = breaking_changes(small_log(), changed)
    assert len(changes) == 1, changes
    assert changes[0].startswith(expected)


def test_growth_is_no_breaking_change() -> None:
    grown = small_log()
    file = grown.file[0]
    event_of(file).field.add(name="died", number=4, type=11, type_name=".small.Died", label=1, oneof_index=0)
    event_of(file).field.add(name="trace", number=5, type=9, label=1)
    event_of(file).reserved_range[0].end = 200
    file.message_type.add(name="Died")
    file.enum_type[0].value.add(name="TWO", number=2)
    assert breaking_changes(small_log(), grown) == []


def test_a_fact_taken_from_the_real_log_is_noticed() -> None:
    planted = todays_shapes()
    event = next(m for file in planted.file for m in file.message_type if m.name == "Event")
    gone = next(field for field in event.field if field.name == "gold_spent")
    event.field.remove(gone)
    assert breaking_changes(todays_shapes(), planted) == ["norn.v1.Event.gold_spent was removed"]
