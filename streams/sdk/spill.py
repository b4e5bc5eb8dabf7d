"""The spill: events that wait on disk, in order, for the broker to come back.

A folder of segments, each a magic word and then records: length, CRC-32, and one batch of events of one partition,
byte for byte as they will be sent. A record is written in one go, so a crash tears at most the last one, which is cut
when the folder is next opened. A segment is removed when the broker has acknowledged all of it; after a crash in
between it is sent again, with the same dots, and readers drop what they have had.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from schemas import PermanentError
from schemas.limits import FACT_BYTES_MAX, SUBJECT_BYTES_MAX
from streams.sdk.outbox import BATCH_EVENTS_MAX, Batch

_log = logging.getLogger(__name__)

MAGIC = b"NORNSPL1"
#: What is sent again after a crash during a replay is at most one segment.
SEGMENT_BYTES = 16 * 1024 * 1024

_RECORD = struct.Struct("<II")  # length and CRC-32 of the batch
_BATCH = struct.Struct("<IIH")  # partition, events, length of the topic's name
_EVENT = struct.Struct("<II")  # lengths of key and value
# More than any batch can take, so that a length beyond it is damage and is not allocated.
_RECORD_BYTES_MAX = 2 * BATCH_EVENTS_MAX * (FACT_BYTES_MAX + SUBJECT_BYTES_MAX)


class SpillInUse(PermanentError):
    """Another producer, here or in another process, has the folder."""

    reason = "spill_in_use"


class SpillUnreadable(PermanentError):
    """A file in the folder is no spill file that this version can read."""

    reason = "spill_unreadable"


def encode(batch: Batch) -> bytes:
    """A batch as one record."""
    topic = batch.topic.encode()
    parts = [_BATCH.pack(batch.partition, len(batch.events), len(topic)), topic]
    for key, value in batch.events:
        parts += (_EVENT.pack(len(key), len(value)), key, value)
    body = b"".join(parts)
    return _RECORD.pack(len(body), zlib.crc32(body)) + body


def decode(body: bytes) -> Batch:
    """The batch of a record's body, whose checksum has been compared."""
    partition, count, topic_bytes = _BATCH.unpack_from(body)
    at = _BATCH.size + topic_bytes
    topic = body[_BATCH.size : at].decode()
    events = []
    for _ in range(count):
        key_bytes, value_bytes = _EVENT.unpack_from(body, at)
        middle = at + _EVENT.size + key_bytes
        events.append((body[at + _EVENT.size : middle], body[middle : middle + value_bytes]))
        at = middle + value_bytes
    return Batch(topic, partition, events)


def read_body(file: BinaryIO) -> bytes | None:
    """The next record's body, or None where there is no whole and undamaged record."""
    head = file.read(_RECORD.size)
    if len(head) < _RECORD.size:
        return None
    length, checksum = _RECORD.unpack(head)
    if not _BATCH.size <= length <= _RECORD_BYTES_MAX:
        return None
    body = file.read(length)
    return body if len(body) == length and zlib.crc32(body) == checksum else None


@dataclass(eq=False)
class _Segment:
    path: Path
    bytes: int
    #: Everything before this offset is acknowledged.
    acknowledged: int = len(MAGIC)


