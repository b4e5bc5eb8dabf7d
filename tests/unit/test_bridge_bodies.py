"""Bodies that come packed, broken, slowly or not at all: the client's fault is told as the client's, in one line."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from streams.bridge import bridge, routes
from streams.bridge.bodies import body_of, unpacked
from streams.bridge.routes import COMPLETE, DISPATCH, PENDING, REQUEST_BYTES_MAX
from streams.bridge.server import create_app
from streams.bridge.wire import BODY_BYTES_MAX, Malformed, TooLarge
from streams.config import Settings
from streams.embedded import Servers
from tests.sdk import nobody_listens
from tests.waiting import WITHIN_S, eventually_async

BODY = json.dumps({"client": "a b", "events": [{}]}).encode()
#: What the bridge says of BODY, once it has come: so far no server was needed.
READ = "client is 1 to 64"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zipped(data: bytes) -> bytes:
    """Gzip without the time of day, so that a parameter made of it is the same in every process."""
    return gzip.compress(data, mtime=0)


PACKERS = {"gzip": zipped, "x-gzip": zipped, "deflate": zlib.compress}


@given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=500))
def test_what_was_packed_is_unpacked(coding: str, data: bytes) -> None:
    assert unpacked(PACKERS[coding](data), coding, 500) == data
    if coding == "deflate" and data:
        assert unpacked(raw_deflate(data), coding, 500) == data


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_every_member_of_a_gzip_counts(members: list[bytes]) -> None:
    assert unpacked(b"".join(map(zipped, members)), "gzip", 250) == b"".join(members)


@given(st.sampled_from(sorted(PACKERS)), st.binary(min_size=1, max_size=300), st.data())
def test_what_was_cut_off_damaged_or_followed_by_rubbish_is_malformed(
    coding: str, data: bytes, draws: st.DataObject
) -> None:
    packed = PACKERS[coding](data)
    for wrong in (packed[: draws.draw(st.integers(0, len(packed) - 1))], packed + b"rubbish"):
        with pytest.raises(Malformed):
            unpacked(wrong, coding, 300)
    # A checksum finds a byte that is another in what it covers; in a header some say nothing of the data.
    place = draws.draw(st.integers(len(packed) - 4, len(packed) - 1)) if coding == "deflate" else len(packed) - 8
    damaged = packed[:place] + bytes([packed[place] ^ 1]) + packed[place + 1 :]
    with pytest.raises(Malformed):
        unpacked(damaged, coding, 300)


@pytest.mark.parametrize("coding", sorted(PACKERS))
def test_a_bomb_is_no_more_than_the_limit(coding: str) -> None:
    assert len(unpacked(PACKERS[coding](b"x" * 1000), coding, 1000)) == 1000
    for size in (1001, 50_000_000):
        with pytest.raises(TooLarge, match="1000"):
            unpacked(PACKERS[coding](b"x" * size), coding, 1000)
    with pytest.raises(TooLarge):
        unpacked(zipped(b"x" * 600) * 2, "gzip", 1000)


@pytest.fixture
async def there() -> AsyncIterator[TestServer]:
    nowhere = Servers(kafka=nobody_listens(), postgres=f"postgresql://nobody@{nobody_listens()}/none", clickhouse="")
    async with TestServer(create_app(Settings(), nowhere, body_within_s=0.5)) as server:
        yield server


async def post(there: TestServer, path: str, data: Any, **headers: str) -> tuple[int, Any]:
    said = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(there.make_url(path), data=data, headers=said) as answer,
    ):
        assert answer.content_type == "application/problem+json"
        return answer.status, await answer.json(content_type=None)


@pytest.mark.parametrize(
    ("coding", "body", "status", "word"),
    [
        ("gzip", zipped(BODY), 400, READ),
        ("GZIP", zipped(BODY[:9]) + zipped(BODY[9:]), 400, READ),
        ("deflate", zlib.compress(BODY), 400, READ),
        ("deflate", raw_deflate(BODY), 400, READ),
        ("identity", BODY, 400, READ),
        ("gzip", BODY, 400, "no gzip"),
        ("gzip", zipped(BODY)[:-1], 400, "ends too early"),
        ("gzip", zipped(BODY)[:9], 400, "ends too early"),
        ("gzip", b"", 400, "ends too early"),
        ("deflate", b"", 400, "ends too early"),
        ("deflate", BODY, 400, "no deflate"),
        ("deflate", zlib.compress(BODY)[:-1], 400, "ends too early"),
        ("gzip", zipped(b" " * 100_000_000), 413, "unpacks to more than"),
        ("br", BODY, 415, "gzip"),
        ("zstd", BODY, 415, "gzip"),
        ("gzip, gzip", zipped(zipped(BODY)), 415, "gzip"),
        ("nonsense\u202e", BODY, 415, "gzip"),
    ],
)
async def test_a_packed_body_is_read_or_the_clients_fault(
    there: TestServer, caplog: pytest.LogCaptureFixture, coding: str, body: bytes, status: int, word: str
) -> None:
    for path in (DISPATCH.path, COMPLETE.path):
        said = await post(there, path, body, Content_Encoding=coding)
        assert (said[0], said[1]["status"]) == (status, status), said
        assert path == COMPLETE.path or word in said[1]["detail"]
    assert lines_of(caplog) == []


async def test_a_body_larger_than_its_limit_is_said_with_the_limit(there: TestServer) -> None:
    for path, limit in ((DISPATCH.path, BODY_BYTES_MAX), (COMPLETE.path, REQUEST_BYTES_MAX)):
        for said in (
            await post(there, path, b" " * (limit + 1)),
            await post(there, path, zipped(b" " * (limit + 1)), Content_Encoding="gzip"),
        ):
            assert (said[0], said[1]["reason"]) == (413, "too_large")
            assert str(limit) in said[1]["detail"]


async def talk(there: TestServer, *pieces: bytes) -> bytes:
    """Send bytes; what is answered until the connection ends."""
    reader, writer = await asyncio.open_connection(there.host, there.port)
    try:
        writer.writelines(pieces)
        await writer.drain()
        async with asyncio.timeout(WITHIN_S):
            return await reader.read()
    finally:
        writer.close()


def head(*headers: str) -> bytes:
    lines = [f"POST {DISPATCH.path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    # What it says meanwhile of the servers that it waits for is another matter.
    records = [record for record in caplog.records if record.name != bridge.__name__]
    said = [logging.Formatter().format(record) for record in records]
    assert all("\n" not in line and line.isprintable() for line in said), said
    return said


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_a_client_that_hangs_up_amid_its_body_is_one_line(
    there: TestServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, framing: str
) -> None:
    begun = asyncio.Event()

    async def seen(request: web.Request, bytes_max: int, within_s: float) -> bytes:
        begun.set()
        return await body_of(request, bytes_max, within_s)

    monkeypatch.setattr(routes, "body_of", seen)
    _, writer = await asyncio.open_connection(there.host, there.port)
    writer.write(head(framing) + (b"3e8\r\n" if "chunked" in framing else b"") + b'{"client":')
    await begun.wait()
    writer.close()
    await eventually_async(lambda: lines_of(caplog), message="it is said")
    assert lines_of(caplog) == [f"POST {DISPATCH.path}: the client hung up amid its body"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        head("Content-Length: many"),
        head("Content-Length: -1"),
        head("Content-Length: 5", "Content-Length: 6"),
        head("Content-Length: 5", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked") + b"zz\r\nrubbish",
        head("Transfer-Encoding: chunked") + b"5\r\nhellorubbish\r\n",
        head("Transfer-Encoding: sideways"),
        head("X-Long: " + "x" * 20_000),
        head(*(f"X-{number}: x" for number in range(500))),
        head("X-Bad\x00: x"),
        b"POST " + b"/" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x1b[2J\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_the_clients_fault_in_one_line(
    there: TestServer, caplog: pytest.LogCaptureFixture, request_bytes: bytes
) -> None:
    answer = await talk(there, request_bytes)
    assert answer.startswith(b"HTTP/1."), answer
    assert b" 4" in answer[:12], answer[:80]
    assert len(answer.partition(b"\r\n\r\n")[2].strip()) > 10, "it says why"
    assert len(lines_of(caplog)) <= 1


async def test_a_body_that_does_not_come_is_waited_for_so_long_and_no_longer(there: TestServer) -> None:
    reader, writer = await asyncio.open_connection(there.host, there.port)
    writer.write(head("Content-Length: 1000") + b"{")
    async with asyncio.timeout(WITHIN_S):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        await reader.readuntil(b'"reason":"too_slow"')
    writer.close()


async def test_a_body_that_says_it_will_be_too_large_is_not_waited_for(there: TestServer) -> None:
    reader, writer = await asyncio.open_connection(there.host, there.port)
    writer.write(head("Content-Length: 99999999999"))
    async with asyncio.timeout(WITHIN_S):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


@pytest.mark.parametrize("host", [b"a:b:c", b"\xff", b"localhost:x", b"\xe2\x80\xae", b"xn--", b"["])
async def test_a_host_that_is_none_is_the_clients_fault(
    there: TestServer, caplog: pytest.LogCaptureFixture, host: bytes
) -> None:
    answer = await talk(there, b"GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host)
    assert answer.split()[1] == b"421", answer
    assert lines_of(caplog) == []


async def test_a_query_that_is_no_text_is_the_clients_fault(there: TestServer) -> None:
    for query in (b"subjects=%ED%A0%BD", b"subjects=%FF", b"limit=%00", b"after=1.%ED%A0%BD", b"%FF=1"):
        answer = await talk(there, b"GET %s?%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                            % (PENDING.path.encode(), query))  # fmt: skip
        assert answer.split()[1] in (b"400", b"503"), answer
