"""Where each server comes from. Pure: what is so is handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SERVERS = ("kafka", "postgres", "clickhouse")


@dataclass(frozen=True)
class Choice:
    """The URLs that are given, and where the servers without one come from."""

    given: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    source: Literal["containers", "embedded"] = "embedded"


def choose(environment: Mapping[str, str], *, docker_answers: bool) -> Choice:
    """URLs in the environment first, then containers where a Docker engine answers, else the embedded servers."""
    given = {name: url for name in SERVERS if (url := environment.get(f"NORN_{name.upper()}", ""))}
    missing = tuple(name for name in SERVERS if name not in given)
    return Choice(given, missing, "containers" if docker_answers else "embedded")
