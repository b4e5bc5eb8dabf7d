"""From the bytes of a fetch to columns: every codec, transactions, limits, and bytes that are no records."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.codec import gzip_encode, lz4_encode, zstd_encode
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c, decode_varint
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.records import Record, Records
from streams.unpacking import BATCH_BYTES_MAX, Fetched, Unpack, _plain, by_columns, by_objects, spans

HERE = TP("players.actions.v1", 0)
PLENTY = 1 << 30
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
CODEC, APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
ABORT, COMMIT = 0, 1


@dataclass(frozen=True)
class Sent:
    """A batch as a broker stores it, with its offsets from the first on; `holes` are compacted away."""

    records: Sequence[tuple[bytes | None, bytes | None]]
    codec: int = 0
    producer: int = -1
    transactional: bool = False
    appended_ms: int | None = None
    holes: frozenset[int] = frozenset()
    headers: Sequence[tuple[str, bytes | None]] = ()
    marker: int | None = None

    def written(self, base: int) -> bytes:
        builder = DefaultRecordBatchBuilder(2, self.codec, self.transactional, self.producer, 0, 0, 1 << 30)
        for delta, (key, value) in enumerate(self._contents()):
            if delta not in self.holes:
                builder.append(delta, 1_000 + delta, key, value, list(self.headers))
        return self._as_the_broker_has_it(bytearray(builder.build()), base)

    def kept(self, base: int) -> list[Record]:
        if self.marker is not None:
            return []
        return [
            Record(base + delta, 1_000 + delta if self.appended_ms is None else self.appended_ms, key, value)
            for delta, (key, value) in enumerate(self.records)
            if delta not in self.holes
        ]

    def _contents(self) -> Sequence[tuple[bytes | None, bytes | None]]:
        return self.records if self.marker is None else [(struct.pack(">hh", 0, self.marker), b"")]

    def _as_the_broker_has_it(self, batch: bytearray, base: int) -> bytes:
        struct.pack_into(">q", batch, 0, base)
        [attributes] = struct.unpack_from(">h", batch, 21)
        if self.appended_ms is not None:
            attributes |= APPEND_TIME
            struct.pack_into(">q", batch, 35, self.appended_ms)
        if self.marker is not None:
            attributes |= CONTROL | TRANSACTIONAL
        struct.pack_into(">h", batch, 21, attributes)
        # Compaction leaves a batch's last offset as it was.
        struct.pack_into(">i", batch, 23, len(self._contents()) - 1)
        return sealed(batch)


def sealed(batch: bytearray) -> bytes:
    """With the checksum that fits what it holds."""
    struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
    return bytes(batch)


def log(*batches: Sent, base: int = 0) -> tuple[bytes, list[Record], int]:
    """The bytes, the records and the end of a log of these batches."""
    raw, records = b"", []
    for batch in batches:
        raw += batch.written(base)
        records += batch.kept(base)
        base += len(batch._contents())
    return raw, records, base


def all_of(fetched: Fetched, records_max: int = PLENTY, bytes_max: int = PLENTY) -> Iterator[Records]:
    """Its stretches, until it is over."""
    while not fetched.over:
        yield fetched.take(records_max, bytes_max)


def whole(raw: bytes, position: int = 0, **how: Any) -> Records:
    return Records.joined(list(all_of(Fetched(HERE, raw, position, **how))))


WAYS = pytest.mark.parametrize("unpack", [by_columns, by_objects], ids=["columns", "objects"])
TEXTS = st.none() | st.binary(max_size=40)
BATCHES = st.builds(
    Sent,
    st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8),
    st.sampled_from(sorted(CODECS.values())),
    appended_ms=st.none() | st.integers(0, 2**42),
    holes=st.frozensets(st.integers(0, 7), max_size=4),
    headers=st.lists(st.tuples(st.text(max_size=5), TEXTS), max_size=2),
)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
def test_where_there_is_a_compiler_the_c_part_is_built() -> None:
    assert importlib.import_module("streams.native._unpack").unpack((), 0)[0] == 0


@WAYS
@given(batches=st.lists(BATCHES, min_size=1, max_size=5), base=st.integers(0, 2**40))
def test_columns_hold_what_was_written(unpack: Unpack, batches: list[Sent], base: int) -> None:
    raw, records, end = log(*batches, base=base)
    stretch = whole(raw, base, unpack=unpack)
    assert list(stretch) == records
    assert (stretch.low, stretch.high) == (base, end)


@WAYS
@given(batches=st.lists(BATCHES, min_size=1, max_size=4), data=st.data())
def test_a_fetch_may_begin_in_the_middle_of_a_batch_and_end_in_one(
    unpack: Unpack, batches: list[Sent], data: st.DataObject
) -> None:
    raw, records, end = log(*batches)
    position = data.draw(st.integers(0, end - 1))
    tail = data.draw(st.binary(max_size=60)).ljust(12, b"\0")
    stretch = whole(raw + struct.pack(">qi", end, 1 << 20) + tail, position, unpack=unpack)
    assert list(stretch) == [record for record in records if record.offset >= position]
    assert (stretch.low, stretch.high) == (position, end)


@given(st.lists(BATCHES, min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 60))
def test_a_poll_takes_no_more_than_its_limits_and_the_next_goes_on(
    batches: list[Sent], records_max: int, bytes_max: int
) -> None:
    raw, records, end = log(*batches)
    stretches = list(all_of(Fetched(HERE, raw, 0), records_max, bytes_max))
    assert [each.low for each in stretches] == [0, *(each.high for each in stretches[:-1])]
    assert stretches[-1].high == end
    assert [record for each in stretches for record in each] == records
    for each in stretches:
        assert len(each) <= records_max
        assert len(each) <= 1 or each.keys.nbytes + each.values.nbytes <= bytes_max + 8 * (len(each) + 1)


@WAYS
@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_every_codec(unpack: Unpack, codec: int) -> None:
    raw, records, _ = log(Sent([(b"hero-%d" % n, b"value" * n) for n in range(500)], codec))
    assert list(whole(raw, unpack=unpack)) == records


def transactions(*, aborted: Sequence[tuple[int, int]] = ()) -> tuple[Records, int]:
    """Two producers' transactions, in one another, of which the second producer's first is aborted."""
    raw, _, end = log(
        Sent([(None, b"one"), (None, b"one")], producer=1, transactional=True),
        Sent([(None, b"two")], producer=2, transactional=True),
        Sent([(None, b"plain")]),
        Sent([], producer=2, marker=ABORT),
        Sent([(None, b"two again")], producer=2, transactional=True),
        Sent([], producer=2, marker=COMMIT),
        Sent([], producer=1, marker=COMMIT),
    )
    return whole(raw, aborted=aborted), end


def test_aborted_records_are_passed_over_and_their_offsets_covered() -> None:
    stretch, end = transactions(aborted=[(2, 2)])
    assert stretch.values.to_pylist() == [b"one", b"one", b"plain", b"two again"]
    assert (stretch.low, stretch.high, stretch.passed) == (0, end, 4)


def test_without_word_of_aborted_transactions_all_but_the_markers_is_read() -> None:
    stretch, _ = transactions()
    assert stretch.values.to_pylist() == [b"one", b"one", b"two", b"plain", b"two again"]


def test_a_stretch_of_markers_alone_covers_their_offsets() -> None:
    raw, _, end = log(Sent([], producer=1, marker=COMMIT), Sent([], producer=2, marker=ABORT), base=7)
    stretch = whole(raw, 7)
    assert (len(stretch), stretch.low, stretch.high) == (0, 7, end)


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1])
def test_the_formats_before_transactions_are_read_too(magic: int, codec: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    for offset in range(3):
        builder.append(offset, 1_000 + offset if magic else None, b"k", b"%d" % offset)
    raw = bytearray(builder.build())
    if codec:
        # The broker gives a set of messages that is compressed as one the offset of its last.
        struct.pack_into(">q", raw, 0, 2)
    stretch = whole(bytes(raw))
    assert stretch.values.to_pylist() == [b"0", b"1", b"2"]
    assert stretch.offsets.tolist() == [0, 1, 2]
    assert stretch.timestamps.tolist() == ([1_000, 1_001, 1_002] if magic else [-1, -1, -1])


def damaged(change: Callable[[bytearray], None]) -> bytes:
    batch = bytearray(log(Sent([(b"key", b"value"), (None, b"other")]))[0])
    change(batch)
    return sealed(batch)


DAMAGES: dict[str, Callable[[bytearray], None]] = {
    "a later format": lambda batch: struct.pack_into(">b", batch, 16, 3),
    "more records than offsets": lambda batch: struct.pack_into(">i", batch, 57, 9),
    "fewer records than it holds": lambda batch: struct.pack_into(">i", batch, 57, 1),
    "a count below nothing": lambda batch: struct.pack_into(">i", batch, 57, -1),
    "an end before its beginning": lambda batch: struct.pack_into(">i", batch, 23, -2),
    "a record past its end": lambda batch: batch.__setitem__(79, 0x40),
    "an offset below nothing": lambda batch: struct.pack_into(">q", batch, 0, -5),
    "a record that is too long": lambda batch: batch.__setitem__(61, 0x7E),
    "a value that is too long": lambda batch: batch.__setitem__(69, 0x7E),
    "a codec that is none": lambda batch: struct.pack_into(">h", batch, 21, 1),
}


@WAYS
@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
def test_bytes_that_are_no_records_are_refused(unpack: Unpack, change: Callable[[bytearray], None]) -> None:
    with pytest.raises(CorruptRecordException):
        whole(damaged(change), unpack=unpack)


def outcome(raw: bytes, unpack: Unpack) -> list[Record] | None:
    """What becomes of bytes that anybody may have written: their records, or None where they are refused."""
    try:
        return list(whole(raw, unpack=unpack))
    except (CorruptRecordException, UnsupportedCodecError):
        return None


def has_long_attributes(raw: bytes) -> bool:
    """Whether a record's attributes, a byte of which no bit is used, are what aiokafka reads as a longer number."""
    [plain] = [_plain(raw, span) for span in spans(raw)]
    at, attributes = plain.start, []
    for _ in range(plain.span.records):
        length, at = decode_varint(bytearray(plain.data), at)
        attributes.append(plain.data[at])
        at += length
    return max(attributes) >= 0x80


