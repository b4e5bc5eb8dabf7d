"""Avro for events: schemas derived from the protobuf descriptors, records, and single-object encoding.

For exported files and for producers that speak Avro, with `pip install 'norn[avro]'`: no worker needs it. Nothing is
written by hand: a fact added to the .proto files is in the Avro schema the next time it is read.

| protobuf                                   | Avro                                                              |
|--------------------------------------------|-------------------------------------------------------------------|
| bool, string, bytes, float, double         | boolean, string, bytes, float, double                             |
| int32, sint32, sfixed32                    | int                                                               |
| uint32, fixed32, int64, sint64, sfixed64   | long                                                              |
| uint64, fixed64                            | decimal(20, 0) on bytes: whole and readable up to 2^64 - 1        |
| enum                                       | enum                                                              |
| message                                    | record, in a union with null unless repeated                      |
| oneof of messages, each of its own type    | one field named as the oneof: null and a record for each          |
| any other oneof member, or `optional`      | a union with null                                                 |
| repeated; map with string keys             | array; map                                                        |

Avro's long ends at 2^63 - 1 and a stamp or an amount need not. A decimal is the one choice that ordinary readers
(Spark, ClickHouse, Java, Python) show as the number it is; 8 raw bytes would hold it too, and nobody could read them.

Fields that this version does not know, which protobuf carries along, have no place in Avro and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from io import BytesIO
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from schemas.errors import EventRefused, UndecodableEvent
from schemas.gen.norn.v1.event_pb2 import Event
from schemas.gen.norn.v1.options_pb2 import personal

try:
    import fastavro
    from fastavro.schema import fingerprint, to_parsing_canonical_form
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("events as Avro need fastavro: pip install 'norn[avro]'", name=error.name) from error

#: What a single-object encoding starts with (Avro 1.12 specification, "Single-object encoding").
MARKER = b"\xc3\x01"
_HEADER = len(MARKER) + 8

# Twenty digits hold 2^64 - 1.
_UINT64 = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 0}
_F = FieldDescriptor
_UNSIGNED_64 = (_F.TYPE_UINT64, _F.TYPE_FIXED64)
_SCALARS: Mapping[int, tuple[Any, Any]] = {
    _F.TYPE_BOOL: ("boolean", False),
    _F.TYPE_STRING: ("string", ""),
    _F.TYPE_BYTES: ("bytes", ""),
    _F.TYPE_FLOAT: ("float", 0.0),
    _F.TYPE_DOUBLE: ("double", 0.0),
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), ("int", 0)),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), ("long", 0)),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), ("long", 0)),
    **dict.fromkeys(_UNSIGNED_64, (_UINT64, "\u0000")),
}


# A union's name with its members, or one field under its own name.
_Part = tuple[str, tuple[FieldDescriptor, ...]]


def schema_of(descriptor: Descriptor) -> dict[str, Any]:
    """The Avro schema of a message, as plain JSON. Raises TypeError for a map whose keys are not strings."""
    schema: dict[str, Any] = _record_schema(descriptor, set())
    return schema


def fingerprint_of(schema: Mapping[str, Any]) -> bytes:
    """CRC-64-AVRO of the schema's parsing canonical form: 8 bytes, lowest first, as single-object encoding has it."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(dict(schema)), "CRC-64-AVRO"))


def to_avro(message: Message) -> dict[str, Any]:
    """A message as the record that its Avro schema describes; a message in a union is (full name, record).

    Raises EventRefused for an enum's number that has no name: an Avro enum cannot hold it.
    """
    record: dict[str, Any] = {}
    for name, fields in _parts(message.DESCRIPTOR):
        if len(fields) > 1:
            chosen = message.WhichOneof(name)
            record[name] = None if chosen is None else _named(getattr(message, chosen))
        else:
            record[name] = _taken(message, fields[0])
    return record


