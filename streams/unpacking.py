"""The bytes of one fetch, unpacked into columns, batch by batch as they are asked for.

A fetch brings whole batches of records. Control batches, and batches of aborted transactions, are passed over as
aiokafka passes over them; the offsets that they hold are covered by the stretch all the same, so that a position moves
over them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import cramjam
import numpy as np
import pyarrow as pa
from aiokafka.codec import snappy_decode
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from faust.types import TP

from projections.native import native
from streams.records import Record, Records

# Of a batch in format 2: base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and max
# timestamp, producer id, producer epoch, base sequence, count of records.
_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH = struct.Struct(">i")
_LENGTH_AT, _MAGIC_AT, _CRC_COVERS_FROM = 8, 16, 21
# What comes before the part of a batch that its length counts; and the shortest part, of a record in format 0.
_OVERHEAD_BYTES, _LENGTH_MIN = 12, 14
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
# What a batch may come to when it is decompressed. A broker takes batches of 1 MB unless told otherwise, and of events
# those come to some 10 MB; of zeros, to more than there is memory.
BATCH_BYTES_MAX = 256 << 20
# Events are compressed to a fourth or so: this much room is nearly always enough.
_ROOM_TIMES = 16
# The last offset that a batch may begin at: with the records that one may hold, offsets stay far below 2^63.
_BASE_MAX = 1 << 62
# The records of format 0 and 1 have no producer, and of format 0 no timestamp.
_NO_PRODUCER, _NO_TIMESTAMP_MS = -1, -1


class Span(NamedTuple):
    """One batch inside the bytes of a fetch: where it lies, and what its header says."""

    start: int
    end: int
    magic: int
    crc: int
    attributes: int
    base: int
    high: int
    first_time_ms: int
    last_time_ms: int
    producer: int
    records: int

    @property
    def control(self) -> bool:
        """Whether it holds a transaction's marker in place of records."""
        return bool(self.attributes & _CONTROL)

    @property
    def transactional(self) -> bool:
        """Whether it is part of a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)


class Plain(NamedTuple):
    """A batch whose records lie uncompressed in these bytes, from `start` to `end`; in formats 0 and 1 all of it."""

    span: Span
    data: bytes
    start: int
    end: int


#: Makes columns of the records of some batches: (batches, low, high), from the offset `low` on. Raises
#: CorruptRecordException where they are no records.
Unpack = Callable[[Sequence[Plain], int, int], Records]


def spans(raw: bytes) -> Iterator[Span]:
    """The batches of a fetch, in order; the last one is left out where the broker cut it short.

    Raises CorruptRecordException where a header cannot be true.
    """
    start = 0
    while start + _OVERHEAD_BYTES <= len(raw):
        [length] = _LENGTH.unpack_from(raw, start + _LENGTH_AT)
        end = start + _OVERHEAD_BYTES + length
        if end > len(raw):
            return
        if length < _LENGTH_MIN:
            raise CorruptRecordException(f"a batch of {length} bytes is shorter than any record")
        yield _span(raw, start, end)
        start = end


def _span(raw: bytes, start: int, end: int) -> Span:
    magic = raw[start + _MAGIC_AT]
    if magic < 2:
        with _no_records(f"the batch at byte {start}"):
            return Span(start, end, magic, 0, 0, 0, _batch(raw[start:end]).next_offset, 0, 0, _NO_PRODUCER, 1)
    if magic > 2 or end - start < _HEADER.size:
        raise CorruptRecordException(f"a batch of {end - start} bytes in format {magic}; format 2 is the last known")
    base, _, _, _, crc, attributes, last, first_time, last_time, producer, _, _, count = _HEADER.unpack_from(raw, start)
    if not 0 <= base <= _BASE_MAX or last < 0 or not 0 <= count <= last + 1:
        raise CorruptRecordException(f"a batch says that it holds {count} records of the {last + 1} from {base} on")
    return Span(start, end, magic, crc, attributes, base, base + last + 1, first_time, last_time, producer, count)


class Fetched:
    """What one fetch brought of one partition.

    aborted: producer id and first offset of each aborted transaction that the bytes touch, as the broker tells them;
    empty where uncommitted records are wanted too.
    """

    def __init__(
        self,
        tp: TP,
        raw: bytes,
        position: int,
        *,
        aborted: Iterable[tuple[int, int]] = (),
        check_crcs: bool = True,
        unpack: Unpack | None = None,
    ) -> None:
        #: The offset after the last one taken. The name is aiokafka's, which compares it with the position.
        self.next_fetch_offset = position
        self._tp = tp
        self._raw = raw
        self._spans = spans(raw)
        self._check_crcs = check_crcs
        self._unpack = unpack or (by_objects if _NATIVE is None else by_columns)
        self._aborted = sorted(aborted, key=lambda each: each[1], reverse=True)
        self._aborting: set[int] = set()
        # Unpacked and not yet taken, since a poll was full.
        self._rest: Records | None = None
        self._over = False

    @property
    def over(self) -> bool:
        """Whether all has been taken."""
        return self._over and self._rest is None

    def take(self, records_max: int, bytes_max: int) -> Records:
        """The next records, as many as these limits allow but one at least, and the offsets passed with them.

        Raises CorruptRecordException where the bytes are no records, UnsupportedCodecError.
        """
        taken = self._unpacked(records_max, bytes_max) if self._rest is None else self._rest
        part = taken.first(min(records_max, _fitting(taken, bytes_max)))
        self._rest = taken.since(part.high) if part.high < taken.high else None
        self.next_fetch_offset = part.high
        return part

    def _unpacked(self, records_max: int, bytes_max: int) -> Records:
        low = high = self.next_fetch_offset
        found: list[Plain] = []
        count = size = 0
        while count < records_max and size < bytes_max:
            span = next(self._spans, None)
            if span is None:
                self._over = True
                break
            if self._wanted(span) and span.records and span.high > low:
                found.append(_plain(self._raw, span))
                count += span.records
                size += found[-1].end - found[-1].start
            high = max(high, span.high)
        return self._unpack(found, low, high)

    def _wanted(self, span: Span) -> bool:
        if self._check_crcs and not self._whole(span):
            raise CorruptRecordException(f"{self._tp.topic}/{self._tp.partition}: the checksum at {span.base} is wrong")
        while self._aborted and self._aborted[-1][1] <= span.base:
            self._aborting.add(self._aborted.pop()[0])
        if span.control:
            if span.producer in self._aborting and self._aborts(span):
                self._aborting.remove(span.producer)
            return False
        return not (span.transactional and span.producer in self._aborting)

    def _whole(self, span: Span) -> bool:
        if span.magic < 2:
            return bool(_batch(self._raw[span.start : span.end]).validate_crc())
        return bool(calc_crc32c(self._raw[span.start + _CRC_COVERS_FROM : span.end]) == span.crc)

    def _aborts(self, span: Span) -> bool:
        with _no_records(f"the marker at {span.base}"):
            return any(ControlRecord.parse(each.key) == ABORT_MARKER for each in _records(_plain(self._raw, span)))


_NATIVE = native("streams.native._unpack")


def by_columns(found: Sequence[Plain], low: int, high: int) -> Records:
    """The records in columns, by way of C."""
    if _NATIVE is None or any(plain.span.magic < 2 for plain in found):
        return by_objects(found, low, high)
    with _no_records(f"the batches from {low} to {high}"):
        count, places, keys, values = _NATIVE.unpack(tuple(map(_part, found)), low)
    offsets, times = (np.frombuffer(each, np.int64) for each in places)
    return Records(low, high, offsets, times, _column(count, keys), _column(count, values))


def _part(plain: Plain) -> tuple[bytes, int, int, int, int, int, int, bool]:
    """A batch as the C part takes it: where its records are, and what its header says."""
    span, data, start, end = plain
    time_ms, fixed = (span.last_time_ms, True) if span.attributes & _APPEND_TIME else (span.first_time_ms, False)
    return data, start, end, span.records, span.base, span.high, time_ms, fixed


def _column(count: int, parts: tuple[bytes | None, bytes, bytes]) -> Any:
    return pa.Array.from_buffers(pa.binary(), count, [part if part is None else pa.py_buffer(part) for part in parts])


def by_objects(found: Sequence[Plain], low: int, high: int) -> Records:
    """The records in columns, by way of aiokafka's objects: where nothing is compiled, and for formats 0 and 1."""
    position, records = low, []
    for plain in found:
        span = plain.span
        for record in _records(plain):
            if not span.base <= record.offset < span.high:
                raise CorruptRecordException(f"a batch from {span.base} to {span.high} holds one at {record.offset}")
            if record.offset >= position:
                position = record.offset + 1
                records.append(record)
    return Records.of(records, low, high)


