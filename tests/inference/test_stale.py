"""A server that closes a kept connection just as it is asked: asked again at once, and paid for once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
import pytest

from inference.bill import Bill
from inference.budget import Amount
from inference.engines import EngineBusy, OpenAI
from inference.engines.http import BACKOFF_S
from inference.prices import Prices
from tests.inference.providing import CHOSEN, Naps, asking
from tests.inference.serving import asked

PRICES = Prices.of({"my-model": 0.15})
ANSWER = {
    "choices": [{"message": {"content": CHOSEN}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
}
MANY = 20


class Server:
    """Answers each connection's first request, and closes it as soon as the next one comes in."""

    def __init__(self, *, also_new: bool = False, late_s: float = 0.0) -> None:
        self.connections = 0
        self.answered = 0
        self._also_new = also_new
        self._late_s = late_s

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if await self._read(reader) and not self._also_new:
                body = orjson.dumps(ANSWER)
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
                self.answered += 1
                await self._read(reader)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._late_s):
                        await asyncio.Event().wait()
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> bool:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        return True


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


async def paid(engine: OpenAI) -> Amount:
    bill = Bill(Amount(4, 1_000_000), prices=PRICES)
    done = await engine.complete(asking(bill=bill))
    assert done.text == CHOSEN
    return bill.total


async def test_it_is_asked_again_at_once_and_charged_once() -> None:
    server, naps = Server(), Naps()
    async with serving(server) as url, asked(url, naps) as engine:
        paid_for = [await paid(engine) for _ in range(MANY)]
    assert naps.taken_s == []
    assert server.answered == MANY
    assert paid_for == [Amount(1, PRICES.cost_usd_micros("my-model", 100, 20, 0))] * MANY


async def test_a_new_connection_that_breaks_is_a_failure_as_before() -> None:
    server, naps = Server(also_new=True), Naps()
    async with serving(server) as url, asked(url, naps) as engine:
        bill = Bill(prices=PRICES)
        with pytest.raises(EngineBusy, match="cannot be reached"):
            await engine.complete(asking(bill=bill))
    assert server.connections == 1 + len(BACKOFF_S) == len(bill.calls)
    assert all(call.outcome == "unknown" for call in bill.calls)


async def test_a_kept_connection_that_breaks_while_the_model_may_be_at_work_is_paid_for_at_worst() -> None:
    server, naps = Server(late_s=0.7), Naps()
    async with serving(server) as url, asked(url, naps) as engine:
        await paid(engine)
        assert (await paid(engine)).calls == 2
    assert len(naps.taken_s) == 1
