"""Files of lines: each a JSON object with a checksum, written in one go, so that a crash tears at most the last one."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas import PermanentError
from streams.bridge.client.forking import Forked, let_go_in_children

_log = logging.getLogger(__name__)

_READ_BYTES = 1 << 16


class FileInUse(PermanentError):
    """Another sidecar, here or in another process, writes to the file."""

    reason = "file_in_use"


def line(record: Mapping[str, Any]) -> bytes:
    """A record as one line."""
    said = json.dumps(record, separators=(",", ":"), sort_keys=True)
    # The checksum is of the object without it, which is what stands before it.
    return f'{said[:-1]},"~crc32":"{zlib.crc32(said.encode()):08x}"}}\n'.encode()


def record(text: bytes) -> dict[str, Any] | None:
    """The record of a line, or None for one that is torn or damaged."""
    body, mark, checksum = text.rstrip(b"\n").rpartition(b',"~crc32":"')
    said = body + b"}"
    if not mark or checksum != f'{zlib.crc32(said):08x}"}}'.encode():
        return None
    try:
        found = json.loads(said)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def lines(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, each with where it ends; a last one without its end is torn, and is left out."""
    end = start
    with path.open("rb", buffering=_READ_BYTES) as file:
        file.seek(start)
        for text in file:
            if not text.endswith(b"\n"):
                return
            end += len(text)
            yield end, text


class Appending:
    """A file that lines are appended to, by one process at a time: the one that opened it, and none of its children.

    Not thread-safe.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise FileInUse(f"{path} is another sidecar's: give each game server a file of its own") from None
        self._fresh: int | None = None
        self._closed = self._forked = False
        self.size = self._cut()
        let_go_in_children(self)

    def let_go(self) -> None:
        """In a child: the file and its lock are the parent's alone, who may die and be followed by another life."""
        self._forked = True
        self.close()
        if self._fresh is not None:
            os.close(self._fresh)

    def _check_own(self) -> None:
        if self._forked:
            raise Forked(f"{self.path} is written by the process that this one was forked from")

    def _cut(self) -> int:
        """Cut what a crash left of a last line; gives the size."""
        size = os.fstat(self._file).st_size
        whole = max((end for end, _ in lines(self.path)), default=0)
        if whole < size:
            _log.warning("%s: its last line was being written when the process died; it is cut", self.path)
            os.ftruncate(self._file, whole)
        return whole

    def append(self, data: bytes, *, sync: bool = False) -> None:
        """Write whole lines behind the others. Raises Forked, and OSError; nothing of them was kept then."""
        self._check_own()
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            if sync:
                os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)

    def clear(self) -> None:
        """Remove every line. Raises Forked, and OSError."""
        self._check_own()
        os.ftruncate(self._file, 0)
        self.size = 0

    def replace(self, data: bytes) -> None:
        """Put these lines in the place of all others, in one step that a crash does not tear.

        Raises Forked, and OSError.
        """
        self._check_own()
        fresh = self.path.with_name(f"{self.path.name}.fresh")
        self._fresh = file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            written = 0
            while written < len(data):
                written += os.write(file, data[written:])
            os.fsync(file)
            fresh.rename(self.path)
        except OSError:
            self._fresh = None
            os.close(file)
            raise
        replaced, self._file, self._fresh, self.size = self._file, file, None, len(data)
        os.close(replaced)

    def close(self) -> None:
        """Let another process have the file."""
        if not self._closed:
            self._closed = True
            os.close(self._file)