def _records(plain: Plain) -> list[Record]:
    span, data = plain.span, plain.data[plain.start : plain.end]
    if span.magic >= 2:
        # As it would be had its writer not compressed it.
        attributes, last = span.attributes & ~_CODEC, span.high - span.base - 1
        length = _HEADER.size - _OVERHEAD_BYTES + len(data)
        rest = span.first_time_ms, span.last_time_ms, span.producer, 0, 0, span.records
        data = _HEADER.pack(span.base, length, 0, 2, 0, attributes, last, *rest) + data
    with _no_records(f"the batch at {span.base}"):
        return [
            Record(each.offset, _NO_TIMESTAMP_MS if each.timestamp is None else each.timestamp, each.key, each.value)
            for each in _batch(data)
        ]


def _batch(data: bytes) -> Any:
    return MemoryRecords(data).next_batch()


def _plain(raw: bytes, span: Span) -> Plain:
    if span.magic < 2:
        return Plain(span, raw, span.start, span.end)
    start, codec = span.start + _HEADER.size, span.attributes & _CODEC
    if not codec:
        return Plain(span, raw, start, span.end)
    if codec not in _DECOMPRESS:
        raise UnsupportedCodecError(f"the batch at {span.base} is compressed by codec {codec}, which is none known")
    with _no_records(f"what is compressed at {span.base}"):
        data = _DECOMPRESS[codec](raw[start : span.end])
    return Plain(span, data, 0, len(data))


