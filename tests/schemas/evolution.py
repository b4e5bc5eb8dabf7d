"""What changed between two releases' shapes that a reader of the older log, or an older reader, would trip over."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
)

from schemas.gen.norn.v1.options_pb2 import personal


def breaking_changes(old: FileDescriptorSet, new: FileDescriptorSet) -> list[str]:
    """One sentence for each change that is no growth; empty when every old event means what it meant."""
    old_messages, old_enums, old_extensions = _flattened(old)
    new_messages, new_enums, new_extensions = _flattened(new)
    return [
        *(f"{name} was removed" for name in old_messages if name not in new_messages),
        *(f"{name} was removed" for name in old_enums if name not in new_enums),
        *_fields("extension", old_extensions, new_extensions, {}, {}),
        *(change for name in old_messages if name in new_messages
          for change in _message(name, old_messages[name], new_messages[name])),
        *(change for name in old_enums if name in new_enums
          for change in _enum(name, old_enums[name], new_enums[name])),
    ]  # fmt: skip


def _flattened(
    shapes: FileDescriptorSet,
) -> tuple[dict[str, DescriptorProto], dict[str, EnumDescriptorProto], list[FieldDescriptorProto]]:
    messages: dict[str, DescriptorProto] = {}
    enums: dict[str, EnumDescriptorProto] = {}
    extensions: list[FieldDescriptorProto] = []

    def visit(prefix: str, message: DescriptorProto) -> None:
        messages[f"{prefix}.{message.name}"] = message
        enums.update({f"{prefix}.{message.name}.{kind.name}": kind for kind in message.enum_type})
        extensions.extend(message.extension)
        for nested in message.nested_type:
            visit(f"{prefix}.{message.name}", nested)

    for file in shapes.file:
        for message in file.message_type:
            visit(file.package, message)
        enums.update({f"{file.package}.{kind.name}": kind for kind in file.enum_type})
        extensions.extend(file.extension)
    return messages, enums, extensions


def _message(name: str, old: DescriptorProto, new: DescriptorProto) -> Iterator[str]:
    unions = [{index: oneof.name for index, oneof in enumerate(each.oneof_decl)} for each in (old, new)]
    yield from _fields(name, list(old.field), list(new.field), *unions)
    yield from _reserved(name, old, new)


def _fields(
    owner: str,
    old: list[FieldDescriptorProto],
    new: list[FieldDescriptorProto],
    old_unions: dict[int, str],
    new_unions: dict[int, str],
) -> Iterator[str]:
    by_number = {field.number: field for field in new}
    numbers = {field.name: field.number for field in new}
    for field in old:
        label = f"{owner}.{field.name}"
        now = by_number.get(field.number)
        if field.name in numbers and numbers[field.name] != field.number:
            yield f"{label} was renumbered from {field.number} to {numbers[field.name]}"
        elif now is None:
            yield f"{label} was removed"
        elif now.name != field.name:
            yield f"{label} was renamed to {now.name}"
        else:
            if (now.type, now.type_name, now.label) != (field.type, field.type_name, field.label):
                yield f"{label} was given another type"
            if _union(now, new_unions) != _union(field, old_unions):
                yield f"{label} was moved from one oneof to another, or into or out of one"
            if now.options.Extensions[personal] != field.options.Extensions[personal]:
                yield f"{label} was changed in being personal, and what is on the log was sealed or not as it was then"


def _union(field: FieldDescriptorProto, unions: dict[int, str]) -> str | None:
    return unions[field.oneof_index] if field.HasField("oneof_index") else None


def _reserved(
    name: str, old: DescriptorProto | EnumDescriptorProto, new: DescriptorProto | EnumDescriptorProto
) -> Iterator[str]:
    kept = [(reserved.start, reserved.end) for reserved in new.reserved_range]
    for reserved in old.reserved_range:
        if not any(start <= reserved.start and reserved.end <= end for start, end in kept):
            yield f"{name} no longer reserves the numbers from {reserved.start}"
    for word in set(old.reserved_name) - set(new.reserved_name):
        yield f"{name} no longer reserves the name {word}"


def _enum(name: str, old: EnumDescriptorProto, new: EnumDescriptorProto) -> Iterator[str]:
    now = {value.name: value.number for value in new.value}
    for value in old.value:
        if now.get(value.name) != value.number:
            yield f"{name}.{value.name} is no longer {value.number}"
    yield from _reserved(name, old, new)
