"""The live view of a running world in a terminal. Pure: a snapshot in, what to show out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streams.groups import FOLD
from streams.harmless import harmless

#: How many of the latest decisions fit beside the rest.
DECISIONS_SHOWN = 6
HEROES_SHOWN = 8
USD_MICROS = 1_000_000
#: Rates follow a change within some seconds.
RATE_SMOOTHED_OVER_S = 3.0


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker, as it says it is; `health` is "starting" until it says anything."""

    role: str
    health: str = "starting"
    why: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is to show at one moment."""

    elapsed_s: float = 0.0
    #: Events in the log and in Postgres, and how many more each second.
    in_log: int = 0
    in_log_per_s: float = 0.0
    folded: int = 0
    folded_per_s: float = 0.0
    lag_s: float = 0.0
    holes: int = 0
    dead_letters: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    spent_usd_micros: int = 0
    leaderboard: Sequence[Mapping[str, Any]] = ()
    decisions: Sequence[Mapping[str, Any]] = ()
    workers: Sequence[WorkerLine] = ()
    places: Mapping[str, str] = field(default_factory=dict)


def snapshot(
    statuses: Mapping[str, Mapping[str, Any]],
    workers: Sequence[WorkerLine],
    previous: Snapshot,
    elapsed_s: float,
) -> Snapshot:
    """What the workers' statuses, by role, say about the world. A world that nobody speaks for stays as it was."""
    said = statuses.get("fold") or next(iter(statuses.values()), None)
    if said is None:
        return Snapshot(elapsed_s=elapsed_s, workers=workers, places=previous.places)
    fold: Mapping[str, Any] = next((group for group in said["groups"] if group["group"] == FOLD), {})
    # A worker that has just started has not asked where the log ends.
    in_log = sum(part["end_offset"] or 0 for part in said["partitions"] if part["group"] == FOLD) or previous.in_log
    folded = fold.get("events", 0)
    passed_s = elapsed_s - previous.elapsed_s
    latencies = statuses.get("fold", {})
    return Snapshot(
        elapsed_s=elapsed_s,
        in_log=in_log,
        in_log_per_s=_rate(previous.in_log_per_s, previous.in_log, in_log, passed_s),
        folded=folded,
        folded_per_s=_rate(previous.folded_per_s, previous.folded, folded, passed_s),
        lag_s=fold.get("lag_s", 0.0),
        holes=fold.get("holes", 0),
        dead_letters=said["dead_letters"],
        p50_ms=latencies.get("p50_ms"),
        p99_ms=latencies.get("p99_ms"),
        spent_usd_micros=said["spent_usd_micros"],
        leaderboard=said["lists"].get("leaderboard", ()),
        decisions=said["lists"].get("decisions", ()),
        workers=workers,
        places=previous.places,
    )


def _rate(before: float, was: int, now: int, passed_s: float) -> float:
    """Events a second, smoothed: what is counted once a second and looked at twice would else jump from 0 to double."""
    if not was or passed_s <= 0:
        return before
    return before + (max(now - was, 0) / passed_s - before) * (1 - exp(-passed_s / RATE_SMOOTHED_OVER_S))


def render(now: Snapshot) -> RenderableType:
    """The whole view."""
    parts: list[RenderableType] = [_figures(now), _workers(now), _leaderboard(now), _chronicle(now), _places(now)]
    return Group(*parts)


def line(now: Snapshot) -> str:
    """The same in one line, for where there is no terminal."""
    return (
        f"{now.elapsed_s:4.0f} s  in the log {now.in_log:,} ({now.in_log_per_s:,.0f}/s)"
        f"  folded {now.folded:,} ({now.folded_per_s:,.0f}/s)  lag {now.lag_s:.1f} s"
        f"  spent {usd(now.spent_usd_micros)}"
    )


def usd(micros: int) -> str:
    """Money in dollars, to the micro-dollar."""
    return f"${micros / USD_MICROS:,.6f}"


def chronicle(decision: Mapping[str, Any]) -> str:
    """One decision in words: the line of chronicle, where it has one."""
    try:
        content = json.loads(decision.get("content") or "{}")
    except ValueError:
        content = {}
    said = content.get("line") if isinstance(content, dict) else None
    return str(said or decision.get("action") or decision.get("status") or "")


def _figures(now: Snapshot) -> RenderableType:
    table = Table.grid(expand=True)
    latency = "-" if now.p99_ms is None else f"{now.p50_ms:,.0f} / {now.p99_ms:,.0f} ms"
    figures = (
        ("events/s in", f"{now.in_log_per_s:,.0f}"),
        ("events/s folded", f"{now.folded_per_s:,.0f}"),
        ("lag", f"{now.lag_s:.1f} s"),
        ("to Postgres, p50 / p99", latency),
        ("in the log", f"{now.in_log:,}"),
        ("holes", f"{now.holes:,}"),
        ("dead letters", f"{now.dead_letters:,}"),
        ("spent", usd(now.spent_usd_micros)),
    )
    for _ in figures:
        table.add_column(justify="center")
    table.add_row(*(Text(value, style="bold") for _, value in figures))
    table.add_row(*(Text(name, style="dim") for name, _ in figures))
    return Panel(table, title=f"norn · {now.elapsed_s:.0f} s", border_style="cyan")


def _workers(now: Snapshot) -> RenderableType:
    styles = {"ok": "green", "starting": "yellow", "waiting": "yellow", "stuck": "red"}
    text = Text()
    for worker in now.workers:
        text.append(f" {worker.role} ", style="bold")
        text.append(worker.health, style=styles.get(worker.health, "red"))
        if worker.restarts:
            text.append(f" (started again {worker.restarts} times)", style="red")
        if worker.health in ("waiting", "stuck") and worker.why:
            text.append(f": {harmless(worker.why)}", style="dim")
        text.append("  ")
    return text


def _leaderboard(now: Snapshot) -> RenderableType:
    table = Table(box=None, expand=True, header_style="bold", pad_edge=False)
    for name in ("#", "hero"):
        table.add_column(name)
    for name in ("score", "level", "gold"):
        table.add_column(name, justify="right")
    for row in now.leaderboard[:HEROES_SHOWN]:
        table.add_row(*(_plain(row.get(name)) for name in ("rank", "player", "score", "level", "gold")))
    return Panel(table, title="leaderboard", border_style="dim")


def _chronicle(now: Snapshot) -> RenderableType:
    table = Table(box=None, expand=True, header_style="bold", pad_edge=False)
    table.add_column("hero", no_wrap=True)
    table.add_column("the chronicler's decision", ratio=1)
    table.add_column("answered by", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for row in now.decisions[:DECISIONS_SHOWN]:
        cells = (row.get("subject"), chronicle(row), row.get("route"), row.get("status"))
        table.add_row(*map(_plain, cells))
    return Panel(table, title="last decisions", border_style="dim")


def _places(now: Snapshot) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, url in now.places.items():
        table.add_row(Text(name, style="dim"), Text(url))
    return table


def _plain(value: Any) -> Text:
    """Text that players may have chosen: never markup, and nothing that steers a terminal."""
    if isinstance(value, int):
        return Text(f"{value:,}")
    return Text(harmless(str(value or "")))
