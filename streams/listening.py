"""Where a process listens: a port is taken by listening on it, never looked for first and taken later."""

from __future__ import annotations

import errno
import socket

from schemas import PermanentError
from streams.config import Settings

#: How many ports after the default one are tried before any free one is taken: more workers than a machine has cores.
NEXT_PORTS = 64
#: Connections that wait while a worker is still starting.
BACKLOG = 128


class PortTaken(PermanentError):
    """The port that was asked for is in use."""

    reason = "port_taken"


class CannotListen(PermanentError):
    """An address that this machine, or this account, cannot listen on."""

    reason = "cannot_listen"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises PortTaken and CannotListen.

    It listens and is not bound alone: Linux lets two sockets bind one port, and refuses the second that listens.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"something else listens on port {port} of {host}") from None
        raise CannotListen(f"cannot listen on port {port} of {host}: {error.strerror or error}") from None


def web_socket(settings: Settings, wanted: int | None = None) -> socket.socket:
    """A listening socket for a web view, on the port `wanted`, else on NORN_WEB_PORT.

    Where neither is given: on the default port, the first after it that is free, or any. Raises PortTaken when
    something listens on the one that was asked for, and CannotListen.
    """
    asked = wanted is not None or "web_port" in settings.model_fields_set
    port = settings.web_port if wanted is None else wanted
    candidates = [port] if asked else [*range(port, port + NEXT_PORTS), 0]
    for candidate in candidates:
        try:
            return listen(settings.web_host, candidate)
        except PortTaken:
            continue
    raise PortTaken(
        f"something else listens on port {port}, which the web view was to have: stop it, or choose another port with"
        " NORN_WEB_PORT or --web-port; 0 takes a free one"
    )


def port_of(listening: socket.socket) -> int:
    """The port that a socket listens on."""
    port: int = listening.getsockname()[1]
    return port
