"""The views: one page for people, and the same as JSON, Prometheus text and probes for machines. All are GET."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from faust.web.base import BlueprintManager
from faust.web.drivers.aiohttp import Web
from jinja2 import Environment, StrictUndefined
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.harmless import harmless_all
from streams.http_guard import add_headers, refuse_other_hosts
from streams.status import STUCK_AFTER_S, Partition
from streams.web.packaged import packaged
from streams.web.reading import Figures
from streams.web.shown import shown
from streams.web.watch import Watch

if TYPE_CHECKING:
    from streams.app import NornApp

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ELSEWHERE = "this page answers to localhost; NORN_WEB_HOST lets it listen elsewhere"

#: Files served as they are: path, content type.
FILES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}

Gauge = tuple[str, str, Callable[[Partition, Figures], float | None]]
GAUGES: tuple[Gauge, ...] = (
    ("norn_lag_events", "Events that wait.", lambda found, _: found.lag_events),
    ("norn_lag_seconds", "The age of the oldest event that waits; 0 when none does.", lambda found, _: found.lag_s),
    (
        "norn_staleness_seconds",
        "How long events have waited without one being taken up.",
        lambda found, _: found.staleness_s,
    ),
    ("norn_holes", "Events missing from what was read.", lambda found, figures: figures.dots_of(found).holes),
)


def attach(app: NornApp, *, stuck_after_s: float = STUCK_AFTER_S) -> None:
    """Give a worker's app its web view; call it once, while the app is put together."""
    watch = Watch(app.shell, stuck_after_s)
    # Faust's own pages tell of tables, which Norn has none of; and it would listen on every interface.
    app.web.blueprints = BlueprintManager()
    app.conf.web_bind = app.shell.settings.web_host
    server: web.Application = cast(Web, app.web).web_app
    server.cleanup_ctx.append(watch.running)
    server.on_response_prepare.append(add_headers(HEADERS))
    server.middlewares.extend(refuse_other_hosts(app.shell.settings.web_host, _ELSEWHERE))
    registry = app.shell.metrics.registry
    registry.register(Progress(watch))
    ProcessCollector(registry=registry)
    views = Views(app, watch)
    pages: dict[str, Any] = {
        "/": views.page,
        "/api/status": views.status,
        "/metrics": views.metrics,
        "/healthz": views.healthz,
        "/readyz": views.readyz,
        **{f"/{name}": _file(packaged(name), content_type) for name, content_type in FILES.items()},
    }
    for path, handler in pages.items():
        app.page(path, name=path)(handler)


def serve_on(app: NornApp, listening: socket.socket) -> None:
    """Let a worker's web view answer on a socket that listens already, so that nothing takes its port meanwhile."""
    driver = cast(Web, app.web)
    driver._transport_handlers = {"tcp": lambda: web.SockSite(driver._runner, listening)}


class Views:
    """The handlers."""

    def __init__(self, app: NornApp, watch: Watch) -> None:
        self._app = app
        self._watch = watch
        self._registry: CollectorRegistry = app.shell.metrics.registry
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters["shown"] = shown
        self._page = environment.from_string(packaged("page.html"))

    async def page(self, request: web.Request) -> web.Response:
        """The page."""
        return web.Response(text=self._page.render(status=await self._status()), content_type="text/html")

    async def status(self, request: web.Request) -> Any:
        """What the page shows, as JSON."""
        return self._app.web.json(await self._status())

    async def _status(self) -> Any:
        # Escaping for HTML leaves the marks of writing direction as they are; and the JSON is for the page's script and
        # for the live view in a terminal.
        return harmless_all(await self._watch.status())

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus's text format."""
        await self._watch.figures()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(self, request: web.Request) -> web.Response:
        """200 while the worker's loop runs, which is what answers, and is not stopping."""
        return _probe([f"the worker is {self._app.state}"] if self._app.should_stop else [])

    async def readyz(self, request: web.Request) -> web.Response:
        """200 when the worker has its share of the log and waits for no server."""
        reasons = [f"waits for {server}: {reason}" for server, reason in self._watch.waiting.items()]
        if not self._watch.assigned:
            reasons.append("waits for its share of the log")
        return _probe(reasons)


class Progress(Collector):
    """How far every group has come, for Prometheus: read off the watch when it is asked for."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge a figure, labelled with group, topic and partition."""
        for name, text, read in GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=["group", "topic", "partition"])
            for found in self._watch.partitions:
                value = read(found, self._watch.last_figures)
                if value is not None:
                    gauge.add_metric([found.group, found.topic, str(found.partition)], value)
            yield gauge


def _probe(reasons: list[str]) -> web.Response:
    return web.Response(text="\n".join(reasons) or "ok", status=503 if reasons else 200)


def _file(text: str, content_type: str) -> Callable[..., Awaitable[web.Response]]:
    async def serve(view: Any, request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=content_type)

    return serve
