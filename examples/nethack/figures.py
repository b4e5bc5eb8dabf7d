"""The server's figures: how much was played, what was published, and what became of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.nethack.server import Server
from streams.sdk import Producer


class Figures:
    """Counts from the moment it is made."""

    def __init__(self, producer: Producer, server: Server, seed: int) -> None:
        self._producer = producer
        self._server = server
        self._seed = seed
        self._started = time.monotonic()
        self._ended: float | None = None
        # What an earlier life could not send goes out before anything of this life, and is not of its making; some of
        # it may be out already, and some events of this life are made.
        found = producer.counters
        self._inherited = found.spilled + found.queued + found.sent - server.by_fact.total()

    def end(self) -> None:
        """Playing is over; what is still to be sent takes no more time from it."""
        self._ended = time.monotonic()

    def now(self) -> dict[str, Any]:
        """The figures, for people and for JSON."""
        server, producer, counters = self._server, self._producer, self._producer.counters
        return {
            "seconds": round((self._ended or time.monotonic()) - self._started, 3),
            "seed": self._seed,
            "heroes": server.heroes,
            "steps": server.steps,
            "deaths": server.deaths,
            "events_produced": server.by_fact.total(),
            "acknowledged": max(0, counters.sent - self._inherited),
            "queued": counters.queued,
            "spilled": counters.spilled,
            "refused": counters.refused,
            "trouble": producer.trouble,
            "origin": producer.origin,
            "by_fact": dict(server.by_fact.most_common()),
            "sent_by_partition": {f"{topic}:{n}": sent for (topic, n), sent in producer.sent_by_partition.items()},
        }

    def playing(self) -> list[dict[str, Any]]:
        """How things stand with each hero at play."""
        return [
            {
                "subject": player.subject,
                "zone": player.now.zone,
                "depth": player.now.depth,
                "experience_level": player.now.experience_level,
                "health": player.now.health,
                "health_max": player.now.health_max,
                "gold": player.now.gold,
                "score": player.now.score,
                "turn": player.now.turn,
            }
            for player in self._server.players
        ]


def rewrite(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file in one go, so that whoever reads it never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(content))
    beside.replace(path)


def text(figures: Mapping[str, Any]) -> str:
    """The figures, one a line."""
    lines = []
    for name, figure in figures.items():
        shown = ", ".join(f"{key} {count:,}" for key, count in figure.items()) if isinstance(figure, dict) else figure
        lines.append(f"{name:18} {shown:,}" if isinstance(shown, int) else f"{name:18} {shown}")
    return "\n".join(lines)
