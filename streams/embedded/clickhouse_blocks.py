"""ClickHouse's own packing of what is sent over HTTP: blocks, each with its length and checksum (compress, decompress).

A block is 16 bytes of checksum (CityHash128 as of 1.0.2) over the rest: a byte that names the method, the packed length
with these 9 bytes, the length unpacked, both as 4 bytes, little-endian; then the packed data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow
from clickhouse_cityhash.cityhash import CityHash128

from streams.embedded import http_body
from streams.embedded.http_body import BodyRefused, Readable
from streams.embedded.http_packing import too_early

#: As much as ClickHouse itself packs at once.
BLOCK_BYTES = 1024 * 1024
#: What a client may pack at once; the length comes before the data, and memory is taken by it.
BLOCK_LIMIT_BYTES = 256 * 1024 * 1024

_LZ4, _ZSTD, _NONE = 0x82, 0x90, 0x02
_CODECS = {_LZ4: "lz4_raw", _ZSTD: "zstd"}
_CHECKSUM = struct.Struct("<QQ")
_HEADER = struct.Struct("<BII")
_LOW = (1 << 64) - 1


def packed(data: bytes) -> Iterator[bytes]:
    """Data in blocks, packed by LZ4, which every client reads: a block says its own method."""
    for start in range(0, len(data), BLOCK_BYTES):
        piece = data[start : start + BLOCK_BYTES]
        body = pyarrow.compress(piece, "lz4_raw", asbytes=True)
        block = _HEADER.pack(_LZ4, _HEADER.size + len(body), len(piece)) + body
        yield _checksum(block) + block


class Blocks:
    """A file of such blocks, unpacked; raises BodyRefused for what is none."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._left = b""
        self._given = 0

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; fewer at a block's end, none only at the end of all."""
        while not self._left:
            block = self._next()
            if not block:
                return b""
            self._left = block
            self._given += len(block)
            if self._given > http_body.BODY_LIMIT_BYTES:
                limit = http_body.BODY_LIMIT_BYTES
                raise BodyRefused(413, f"the body unpacks to more than {limit} bytes: send several inserts")
        cut = size if size >= 0 else len(self._left)
        given, self._left = self._left[:cut], self._left[cut:]
        return given

    def _next(self) -> bytes:
        beginning = self._exactly(_CHECKSUM.size + _HEADER.size, at_start=True)
        if not beginning:
            return b""
        checksum, header = beginning[: _CHECKSUM.size], beginning[_CHECKSUM.size :]
        method, length, unpacked_length = _HEADER.unpack(header)
        if not _HEADER.size <= length <= BLOCK_LIMIT_BYTES or unpacked_length > BLOCK_LIMIT_BYTES:
            raise BodyRefused(400, "the body is not made of ClickHouse's packed blocks: leave decompress out")
        body = self._exactly(length - _HEADER.size)
        if _checksum(header + body) != checksum:
            raise BodyRefused(400, "a packed block's checksum does not match: it was damaged, or is no such block")
        return _unpacked(method, body, unpacked_length)

    def _exactly(self, size: int, at_start: bool = False) -> bytes:
        read = b""
        while len(read) < size:
            piece = self._source.read(size - len(read))
            if not piece:
                if at_start and not read:
                    return b""
                raise too_early()
            read += piece
        return read


def _unpacked(method: int, body: bytes, length: int) -> bytes:
    try:
        if method in _CODECS:
            data = bytes(pyarrow.decompress(body, length, _CODECS[method], asbytes=True))
        elif method == _NONE:
            data = body
        else:
            raise BodyRefused(501, f"blocks packed by method {method:#x} are not offered: send LZ4, ZSTD or none")
    except (OSError, pyarrow.ArrowException) as error:
        raise BodyRefused(400, f"a packed block does not unpack: {error}") from error
    if len(data) != length:
        raise BodyRefused(400, "a packed block is not as long as it says")
    return data


def _checksum(block: bytes) -> bytes:
    number = CityHash128(block)
    return _CHECKSUM.pack(number >> 64, number & _LOW)
