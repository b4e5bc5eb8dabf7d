"""The body of a request, whole and unpacked, or whose fault it is that there is none."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from schemas import NornError
from streams.bridge.wire import Malformed, TooLarge

#: A batch of 1 MiB over a bad line takes seconds; who takes longer holds a connection and sends nothing.
BODY_WITHIN_S = 30.0

#: zlib's window bits for what `Content-Encoding` may name; those of deflate without its header are negative.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_RAW = -15
_DEFLATED = 8


class UnknownCoding(NornError):
    """A body that is packed in a way that is not taken."""

    reason = "unknown_coding"


class TooSlow(NornError):
    """A body that did not come in time."""

    reason = "too_slow"


class HungUp(NornError):
    """A client that went before its body had come."""

    reason = "hung_up"


async def body_of(request: web.Request, bytes_max: int, within_s: float) -> bytes:
    """The body, unpacked. Raises Malformed, TooLarge, UnknownCoding, TooSlow and HungUp."""
    coding = ", ".join(request.headers.getall("Content-Encoding", [])).strip().lower()
    if coding not in ("", "identity", *_WINDOW_BITS):
        raise UnknownCoding(f"a body is packed as {' or '.join(_WINDOW_BITS)} or not at all, not as {coding[:80]}")
    if (request.content_length or 0) > request.client_max_size:
        raise TooLarge(f"a body has at most {request.client_max_size} bytes, not {request.content_length}")
    try:
        async with asyncio.timeout(within_s):
            body = await request.read()
    except TimeoutError:
        raise TooSlow(f"the body did not come within {within_s:g} s") from None
    except HTTPRequestEntityTooLarge:
        raise TooLarge(f"a body has at most {request.client_max_size} bytes") from None
    except ConnectionError:
        raise HungUp("the client hung up amid its body") from None
    except web.RequestPayloadError as error:
        raise Malformed(f"the body does not come as its headers say: {' '.join(str(error).split())[:200]}") from None
    if coding in _WINDOW_BITS:
        body = unpacked(body, coding, bytes_max)
    if len(body) > bytes_max:
        raise TooLarge(f"this takes at most {bytes_max} bytes, not {len(body)}")
    return body


def unpacked(body: bytes, coding: str, bytes_max: int) -> bytes:
    """A body as it was before it was packed; gzip may have several members. Raises Malformed and TooLarge.

    No more than `bytes_max` is ever unpacked: a few bytes may stand for gigabytes.
    """
    made = bytearray()
    while True:
        inflater = zlib.decompressobj(_window_bits(body, coding))
        try:
            made += inflater.decompress(body, bytes_max + 1 - len(made))
        except zlib.error as error:
            raise Malformed(f"the body is no {coding}: {error}") from None
        if len(made) > bytes_max:
            raise TooLarge(f"the body unpacks to more than {bytes_max} bytes")
        if not inflater.eof:
            raise Malformed(f"the body is no whole {coding}: it ends too early")
        body = inflater.unused_data
        if not body:
            return bytes(made)
        if coding == "deflate":
            raise Malformed(f"{len(body)} bytes follow the end of the deflated body")


def _window_bits(body: bytes, coding: str) -> int:
    # HTTP's deflate has zlib's header; many senders leave it out, and receivers have learnt to look.
    bare = coding == "deflate" and (body[0] & 0x0F != _DEFLATED if body else False)
    return _RAW if bare else _WINDOW_BITS[coding]
