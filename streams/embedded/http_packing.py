"""The Content-Encodings of an HTTP request's body: all that was packed comes out, or an error does."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pyarrow

from streams.embedded import http_body
from streams.embedded.http_body import Body, BodyRefused, Readable

#: Content-Encoding as HTTP names it, and as pyarrow does. Its streams read frame after frame, and refuse what is none.
_CODECS = {"lz4": "lz4", "zstd": "zstd", "br": "brotli"}
#: What follows a member is copied at its end, so little is taken at a time: a body may be made of tiny members.
PACKED_PIECE_BYTES = 64 * 1024


def unpacked(body: Body, encoding: str) -> Readable:
    """The body with its Content-Encoding undone; raises BodyRefused for one that is not known."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name in _MEMBERS:
        return Bounded(_Members(body, name))
    if name in _CODECS:
        return Bounded(_Begun(pyarrow.CompressedInputStream(pyarrow.PythonFile(body, mode="r"), _CODECS[name]), body))
    known = ", ".join(sorted([*_MEMBERS, *_CODECS]))
    raise BodyRefused(501, f"Content-Encoding {name} is not offered: send one of {known}, or nothing")


class Bounded:
    """A file that refuses to give more than the limit: a small body may unpack to anything."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._given = 0

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; raises BodyRefused beyond the limit, and for what does not unpack."""
        limit = http_body.BODY_LIMIT_BYTES
        piece = bytes(self._source.read(size if size >= 0 else limit + 1))
        self._given += len(piece)
        if self._given > limit:
            raise BodyRefused(413, f"the body unpacks to more than {limit} bytes: send several inserts")
        return piece


class _Begun:
    """A stream of pyarrow's. Even nothing, packed, has a few bytes: an empty body was cut off."""

    def __init__(self, source: Any, body: Body) -> None:
        self._source = source
        self._body = body

    def read(self, size: int = -1, /) -> bytes:
        try:
            piece: bytes = self._source.read(size)
        # pyarrow raises some of a codec's errors as OSError, and others as its own.
        except (OSError, pyarrow.ArrowException) as error:
            raise BodyRefused(400, f"the body does not unpack: {error}") from error
        if not piece and self._body.taken == 0:
            raise too_early()
        return piece


class _Zlib:
    """One member of gzip or deflate."""

    def __init__(self, window_bits: int) -> None:
        self._inflater = zlib.decompressobj(window_bits)

    def unpack(self, packed: bytes, size: int) -> tuple[bytes, bytes, bool]:
        """Up to `size` bytes, what of the packed ones is left over, and whether the member has ended."""
        given = self._inflater.decompress(packed, size)
        ended = self._inflater.eof
        return given, self._inflater.unused_data if ended else self._inflater.unconsumed_tail, ended


class _Bz2:
    """One member of bz2, which keeps to itself what it was given and has not unpacked."""

    def __init__(self) -> None:
        self._unpacker = bz2.BZ2Decompressor()

    def unpack(self, packed: bytes, size: int) -> tuple[bytes, bytes, bool]:
        """As `_Zlib`."""
        given = self._unpacker.decompress(packed, size)
        while not given and not self._unpacker.eof and not self._unpacker.needs_input:
            given = self._unpacker.decompress(b"", size)
        return given, self._unpacker.unused_data, self._unpacker.eof


_MEMBERS: Mapping[str, Callable[[], _Zlib | _Bz2]] = {
    "gzip": partial(_Zlib, 31),
    "deflate": partial(_Zlib, 15),
    "bz2": _Bz2,
}


class _Members:
    """One packed member or several, one after the other; gzip's may have zeros behind them."""

    def __init__(self, body: Body, name: str) -> None:
        self._body = body
        self._name = name
        self._member: _Zlib | _Bz2 | None = _MEMBERS[name]()
        self._packed = b""

    def read(self, size: int = -1, /) -> bytes:
        given = b""
        ended = False
        while not given and not ended:
            if not self._packed:
                self._packed = self._body.read(PACKED_PIECE_BYTES)
                ended = not self._packed
            if self._member is None:
                self._begin_member()
            if self._member is not None:
                given = self._unpack(self._member, max(size, 1))
        if ended and self._member is not None and not given:
            raise too_early()
        return given

    def _begin_member(self) -> None:
        # Blocks of a tape are filled up with zeros, which gzip itself ignores.
        if self._name == "gzip":
            self._packed = self._packed.lstrip(b"\0")
        if self._packed:
            self._member = _MEMBERS[self._name]()

    def _unpack(self, member: _Zlib | _Bz2, size: int) -> bytes:
        try:
            given, self._packed, ended = member.unpack(self._packed, size)
        except (zlib.error, OSError) as error:
            raise BodyRefused(400, f"the body does not unpack: {error}") from error
        if ended:
            self._member = None
        return given


def too_early() -> BodyRefused:
    """For a packed body that was cut off."""
    return BodyRefused(400, "the packed body ends too early")
