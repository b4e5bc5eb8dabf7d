"""The body of an HTTP request as a file: framed by length or in chunks, up to a limit, never cut off unnoticed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from email.message import Message
from typing import Protocol

#: What one insert may carry: ten times the largest batch that a worker sends.
BODY_LIMIT_BYTES = 1024 * 1024 * 1024
#: Large enough that Python's share of an insert is small, small enough not to matter in memory.
PIECE_BYTES = 1024 * 1024
#: A chunk's size is written as a short hexadecimal number; a longer line is not HTTP.
CHUNK_LINE_LIMIT_BYTES = 1024
#: Lines after the last chunk; nobody sends more than a checksum there.
TRAILERS_MAX = 100

#: Python reads `-5`, `0x5` and `1_0` as numbers, and would take a body to end where it does not.
_DECIMAL = re.compile(r"[0-9]{1,18}")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,15}")


class BodyRefused(Exception):
    """A body that the server does not take; `status` is the HTTP status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Readable(Protocol):
    """All that is needed of a file."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; fewer only at the end."""


class Body(io.RawIOBase):
    """The bytes between a request's headers and the next request, whatever way they are framed.

    Raises BodyRefused for headers by which nobody can tell where it ends.
    """

    def __init__(self, connection: io.BufferedIOBase, headers: Message) -> None:
        self._connection = connection
        #: The bytes read so far.
        self.taken = 0
        #: Whether all of it was read, so that the next request follows; never of one that is broken.
        self.finished = False
        self.broken = False
        self._chunked = _is_chunked(headers)
        self._left = 0 if self._chunked else _length(headers)
        self.finished = not self._chunked and self._left == 0

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, or all; fewer only at the end. Raises BodyRefused beyond the limit or when cut off."""
        pieces: list[bytes] = []
        wanted = BODY_LIMIT_BYTES + 1 if size < 0 else size
        while wanted > 0 and not self.finished:
            piece = self._piece(wanted)
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _piece(self, wanted: int) -> bytes:
        if self._left == 0 and self._chunked:
            self._next_chunk()
            if self.finished:
                return b""
        try:
            piece = self._connection.read(min(wanted, self._left))
        except TimeoutError:
            raise self._broken("the body's next piece did not come in time", 408) from None
        if not piece:
            raise self._broken("the request ended before its body did")
        self._left -= len(piece)
        self.taken += len(piece)
        if self.taken > BODY_LIMIT_BYTES:
            raise BodyRefused(413, f"the body is larger than {BODY_LIMIT_BYTES} bytes: send it in several inserts")
        if self._left == 0:
            if self._chunked:
                self._end_chunk()
            else:
                self.finished = True
        return piece

    def _next_chunk(self) -> None:
        line = self._connection.readline(CHUNK_LINE_LIMIT_BYTES)
        size = line.split(b";")[0].strip()
        if not line.endswith(b"\n") or not _HEXADECIMAL.fullmatch(size):
            raise self._broken("the body's chunks are not framed as HTTP says, or it was cut off")
        self._left = int(size, 16)
        if self._left == 0:
            self._end_body()

    def _end_chunk(self) -> None:
        if self._connection.readline(CHUNK_LINE_LIMIT_BYTES) not in (b"\r\n", b"\n"):
            raise self._broken("a chunk of the body is longer than it says, or the body was cut off")

    def _end_body(self) -> None:
        """Read the lines after the last chunk, which all of the body came before."""
        for _ in range(TRAILERS_MAX):
            if self._connection.readline(CHUNK_LINE_LIMIT_BYTES) in (b"\r\n", b"\n", b""):
                self.finished = True
                return
        raise self._broken(f"more than {TRAILERS_MAX} lines follow the body's last chunk")

    def _broken(self, reason: str, status: int = 400) -> BodyRefused:
        """Where the next request begins can no longer be told."""
        self.broken = True
        return BodyRefused(status, reason)


def pieces(source: Readable) -> Iterator[bytes]:
    """The rest of a file, piece by piece."""
    while piece := source.read(PIECE_BYTES):
        yield piece


def _is_chunked(headers: Message) -> bool:
    codings = ", ".join(headers.get_all("Transfer-Encoding", [])).strip().lower()
    if codings in ("", "identity"):
        return False
    if codings != "chunked":
        raise BodyRefused(
            501, f"Transfer-Encoding {codings} is not offered: send chunked, and pack by Content-Encoding"
        )
    if "Content-Length" in headers:
        raise BodyRefused(400, "the body has both a Content-Length and a Transfer-Encoding: send one of them")
    return True


def _length(headers: Message) -> int:
    given = {text.strip() for text in ",".join(headers.get_all("Content-Length", ["0"])).split(",")}
    text = given.pop()
    if given or not _DECIMAL.fullmatch(text):
        raise BodyRefused(400, f"Content-Length {headers['Content-Length']!r} is not a number")
    if int(text) > BODY_LIMIT_BYTES:
        raise BodyRefused(413, f"the body is larger than {BODY_LIMIT_BYTES} bytes: send it in several inserts")
    return int(text)