def from_avro(record: Mapping[str, Any]) -> Event:
    """The event that a record holds; fields that are not in the record are empty.

    Raises UndecodableEvent, with the field's name, for a field that Event has not or a value that does not fit.
    """
    event = Event()
    read_into(event, record)
    return event


def read_into(message: Message, record: Mapping[str, Any]) -> None:
    """Set an empty message's fields from a record of `to_avro`. Raises UndecodableEvent as `from_avro` does."""
    kind = message.DESCRIPTOR.full_name
    parts = dict(_parts(message.DESCRIPTOR))
    for name, value in record.items():
        if name not in parts:
            raise UndecodableEvent(f"{kind} has no Avro field {name!r}: compare the record with the schema")
        try:
            _put(message, parts[name], value)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise UndecodableEvent(f"{kind}.{name} cannot be {value!r:.80}: {error}") from None


def encode_single(event: Event) -> bytes:
    """Avro's single-object encoding: the marker, the schema's fingerprint and the event. Raises EventRefused."""
    body = BytesIO()
    fastavro.schemaless_writer(body, _PARSED, to_avro(event))
    return MARKER + FINGERPRINT + body.getvalue()


def decode_single(value: bytes, writers: Mapping[bytes, dict[str, Any]] | None = None) -> Event:
    """Read an event from its single-object encoding.

    `writers` holds the schemas of older producers by `fingerprint_of`; today's is always known. Raises
    UndecodableEvent when the bytes are not such an encoding, or were written with a schema that is not known.
    """
    if len(value) < _HEADER or value[: len(MARKER)] != MARKER:
        raise UndecodableEvent(f"{len(value)} bytes that do not start with {MARKER.hex()} and a schema's fingerprint")
    writer = value[len(MARKER) : _HEADER]
    schema = _PARSED if writer == FINGERPRINT else (writers or {}).get(writer)
    if schema is None:
        raise UndecodableEvent(
            f"an event of Avro schema {writer.hex()}, and {FINGERPRINT.hex()} is known: pass the writer's schema"
        )
    body = BytesIO(value[_HEADER:])
    try:
        record: Any = fastavro.schemaless_reader(body, schema, None, return_record_name=True)
    except Exception as error:  # fastavro promises no type: EOFError, IndexError and others, by what is broken
        raise UndecodableEvent(
            f"{len(value)} bytes that are no event of Avro schema {writer.hex()}: {error!r}"
        ) from None
    if body.read(1):
        raise UndecodableEvent(f"{len(value)} bytes that go on after the end of an event of schema {writer.hex()}")
    return from_avro(record)


@cache
def _parts(descriptor: Descriptor) -> tuple[_Part, ...]:
    """A record's fields in the .proto's order; a union stands where its first member stood."""
    parts: dict[str, tuple[FieldDescriptor, ...]] = {}
    for field in descriptor.fields:
        oneof = field.containing_oneof
        members = tuple(oneof.fields) if oneof is not None else ()
        kinds = {member.message_type for member in members}
        if oneof is not None and len(members) > 1 and None not in kinds and len(kinds) == len(members):
            parts[oneof.name] = members
        else:
            parts[field.name] = (field,)
    return tuple(parts.items())


