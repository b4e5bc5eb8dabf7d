"""A provider of models, over real HTTP on loopback, that fails as it is told to.

It speaks OpenAI's chat completions and Anthropic's messages. As a child process it prints its port:

    python -m streams.chaos.provider --port 0 --faults rate_limited=0.1,hang=0.05 --seed 7
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from streams.chaos.dialects import Answered, Anthropic, Dialect, OpenAI, answered
from streams.chaos.faults import Plan, UnknownFault

# What was asked is kept for whoever looks at it afterwards: as much as a test asks, not as much as a benchmark does.
ASKED_MAX = 1_000
BODY_MAX_BYTES = 4_000_000
ENDLESS_BYTES = 4_000_000
STARTED_WITHIN_S = 10.0
# Whoever still hangs when the provider stops is let go at once.
SHUTDOWN_S = 0.1


@dataclass
class Provider:
    """What the provider does and has done.

    `latency_s` passes before every answer, and `slow_s` before one that is slow. With a `key`, requests that bring
    another are refused. A provider that is not `structured` knows json_object but not json_schema, as DeepSeek's.
    """

    plan: Plan = field(default_factory=Plan)
    latency_s: float = 0.0
    slow_s: float = 1.0
    retry_after_s: float = 1.0
    key: str = ""
    structured: bool = True
    url: str = ""
    served: Counter[str] = field(default_factory=Counter)
    asked: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=ASKED_MAX))

    def application(self) -> web.Application:
        """The web application."""
        application = web.Application(client_max_size=BODY_MAX_BYTES)
        openai, anthropic = OpenAI(structured=self.structured), Anthropic()
        application.router.add_post("/v1/chat/completions", partial(self._serve, dialect=openai))
        application.router.add_post("/v1/messages", partial(self._serve, dialect=anthropic))
        application.router.add_get("/stats", self._stats)
        application.router.add_put("/plan", self._change_plan)
        return application

    def stats(self) -> dict[str, int]:
        """How many requests met what: "requests", "answered", "aborted" by the client, and each fault by name."""
        return dict(self.served)

    async def _stats(self, request: web.Request) -> web.Response:
        return _json(200, self.stats())

    async def _change_plan(self, request: web.Request) -> web.Response:
        """A new plan, {"shares": {"hang": 0.5}, "seed": 3}: the provider falls ill, or gets well."""
        told = orjson.loads(await request.read())
        try:
            self.plan = Plan(told.get("shares", {}), told.get("seed", self.plan.seed))
        except UnknownFault as error:
            return _json(400, {"error": str(error)})
        return _json(200, {"shares": dict(self.plan.shares), "seed": self.plan.seed})

    async def _serve(self, request: web.Request, dialect: Dialect) -> web.StreamResponse:
        number = self.served["requests"]
        self.served["requests"] += 1
        if self.key and dialect.key(request.headers) != self.key:
            self.served["refused"] += 1
            return _json(401, dialect.error(401, "the key is not the one that was given out"))
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            self.served["refused"] += 1
            return _json(400, dialect.error(400, "the request's body is not a JSON object"))
        self.asked.append(body)
        if isinstance(dialect, OpenAI) and dialect.lacks(body):
            self.served["refused"] += 1
            message = "This response_format type is unavailable now"
            return _json(400, dialect.error(400, message, "response_format"))
        fault = self.plan.fault(number)
        self.served[fault or "answered"] += 1
        try:
            return await self._answer(request, dialect, body, fault)
        except asyncio.CancelledError:
            self.served["aborted"] += 1
            raise

    async def _answer(self, request: web.Request, dialect: Dialect, body: Any, fault: str) -> web.StreamResponse:
        if fault == "hang":
            await asyncio.Event().wait()
        await asyncio.sleep(self.slow_s if fault == "slow" else self.latency_s)
        refusal = self._refusal(dialect, fault)
        if refusal is not None:
            return refusal
        if fault == "reset":
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return _json(200, _said(dialect, body, fault))

    def _refusal(self, dialect: Dialect, fault: str) -> web.Response | None:
        match fault:
            case "rate_limited":
                wait = {"Retry-After": f"{self.retry_after_s:g}"}
                return _json(429, dialect.error(429, "too many requests"), wait)
            case "rate_limited_blind":
                return _json(429, dialect.error(429, "too many requests"))
            case "queue_full":
                return _json(503, dialect.error(503, "the queue is full"))
            case "error":
                return _json(500, dialect.error(500, "it broke"))
            case "not_json":
                return web.Response(text="<html><h1>It works!</h1></html>", content_type="text/html")
            case "other_shape":
                return _json(200, {"result": ["yes"], "choices": "none", "content": 7})
            case "error_inside":
                return _json(200, dialect.error(500, "it broke while it was answering"))
            case "endless":
                return web.Response(body=b" " * ENDLESS_BYTES, content_type="application/json")
            case _:
                return None


def _said(dialect: Dialect, body: Any, fault: str) -> Any:
    good = answered(dialect, body)
    if fault in ("truncated", "length"):
        good = replace(good, text=good.text[: len(good.text) // 2], whole=fault == "truncated")
    elif fault == "prose":
        good = Answered("As you wish: I have thought about it, and the answer is yes.", True, good.prompt_tokens)
    return dialect.reply(body, good)


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(body), headers=headers, content_type="application/json", charset="utf-8"
    )


async def serve(provider: Provider, port: int = 0) -> web.AppRunner:
    """Serve on loopback until the runner's `cleanup`; port 0 takes a free one, and `provider.url` tells which."""
    # Only so does a handler learn that its client has gone away, which is how an abort is counted.
    runner = web.AppRunner(
        provider.application(), handler_cancellation=True, shutdown_timeout=SHUTDOWN_S, access_log=None
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner


@contextmanager
def started(provider: Provider | None = None) -> Iterator[Provider]:
    """A provider in a thread of its own, with a loop of its own; it has stopped when the block is left."""
    provider = provider or Provider()
    loop, ready = asyncio.new_event_loop(), threading.Event()
    stopping = asyncio.Event()

    async def live() -> None:
        runner = await serve(provider)
        ready.set()
        try:
            await stopping.wait()
        finally:
            await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(live()), name="chaos-provider", daemon=True)
    thread.start()
    if not ready.wait(STARTED_WITHIN_S):
        raise TimeoutError(f"the provider did not start within {STARTED_WITHIN_S:g} s")
    try:
        yield provider
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


def main() -> None:
    """Serve until the process is ended; the first line of its output is the port."""
    parser = argparse.ArgumentParser(prog="python -m streams.chaos.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--faults", default="", help="shares of faults, such as error=0.1,hang=0.05")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--slow-ms", type=float, default=1_000)
    parser.add_argument("--retry-after-s", type=float, default=1)
    parser.add_argument("--no-json-schema", action="store_true", help="know json_object alone")
    told = parser.parse_args()
    provider = Provider(
        Plan.of(told.faults, told.seed),
        latency_s=told.latency_ms / 1000,
        slow_s=told.slow_ms / 1000,
        retry_after_s=told.retry_after_s,
        structured=not told.no_json_schema,
    )
    asyncio.run(_for_ever(provider, told.port))


async def _for_ever(provider: Provider, port: int) -> None:
    runner = await serve(provider, port)
    print(provider.url.rpartition(":")[2], flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
