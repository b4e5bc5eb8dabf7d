"""Hypothesis strategies for facts and events, derived from the protobuf descriptors: a new fact is covered unasked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from schemas import FACTS, Event, event_id
from schemas.stamps import COUNTER_MAX, pack

# 2020 to 2100, so that a stamp is neither of a broken clock nor beyond what a timestamp column holds.
TIMES_MS = st.integers(1_577_836_800_000, 4_102_444_800_000)

#: Any text that protobuf and Postgres can hold: no surrogates, and no NUL, which Postgres refuses.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
#: Any text that protobuf can hold.
ANY_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

SUBJECTS = ("hero-1", "hero-2", "hero-3", "Zoë", "player/42")
REGIONS = ("eu", "us", "ap")
ORIGINS = ("origin-a", "origin-b")

_F = FieldDescriptor
_RANGES = {
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), (-(2**31), 2**31 - 1)),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), (-(2**63), 2**63 - 1)),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), (0, 2**32 - 1)),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), (0, 2**64 - 1)),
}


@st.composite
def events(
    draw: st.DrawFn,
    facts: Sequence[str] | None = None,
    *,
    subjects: Sequence[str] = SUBJECTS,
    regions: Sequence[str] = REGIONS,
    origins: Sequence[str] = ORIGINS,
    texts: SearchStrategy[str] = TEXTS,
    largest: int | None = None,
) -> Event:
    """Any event of the named facts (all when None), its fact's fields anything their types hold.

    `largest` bounds the size of the facts' integers, for sums that must stay within a column. Dots may repeat, as they
    do on a log: a test that needs them distinct numbers its events itself.
    """
    name = draw(st.sampled_from(sorted(FACTS) if facts is None else list(facts)))
    time_ms = draw(TIMES_MS)
    return Event(
        id=event_id(time_ms, draw(st.binary(min_size=10, max_size=10))),
        subject=draw(st.sampled_from(list(subjects))),
        stamp=pack(time_ms, draw(st.integers(0, COUNTER_MAX))),
        region=draw(st.sampled_from(list(regions))),
        origin=draw(st.sampled_from(list(origins))),
        sequence=draw(st.integers(1, 2**64 - 1)),
        cause=draw(st.just(b"") | st.binary(min_size=16, max_size=16)),
        trace=draw(st.just("") | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True)),
        **{name: draw(messages(FACTS[name].DESCRIPTOR, texts=texts, largest=largest))},
    )


@st.composite
def messages(
    draw: st.DrawFn, descriptor: Descriptor, *, texts: SearchStrategy[str] = TEXTS, largest: int | None = None
) -> Message:
    """Any message of a type: repeated fields, maps, nested messages, enums, `optional` and oneofs included."""
    chosen = {
        draw(st.sampled_from([None, *oneof.fields])) for oneof in descriptor.oneofs
    }  # at most one member of each, and none as often as any
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.containing_oneof is not None and field not in chosen:
            continue
        target = getattr(message, field.name)
        if _is_map(field):
            entry = field.message_type.fields_by_name
            keys = draw(st.lists(values(entry["key"], texts=texts, largest=largest), max_size=3))
            for key in keys:
                value = draw(values(entry["value"], texts=texts, largest=largest))
                target[key].CopyFrom(value) if entry["value"].message_type else target.__setitem__(key, value)
        elif field.is_repeated:
            target.extend(draw(st.lists(values(field, texts=texts, largest=largest), max_size=3)))
        elif field.message_type is None:
            setattr(message, field.name, draw(values(field, texts=texts, largest=largest)))
        elif field.containing_oneof is not None or draw(st.booleans()):
            target.CopyFrom(draw(values(field, texts=texts, largest=largest)))
            target.SetInParent()
    return message


def values(field: FieldDescriptor, *, texts: SearchStrategy[str], largest: int | None) -> SearchStrategy[Any]:
    """Any one value of a field's type; no NaN, because nothing equals it."""
    if field.message_type is not None:
        return messages(field.message_type, texts=texts, largest=largest)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type in _RANGES:
        lowest, highest = _RANGES[field.type]
        if largest is not None:
            lowest, highest = max(lowest, -largest), min(highest, largest)
        return st.integers(lowest, highest)
    return {
        _F.TYPE_BOOL: st.booleans(),
        _F.TYPE_STRING: texts,
        _F.TYPE_BYTES: st.binary(max_size=20),
        _F.TYPE_FLOAT: st.floats(allow_nan=False, width=32),
        _F.TYPE_DOUBLE: st.floats(allow_nan=False),
    }[field.type]


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