def _taken(message: Message, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    values = _map_values(field)
    if values is not None:
        return {key: _to_value(values, item) for key, item in value.items()}
    if field.is_repeated:
        return [_to_value(field, item) for item in value]
    if not field.has_presence:
        return _to_value(field, value)
    if not message.HasField(field.name):
        return None
    return _to_value(field, value) if field.message_type is None else _named(value)


def _put(message: Message, fields: tuple[FieldDescriptor, ...], value: Any) -> None:
    field = fields[0]
    values = _map_values(field)
    if values is not None:
        target = getattr(message, field.name)
        for key, item in value.items():
            if values.message_type is None:
                target[key] = _from_value(values, item)
            else:
                _put_record(target[key], item)
    elif field.is_repeated:
        target = getattr(message, field.name)
        for item in value:
            if field.message_type is None:
                target.append(_from_value(field, item))
            else:
                _put_record(target.add(), item)
    elif value is None and field.has_presence:
        return
    elif field.message_type is None:
        setattr(message, field.name, _from_value(field, value))
    else:
        names = {member.message_type.full_name: member.name for member in fields if member.message_type is not None}
        _put_record(getattr(message, names[value[0]]), value[1])


def _put_record(message: Message, record: Mapping[str, Any]) -> None:
    # A fact whose fields are all zero sets nothing, and would leave the event with no fact at all.
    message.SetInParent()
    read_into(message, record)


def _named(message: Message) -> tuple[str, dict[str, Any]]:
    # Two facts may have the same fields: without its name a writer takes the first record that fits.
    return message.DESCRIPTOR.full_name, to_avro(message)


def _to_value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return to_avro(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        if named is None:
            raise EventRefused(f"{field.full_name} is {value}, which has no name in {field.enum_type.full_name}")
        return named.name
    return Decimal(value) if field.type in _UNSIGNED_64 else value


def _from_value(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values_by_name[value].number
    if field.type in _UNSIGNED_64:
        number = int(value)
        if number != value:
            raise ValueError("it is no whole number")
        return number
    return value


def _map_values(field: FieldDescriptor) -> FieldDescriptor | None:
    """The field that a map's values are; None for a field that is no map. Raises TypeError for keys but strings."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    if entry.fields_by_name["key"].type != FieldDescriptor.TYPE_STRING:
        raise TypeError(f"{field.full_name}: Avro's maps have string keys; use a repeated message with a key")
    return entry.fields_by_name["value"]


def _record_schema(descriptor: Descriptor, defined: set[str]) -> Any:
    if descriptor.full_name in defined:
        return descriptor.full_name
    defined.add(descriptor.full_name)
    fields = [_field_schema(name, members, defined) for name, members in _parts(descriptor)]
    return {"type": "record", "name": descriptor.full_name, "fields": fields}


def _field_schema(name: str, fields: tuple[FieldDescriptor, ...], defined: set[str]) -> dict[str, Any]:
    field = fields[0]
    column: dict[str, Any]
    values = _map_values(field)
    if values is not None:
        column = {"type": {"type": "map", "values": _type_of(values, defined)}, "default": {}}
    elif field.is_repeated:
        column = {"type": {"type": "array", "items": _type_of(field, defined)}, "default": []}
    elif field.has_presence:
        column = {"type": ["null", *(_type_of(member, defined) for member in fields)], "default": None}
    else:
        default = _SCALARS[field.type][1] if field.enum_type is None else field.enum_type.values[0].name
        column = {"type": _type_of(field, defined), "default": default}
    # Whoever reads an exported file must be able to tell which columns speak of a person.
    marked = {"personal": True} if field.GetOptions().Extensions[personal] else {}
    return {"name": name, **column, **marked}


def _type_of(field: FieldDescriptor, defined: set[str]) -> Any:
    if field.message_type is not None:
        return _record_schema(field.message_type, defined)
    if field.enum_type is None:
        return _SCALARS[field.type][0]
    kind = field.enum_type
    if kind.full_name in defined:
        return kind.full_name
    defined.add(kind.full_name)
    symbols = [value.name for value in kind.values]
    return {"type": "enum", "name": kind.full_name, "symbols": symbols, "default": symbols[0]}


#: The Avro schema of Event, as plain JSON: what an exported file and a producer's registry hold.
SCHEMA: Mapping[str, Any] = schema_of(Event.DESCRIPTOR)
#: What every single-object encoding of an event carries behind the marker.
FINGERPRINT = fingerprint_of(SCHEMA)
_PARSED: dict[str, Any] = fastavro.parse_schema(dict(SCHEMA))  # type: ignore[assignment]
