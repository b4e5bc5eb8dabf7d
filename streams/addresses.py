"""Where the three servers are: what a worker, a bridge or a command is told, however the servers were started."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the three servers are."""

    #: host:port, or several with commas between.
    kafka: str
    #: postgresql://user:password@host:port/database
    postgres: str
    #: http://host:port
    clickhouse: str