@given(BATCHES, st.data())
def test_both_ways_make_the_same_of_hostile_bytes(batch: Sent, data: st.DataObject) -> None:
    hostile = bytearray(log(batch)[0])
    for _ in range(data.draw(st.integers(1, 3))):
        # What comes before the checksum says where the batch lies; what comes after is anybody's.
        hostile[data.draw(st.integers(21, len(hostile) - 1))] = data.draw(st.integers(0, 255))
    raw = sealed(hostile)
    by_way_of_c, by_way_of_python = outcome(raw, by_columns), outcome(raw, by_objects)
    # aiokafka refuses a little more: it wants the names of headers to be text.
    assert by_way_of_python in (by_way_of_c, None) or has_long_attributes(raw)


@given(st.binary(max_size=300), st.booleans())
def test_rubbish_is_refused_or_is_nothing(rubbish: bytes, check_crcs: bool) -> None:
    with contextlib.suppress(CorruptRecordException, UnsupportedCodecError):
        whole(rubbish, check_crcs=check_crcs)


@WAYS
@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_batch_that_would_fill_the_memory_is_refused(unpack: Unpack, codec: str) -> None:
    raw = bytearray(Sent([(None, b"")]).written(0)[:61])
    zeros = bytes(BATCH_BYTES_MAX + 1)
    packed = {"gzip": gzip_encode, "lz4": lz4_encode, "zstd": zstd_encode}[codec](zeros, 1)
    struct.pack_into(">i", raw, 8, len(raw) - 12 + len(packed))
    struct.pack_into(">h", raw, 21, CODECS[codec])
    with pytest.raises(CorruptRecordException, match="compressed"):
        whole(sealed(raw + packed), unpack=unpack)


def test_a_wrong_checksum_is_refused_and_nothing_of_it_taken() -> None:
    raw = bytearray(log(Sent([(b"key", b"value")]))[0])
    raw[-3] ^= 1
    with pytest.raises(CorruptRecordException, match="checksum"):
        whole(bytes(raw))


def test_a_batch_that_is_shorter_than_any_record_is_refused() -> None:
    with pytest.raises(CorruptRecordException, match="shorter"):
        whole(struct.pack(">qi", 0, -12) + bytes(60))