class Spill:
    """Batches on disk, first in first out. One thread uses it.

    A batch is looked at with `peek`, is under way after `advance`, and is done with, in that order, by `release`;
    `rewind` takes back all that are under way. Raises SpillInUse, SpillUnreadable and OSError on opening.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        #: Events and bytes in the folder that are not acknowledged (bytes: of whole segments).
        self.events = 0
        self.bytes = 0
        self._segments: deque[_Segment] = deque()
        self._tail: int | None = None
        self._unsynced = False
        self._reader: BinaryIO | None = None
        self._reading: _Segment | None = None
        self._next: tuple[_Segment, int, Batch] | None = None
        self._under_way: deque[tuple[_Segment, int, int]] = deque()
        self._lock = _lock(folder)
        try:
            self._open_segments()
        except BaseException:
            os.close(self._lock)
            raise

    def _open_segments(self) -> None:
        paths = sorted(self._folder.glob("*.spill"))
        self._number = int(paths[-1].stem) + 1 if paths else 1
        for path in paths:
            end, events = _measure(path)
            _cut(path, end, torn=path is paths[-1])
            if events:
                self._segments.append(_Segment(path, end))
                self.events += events
                self.bytes += end
            else:
                path.unlink()

    def append(self, batch: Batch) -> None:
        """Write a batch behind all others. Raises OSError, and then nothing of it was kept."""
        record = encode(batch)
        if self._tail is None or self._segments[-1].bytes + len(record) > SEGMENT_BYTES:
            self._start_segment()
        assert self._tail is not None
        segment = self._segments[-1]
        try:
            written = 0
            while written < len(record):
                written += os.write(self._tail, record[written:] if written else record)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._tail, segment.bytes)
            raise
        segment.bytes += len(record)
        self.bytes += len(record)
        self.events += len(batch.events)
        self._unsynced = True

    def _start_segment(self) -> None:
        self._close_tail()
        path = self._folder / f"{self._number:012d}.spill"
        tail = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._number += 1
        try:
            os.write(tail, MAGIC)
            _sync_folder(self._folder)
        except OSError:
            os.close(tail)
            path.unlink()
            raise
        self._tail = tail
        self._segments.append(_Segment(path, len(MAGIC)))
        self.bytes += len(MAGIC)

    def peek(self) -> Batch | None:
        """The first batch that is not under way."""
        if self._next is None:
            self._next = self._read()
        return self._next[2] if self._next else None

    def _read(self) -> tuple[_Segment, int, Batch] | None:
        while self._segments:
            if self._reading is None:
                self._reading = self._segments[0]
                self._reader = self._reading.path.open("rb")
                self._reader.seek(self._reading.acknowledged)
            assert self._reader is not None
            if self._reader.tell() < self._reading.bytes:
                body = read_body(self._reader)
                if body is None:
                    raise SpillUnreadable(f"{self._reading.path} is damaged at byte {self._reader.tell()}")
                return self._reading, self._reader.tell(), decode(body)
            if self._reading is self._segments[-1]:
                return None
            following = self._segments[self._segments.index(self._reading) + 1]
            self._reader.close()
            self._reading, self._reader = following, following.path.open("rb")
            self._reader.seek(following.acknowledged)
        return None

    def advance(self) -> None:
        """The batch that `peek` gave is under way."""
        assert self._next is not None
        segment, end, batch = self._next
        self._under_way.append((segment, end, len(batch.events)))
        self._next = None

    def release(self) -> None:
        """The first batch under way is acknowledged; a segment of which all is acknowledged is removed."""
        segment, end, events = self._under_way.popleft()
        segment.acknowledged = end
        self.events -= events
        if not self.events:
            self._close_tail()
            self.rewind()
            while self._segments:
                self._remove_first()
        while self._segments and self._segments[0] is not segment:
            self._remove_first()

    def _remove_first(self) -> None:
        segment = self._segments.popleft()
        self.bytes -= segment.bytes
        segment.path.unlink(missing_ok=True)

    def rewind(self) -> None:
        """Whatever is under way must be sent again."""
        self._under_way.clear()
        self._next = None
        self._reading = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def sync(self) -> None:
        """Make what was appended survive a crash of the machine, as it already survives one of the process."""
        if self._unsynced and self._tail is not None:
            os.fsync(self._tail)
        self._unsynced = False

    def _close_tail(self) -> None:
        self.sync()
        if self._tail is not None:
            os.close(self._tail)
            self._tail = None

    def close(self) -> None:
        """Sync, and let another producer have the folder."""
        self._close_tail()
        self.rewind()
        os.close(self._lock)


def _lock(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 32).decode() or "unknown"
        os.close(lock)
        raise SpillInUse(
            f"{folder} is the spill folder of process {holder}: give each producer a folder of its own"
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def _records(file: BinaryIO) -> Iterator[bytes]:
    while (body := read_body(file)) is not None:
        yield body


def _measure(path: Path) -> tuple[int, int]:
    """How far a segment is whole, and how many events that is. Raises SpillUnreadable."""
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
        if not any(magic):
            return 0, 0  # a file that a crash of the machine left empty, or full of zeros
        if magic != MAGIC[: len(magic)]:
            raise SpillUnreadable(
                f"{path} was written by another version of Norn: let that version send it, or move the file away"
            )
        end, events = len(magic), 0
        for body in _records(file):
            end = file.tell()
            events += _BATCH.unpack_from(body)[1]
    return end, events


def _cut(path: Path, end: int, torn: bool) -> None:
    """Cut a segment where it stops being whole; what is cut from any but the last is damage, and is kept aside."""
    excess = path.stat().st_size - end
    if not excess:
        return
    if torn:
        _log.warning("%s: the last %d bytes were being written when the process died; they are cut", path, excess)
    else:
        aside = path.with_suffix(".damaged")
        shutil.copyfile(path, aside)
        _log.error("%s is damaged at byte %d: what follows cannot be sent and is kept in %s", path, end, aside)
    os.truncate(path, end)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
