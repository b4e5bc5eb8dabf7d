"""What every HTTP server of ours is careful of: who is answered, with which headers, what is logged of bad requests."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from streams.harmless import harmless

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{0,5})?")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(host: str) -> bool:
    """Whether this host, a name or an address with or without brackets, is this machine to itself."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def refuse_other_hosts(listens_at: str, said: str) -> list[Middleware]:
    """A middleware for a server that listens on this machine only: it answers to this machine's own names only.

    A page elsewhere could else read ours under a name of its own (DNS rebinding). listens_at: the host that the server
    binds to; one that listens elsewhere is given no middleware.  said: what others are told.
    """

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_loopback(_asked_for(request)):
            raise web.HTTPMisdirectedRequest(text=said)
        return await handler(request)

    return [refuse] if is_loopback(listens_at) else []


def _asked_for(request: web.Request) -> str:
    """The host that a request names, lower-case; "" for what is no host at all, which aiohttp would raise for."""
    named = request.rel_url.raw_host
    if named is not None:
        return named.lower()
    header = request.headers.get("Host")
    # HTTP/1.0 has none. No page can leave it out, so a program of this machine's asks.
    found = _HOST.fullmatch("localhost" if header is None else header)
    return found[1].lower() if found else ""


def add_headers(headers: Mapping[str, str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """For `on_response_prepare`: these headers in every answer."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)

    return add


class _OneLine(logging.Filter):
    """A request that is no HTTP is its sender's fault: a line says so, where aiohttp would print a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | ConnectionError):
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
            record.msg = f"{harmless(record.getMessage())}: {harmless(' '.join(str(error).split()))}"
            record.args = record.exc_info = record.exc_text = None
        return True


#: For aiohttp's `logger`: what its server says of requests that never reach a handler.
request_log = logging.getLogger(__name__)
request_log.addFilter(_OneLine())
