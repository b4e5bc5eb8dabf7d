"""What every peer does with an event, so that all do the same work; and when a peer has done enough."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from schemas.gen.norn.v1.event_pb2 import Event

State = dict[str, Any]


def step(state: State | None, value: bytes) -> State:
    """A player's state after one more event."""
    event = Event.FromString(value)
    state = dict(state) if state else {"score": 0, "gold": 0, "stamp": 0, "zone": "", "x": 0.0, "y": 0.0}
    match event.WhichOneof("fact"):
        case "player_scored":
            state["score"] += event.player_scored.points
        case "gold_gained":
            state["gold"] += event.gold_gained.amount
        case "gold_spent":
            state["gold"] -= event.gold_spent.amount
        case "player_moved" if event.stamp > state["stamp"]:
            moved = event.player_moved
            state.update(stamp=event.stamp, zone=moved.zone, x=moved.x, y=moved.y)
    return state


class Meter:
    """Counts events; when there were enough, or time is up, prints the rate and leaves the process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._enough, self._seconds = int(sys.argv[3]), float(sys.argv[4])
        self._began: float | None = None
        self._count = 0

    def add(self, events: int) -> None:
        """Count events that have been folded."""
        now = time.monotonic()
        if self._began is None:
            # The first events are start-up.
            self._began = now
            return
        self._count += events
        if self._count >= self._enough * 0.95 or now - self._began >= self._seconds:
            per_s = round(self._count / (now - self._began))
            print(json.dumps({"peer": self._name, "events_per_s": per_s, "events": self._count}), flush=True)
            os._exit(0)


def arguments() -> tuple[str, str]:
    """The bootstrap servers and the topic."""
    return sys.argv[1], sys.argv[2]
