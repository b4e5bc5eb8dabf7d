"""Messages that use every kind of field, which the log's own facts do not: for what is derived from descriptors."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_SCALARS = (
    "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "bytes", "uint32",
    "sfixed32", "sfixed64", "sint32", "sint64",
)  # fmt: skip
_REPEATED = FieldDescriptorProto.LABEL_REPEATED


def _add(message: DescriptorProto, name: str, kind: str, type_name: str = "", **more: int) -> FieldDescriptorProto:
    number = len(message.field) + 1
    field_type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    label = more.pop("label", FieldDescriptorProto.LABEL_OPTIONAL)
    return message.field.add(
        name=name, number=number, type=field_type, type_name=type_name or None, label=label, **more
    )


def _map(message: DescriptorProto, name: str, key: str, value: str, type_name: str = "") -> None:
    entry = message.nested_type.add(name=f"{name.title()}Entry")
    entry.options.map_entry = True
    _add(entry, "key", key)
    _add(entry, "value", value, type_name)
    _add(message, name, "message", f".shapes.{message.name}.{entry.name}", label=_REPEATED)


def _file(number_keys: bool) -> FileDescriptorProto:
    file = FileDescriptorProto(name="shapes.proto", package="shapes", syntax="proto3")
    colour = file.enum_type.add(name="Colour")
    for number, name in enumerate(["COLOUR_NONE", "COLOUR_RED", "COLOUR_BLUE"]):
        colour.value.add(name=name, number=number)
    for name in ("Cat", "Dog"):
        _add(file.message_type.add(name=name), "name", "string")

    thing = file.message_type.add(name="Thing")
    for kind in _SCALARS:
        _add(thing, f"one_{kind}", kind)
        _add(thing, f"many_{kind}", kind, label=_REPEATED)
    _add(thing, "colour", "enum", ".shapes.Colour")
    _add(thing, "colours", "enum", ".shapes.Colour", label=_REPEATED)
    _add(thing, "cat", "message", ".shapes.Cat")
    _add(thing, "cats", "message", ".shapes.Cat", label=_REPEATED)
    _map(thing, "amounts", "string", "uint64")
    _map(thing, "dogs", "string", "message", ".shapes.Dog")
    thing.oneof_decl.add(name="pet")
    _add(thing, "pet_cat", "message", ".shapes.Cat", oneof_index=0)
    _add(thing, "pet_dog", "message", ".shapes.Dog", oneof_index=0)
    thing.oneof_decl.add(name="mixed")
    _add(thing, "mixed_count", "uint64", oneof_index=1)
    _add(thing, "mixed_text", "string", oneof_index=1)
    _add(thing, "mixed_dog", "message", ".shapes.Dog", oneof_index=1)
    thing.oneof_decl.add(name="_maybe")
    _add(thing, "maybe", "uint32", oneof_index=2, proto3_optional=True)
    if number_keys:
        _map(thing, "numbered", "uint32", "string")
    return file


def thing(*, number_keys: bool = False) -> type[Message]:
    """A message with every kind of field; with `number_keys` also a map whose keys are numbers."""
    pool = DescriptorPool()
    pool.Add(_file(number_keys))
    return GetMessageClass(pool.FindMessageTypeByName("shapes.Thing"))
