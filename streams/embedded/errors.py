"""What can go wrong with the embedded servers; every message says what to do.

NornError
└── ServersError
    ├── ServersNotRunning     no address is known: start a set, or give the URLs
    ├── ServerFailed          a server did not start; the message carries the last lines of its log
    │   └── ServerStalled     it hangs: it neither ended nor got on
    └── MissingPart           a package or program is not installed; the message carries the command that mends it
"""

from __future__ import annotations

from schemas import NornError


class ServersError(NornError):
    """The root of the errors about embedded servers."""

    reason = "servers"


class ServersNotRunning(ServersError):
    """No running set where one was expected."""

    reason = "servers_not_running"


class ServerFailed(ServersError):
    """A server that did not start."""

    reason = "server_failed"


class ServerStalled(ServerFailed):
    """A server that neither became ready nor ended, and did nothing any more."""

    reason = "server_stalled"


class MissingPart(ServersError):
    """Something to install first."""

    reason = "missing_part"
