"""The bridge's server: everything it is made of, put together once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Middleware

from schemas import PermanentError, TemporaryError
from streams.addresses import Servers
from streams.bridge.bodies import BODY_WITHIN_S
from streams.bridge.bridge import Bridge
from streams.bridge.limits import Limit
from streams.bridge.meters import Meters
from streams.bridge.problems import answer_problems
from streams.bridge.publisher import PUBLISH_TIMEOUT_S, Publisher
from streams.bridge.routes import Routes
from streams.bridge.store import Store
from streams.bridge.wire import BODY_BYTES_MAX
from streams.clock import Clock
from streams.config import Settings
from streams.http_guard import Handler, add_headers, refuse_other_hosts, request_log

SECOND_S, MINUTE_S = 1.0, 60.0
# What is under way when the bridge is told to stop is finished within a publication's time.
STOP_WITHIN_S = 10.0

# A client that is still sending what was refused has so long to read why.
LINGER_S = 2.0
# A list of SUBJECTS_MAX subjects of 256 bytes each, every byte of them written as %xx, and room for the rest.
LINE_BYTES_MAX = 96 * 1024

#: How HTTP itself is read. Bodies are unpacked by us, who can say what is wrong with one and stop at the limit; and a
#: batch that is being taken is taken to its end, whether its client is still there or not.
HTTP = {
    "max_line_size": LINE_BYTES_MAX,
    "auto_decompress": False,
    "handler_cancellation": False,
    "lingering_time": LINGER_S,
    "logger": request_log,
}
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_ELSEWHERE = "the bridge answers to localhost; NORN_BRIDGE_HOST lets it listen elsewhere"


class PortTaken(PermanentError):
    """Where the bridge is to listen somebody else does, or nobody may."""

    reason = "port_taken"


def create_app(
    settings: Settings,
    servers: Servers,
    *,
    publish_timeout_s: float = PUBLISH_TIMEOUT_S,
    body_within_s: float = BODY_WITHIN_S,
) -> web.Application:
    """The bridge as an application; it waits for no server, and says on each request which one is away."""
    clock, meters = Clock(), Meters()
    store, publisher = Store(servers.postgres), Publisher(servers.kafka, publish_timeout_s)
    player_limit = Limit(settings.bridge_player_actions_per_second, SECOND_S)
    bridge = Bridge(store, publisher, clock, settings.region, player_limit)
    limit = Limit(settings.bridge_requests_per_minute, MINUTE_S)
    routes = Routes(bridge, lambda: _waits_for(store, publisher), limit, clock, meters, body_within_s)

    async def running(_: web.Application) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(bridge.sweep())
        yield
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping
        publisher.close()
        await store.close()

    middlewares = [_metered(meters, clock), answer_problems, *refuse_other_hosts(settings.bridge_host, _ELSEWHERE)]
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=middlewares, handler_args=HTTP)
    app.cleanup_ctx.append(running)
    app.on_response_prepare.append(add_headers(HEADERS))
    for operation, handler in routes.table():
        app.router.add_route(operation.method, operation.path, handler, name=operation.name)
    return app


def run(settings: Settings, servers: Servers, port: int) -> None:
    """Serve until SIGINT or SIGTERM. Raises PortTaken."""
    asyncio.run(serve(create_app(settings, servers), settings.bridge_host, port))


async def serve(app: web.Application, host: str, port: int) -> None:
    """Serve an application until SIGINT or SIGTERM, and then what is under way. Raises PortTaken."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_WITHIN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise PortTaken(
            f"{host}:{port} cannot be listened at ({error.strerror}): NORN_BRIDGE_PORT says where"
        ) from None
    await ended.wait()
    await runner.cleanup()


async def _waits_for(store: Store, publisher: Publisher) -> list[str]:
    reasons = []
    if away := await publisher.reach():
        reasons.append(f"waits for Kafka: {away}")
    try:
        async with store.transaction() as connection:
            await store.left_behind(connection, 0.0)
    except TemporaryError as error:
        reasons.append(f"waits for Postgres: {error}")
    return reasons


def _metered(meters: Meters, clock: Clock) -> Middleware:
    @web.middleware
    async def metered(request: web.Request, handler: Handler) -> web.StreamResponse:
        began_s = clock.monotonic_s()
        answer = await handler(request)
        meters.answered(request.match_info.route.name or "none", answer.status, clock.monotonic_s() - began_s)
        return answer

    return metered
