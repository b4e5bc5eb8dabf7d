"""How figures are written for people. `page.js` writes them the same way; a test compares the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

UNKNOWN = "–"  # noqa: RUF001 - the sign for what is not known


def _count(value: float) -> str:
    # Halves go up, as in the browser.
    return f"{int(value + 0.5):,}"


def _tenths(value: float) -> str:
    return f"{value:,.1f}"


def _usd(micros: int) -> str:
    whole, rest = divmod(micros, 1_000_000)
    return f"${whole:,}.{rest:06}"


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s" if minutes else f"{left} s"


SHOWN: Mapping[str, Callable[[Any], str]] = {
    "text": str,
    "prose": str,
    "count": _count,
    "seconds": _tenths,
    "rate": _count,
    "ms": _tenths,
    "mb": _count,
    "usd": _usd,
    "time": _time,
    "duration": _duration,
    "state": str,
}


def shown(value: Any, kind: str) -> str:
    """A value as people read it; kinds are those of SHOWN."""
    return UNKNOWN if value is None or value == "" else SHOWN[kind](value)
