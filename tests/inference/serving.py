"""What the tests of engines over HTTP share: an engine that is closed afterwards, and a server told what to reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from inference.engines import OpenAI
from tests.inference.providing import CHOSEN, Naps

GOOD = {"choices": [{"message": {"content": CHOSEN}, "finish_reason": "stop"}], "usage": {}}


@asynccontextmanager
async def asked(url: str, naps: Naps | None = None, **changes: Any) -> AsyncIterator[OpenAI]:
    engine = OpenAI("my-model", f"{url}/v1", sleep=(naps or Naps()).sleep, **changes)
    try:
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def replying(
    *replies: web.Response | dict[str, Any], path: str = "/v1/chat/completions"
) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives these replies in order, the last one again and again, and keeps what it was asked."""
    bodies: list[dict[str, Any]] = []

    async def reply(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        given = replies[min(len(bodies), len(replies)) - 1]
        if isinstance(given, dict):
            return web.json_response(given)
        return web.Response(status=given.status, body=given.body, headers=given.headers)

    application = web.Application()
    application.router.add_post(path, reply)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", bodies
    finally:
        await runner.cleanup()


def refusal(status: int, message: str, parameter: str | None = None, code: str | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "param": parameter, "code": code}}, status=status)
