"""Records for ClickHouse: each as it stands in the log, with its place in the log appended, in one stream of bytes.

Protobuf messages that are concatenated are one message, so a field is appended to an encoded event without decoding it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from projections.native import native
from schemas import Event


@dataclass(frozen=True)
class LogColumn:
    """A field that is appended to a record: its name, its number in Event's reserved range, and its types."""

    name: str
    number: int
    protobuf: str
    clickhouse: str


TOPIC = LogColumn("log_topic", 1000, "string", "LowCardinality(String)")
PARTITION = LogColumn("log_partition", 1001, "uint32", "UInt16")
# Of fixed size, so that only eight bytes differ from one record of a partition to the next.
OFFSET = LogColumn("log_offset", 1002, "fixed64", "UInt64")
LOG_COLUMNS = (TOPIC, PARTITION, OFFSET)

_VARINT, _FIXED64, _BYTES = 0, 1, 2


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


# The lengths of nearly all records, encoded once: a producer refuses facts above 10 KB.
_LENGTHS = [_varint(length) for length in range(1 << 14)]


def log_fields(topic: str, partition: int) -> Callable[[int], bytes]:
    """What to append to a record of this partition, by its offset."""
    prefix = _place(topic, partition)
    return lambda offset: prefix + offset.to_bytes(8, "little")


def _place(topic: str, partition: int) -> bytes:
    """All of a record's place in the log but the offset itself, which comes behind it."""
    name = topic.encode()
    return b"".join(
        (
            _varint(TOPIC.number << 3 | _BYTES),
            _varint(len(name)),
            name,
            _varint(PARTITION.number << 3 | _VARINT),
            _varint(partition),
            _varint(OFFSET.number << 3 | _FIXED64),
        )
    )


_NATIVE = native("projections.native._frame")


def framed(values: pa.BinaryArray, offsets: npt.NDArray[np.int64], topic: str, partition: int) -> bytes:
    """Records of one partition as one stream: each behind its length, with its place in the log appended.

    values: the records, none of them null. offsets: of shape (n,). Raises ValueError where a record is null, or one of
    them has no offset.
    """
    if values.null_count or len(values) != len(offsets):
        raise ValueError(f"{len(values)} records, {values.null_count} of them null, and {len(offsets)} offsets")
    if _NATIVE is None:
        return framed_in_python(values, offsets, topic, partition)
    _, ends, data = values.buffers()
    if not len(values):
        return b""
    wanted = memoryview(ends).cast("B")[values.offset * 4 : (values.offset + len(values) + 1) * 4]
    made: bytes = _NATIVE.frame(wanted, data or b"", np.ascontiguousarray(offsets, np.int64), _place(topic, partition))
    return made


def framed_in_python(values: pa.BinaryArray, offsets: npt.NDArray[np.int64], topic: str, partition: int) -> bytes:
    """What `framed` gives, where nothing is compiled."""
    located = log_fields(topic, partition)
    pairs = zip(values.to_pylist(), offsets.tolist(), strict=True)
    return concatenate(value + located(offset) for value, offset in pairs)


def concatenate(records: Iterable[bytes]) -> bytes:
    """Records as one stream, each behind its length: what ClickHouse's format Protobuf reads."""
    records = list(records)
    try:
        lengths = _LENGTHS
        return b"".join([part for record in records for part in (lengths[len(record)], record)])
    except IndexError:
        return b"".join([part for record in records for part in (_varint(len(record)), record)])


def inline_schema() -> str:
    """One self-contained .proto of Event, its facts and the log's columns, as small as it can be."""
    facts = {field.message_type.name: field.message_type for field in Event.DESCRIPTOR.fields if field.message_type}
    messages = [_message(fact) for fact in facts.values()]
    fields = [_field(field) for field in Event.DESCRIPTOR.fields if field.containing_oneof is None]
    members = [_field(field) for field in Event.DESCRIPTOR.oneofs_by_name["fact"].fields]
    fields += [f"{column.protobuf} {column.name}={column.number};" for column in LOG_COLUMNS]
    messages.append(f"message Event{{{''.join(fields)}oneof fact{{{''.join(members)}}}}}")
    return 'syntax="proto3";' + "".join(messages)


def _message(descriptor: Descriptor) -> str:
    return f"message {descriptor.name}{{{''.join(_field(field) for field in descriptor.fields)}}}"


_NAMES: Mapping[int, str] = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def _field(field: FieldDescriptor) -> str:
    kind = field.message_type.name if field.message_type else _NAMES[field.type]
    return f"{'repeated ' if field.is_repeated else ''}{kind} {field.name}={field.number};"


# Far more than one insert holds, so that it is one block, deduplicated whole, in the events and in every view.
INSERT_ROWS_MAX = 1_000_000
INSERT_BYTES_MAX = 4 << 30

#: What makes an insert of raw records exactly-once; beside these it needs an insert_deduplication_token of its own.
INSERT_SETTINGS: Mapping[str, str | int] = {
    "format_schema_source": "string",
    "format_schema": inline_schema(),
    "format_schema_message_name": "Event",
    "input_format_protobuf_oneof_presence": 1,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "async_insert": 0,
    "max_insert_threads": 1,
    "max_insert_block_size": INSERT_ROWS_MAX,
    "min_insert_block_size_rows": INSERT_ROWS_MAX,
    "min_insert_block_size_bytes": INSERT_BYTES_MAX,
}
