"""The body of an HTTP request as a file: framed by length or in chunks, unpacked, never more than a limit."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from email.message import Message
from typing import Protocol

#: What one insert may carry: ten times the largest batch that a worker sends.
BODY_LIMIT_BYTES = 1024 * 1024 * 1024
#: Large enough that Python's share of an insert is small, small enough not to matter in memory.
PIECE_BYTES = 1024 * 1024
#: A chunk's size is written as a short hexadecimal number; a longer line is not HTTP.
CHUNK_LINE_LIMIT_BYTES = 1024

#: Content-Encoding as HTTP names it, and as pyarrow does.
_CODECS = {"lz4": "lz4", "zstd": "zstd", "br": "brotli", "bz2": "bz2"}
#: zlib's window bits for each of its two wrappings.
_ZLIB = {"gzip": 31, "deflate": 15}


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
    """The bytes between a request's headers and the next request, whatever way they are framed."""

    def __init__(self, connection: io.BufferedIOBase, headers: Message) -> None:
        self._connection = connection
        self._chunked = headers.get("Transfer-Encoding", "identity").lower() == "chunked"
        self._left = 0 if self._chunked else _length(headers)
        self._taken = 0
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
        piece = self._connection.read(min(wanted, self._left))
        if not piece:
            self.finished = True
            raise BodyRefused(400, "the request ended before its body did")
        self._left -= len(piece)
        self._taken += len(piece)
        if self._taken > BODY_LIMIT_BYTES:
            raise BodyRefused(413, f"the body is larger than {BODY_LIMIT_BYTES} bytes: send it in several inserts")
        if self._left == 0:
            if self._chunked:
                self._connection.readline(CHUNK_LINE_LIMIT_BYTES)
            else:
                self.finished = True
        return piece

    def _next_chunk(self) -> None:
        line = self._connection.readline(CHUNK_LINE_LIMIT_BYTES)
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError:
            self.finished = True
            raise BodyRefused(400, "the body's chunks are not framed as HTTP says") from None
        if self._left == 0:
            while self._connection.readline(CHUNK_LINE_LIMIT_BYTES) not in (b"\r\n", b"\n", b""):
                pass
            self.finished = True


def unpacked(body: Body, encoding: str) -> Readable:
    """The body with its Content-Encoding undone; raises BodyRefused for one that is not known."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name in _ZLIB:
        return _Inflated(body, _ZLIB[name])
    if name in _CODECS:
        import pyarrow

        return _Bounded(pyarrow.CompressedInputStream(pyarrow.PythonFile(body, mode="r"), _CODECS[name]))
    known = ", ".join(sorted([*_ZLIB, *_CODECS]))
    raise BodyRefused(501, f"Content-Encoding {name} is not offered: send one of {known}, or nothing")


def pieces(source: Readable) -> Iterator[bytes]:
    """The rest of a file, piece by piece."""
    while piece := source.read(PIECE_BYTES):
        yield piece


def _length(headers: Message) -> int:
    text = headers.get("Content-Length", "0")
    if not text.isdigit():
        raise BodyRefused(400, f"Content-Length {text!r} is not a number")
    if int(text) > BODY_LIMIT_BYTES:
        raise BodyRefused(413, f"the body is larger than {BODY_LIMIT_BYTES} bytes: send it in several inserts")
    return int(text)


class _Bounded:
    """A file that refuses to give more than the limit: a small body may unpack to anything."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._given = 0

    def read(self, size: int = -1, /) -> bytes:
        try:
            piece = bytes(self._source.read(size if size >= 0 else BODY_LIMIT_BYTES + 1))
        except OSError as error:
            raise BodyRefused(400, f"the body does not unpack: {error}") from error
        self._given += len(piece)
        if self._given > BODY_LIMIT_BYTES:
            raise BodyRefused(413, f"the body unpacks to more than {BODY_LIMIT_BYTES} bytes: send several inserts")
        return piece


class _Inflated(_Bounded):
    """gzip and deflate, by zlib."""

    def __init__(self, body: Body, window_bits: int) -> None:
        super().__init__(_Zlib(body, window_bits))


class _Zlib:
    def __init__(self, body: Body, window_bits: int) -> None:
        self._body = body
        self._inflater = zlib.decompressobj(window_bits)

    def read(self, size: int = -1, /) -> bytes:
        given = b""
        while not given and not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._body.read(PIECE_BYTES)
            if not packed:
                raise BodyRefused(400, "the packed body ends too early")
            try:
                given = self._inflater.decompress(packed, max(size, 1))
            except zlib.error as error:
                raise BodyRefused(400, f"the body does not unpack: {error}") from error
        return given