def _gunzipped(data: bytes) -> bytes:
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    made = stream.decompress(data, BATCH_BYTES_MAX)
    if not stream.eof:
        raise ValueError(f"it is cut short, or more than {BATCH_BYTES_MAX} bytes")
    return made


def _into(decompress: Callable[[bytes, Any], int]) -> Callable[[bytes], bytes]:
    def decompressed(data: bytes) -> bytes:
        for room_bytes in (_ROOM_TIMES * len(data), BATCH_BYTES_MAX):
            room = np.empty(min(room_bytes, BATCH_BYTES_MAX), np.uint8)
            with suppress(cramjam.DecompressionError):
                return room[: decompress(data, room.data)].tobytes()
        raise ValueError(f"it is damaged, or more than {BATCH_BYTES_MAX} bytes")

    return decompressed


# Snappy makes at most some twenty bytes of one.
_DECOMPRESS: dict[int, Callable[[bytes], bytes]] = {
    1: _gunzipped,
    2: snappy_decode,
    3: _into(cramjam.lz4.decompress_into),
    4: _into(cramjam.zstd.decompress_into),
}


@contextmanager
def _no_records(what: str) -> Iterator[None]:
    """Bytes that anybody may have written fail in many ways: all of them are one error."""
    try:
        yield
    except (CorruptRecordException, MemoryError):
        raise
    except Exception as error:
        raise CorruptRecordException(f"{what} cannot be read: {error!r}") from error


def _fitting(records: Records, bytes_max: int) -> int:
    """How many of the records hold no more than so many bytes; one at least."""
    if records.keys.nbytes + records.values.nbytes <= bytes_max:
        return len(records)
    ends = np.cumsum(_lengths(records.keys) + _lengths(records.values))
    return max(1, int(np.searchsorted(ends, bytes_max, side="right")))


def _lengths(column: Any) -> Any:
    ends = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4)
    return np.diff(ends).astype(np.int64)
