"""Running a policy in tests: events with stamps in order, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from google.protobuf.message import Message

from schemas import ClockTicked, Event, fact_name
from schemas.stamps import pack
from streams.policy import Policy, State

DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
#: Midnight of a day, UTC.
MIDNIGHT_MS = 1_767_225_600_000


def event(fact: Message, subject: str = "hero", at_ms: int = MIDNIGHT_MS) -> Event:
    """An event of a fact that happened then."""
    happened = Event(id=bytes(16), subject=subject, stamp=pack(at_ms), region="local", origin="o", sequence=1)
    getattr(happened, fact_name(fact)).CopyFrom(fact)
    return happened


def tick(time_ms: int) -> Event:
    """A tick of the world's clock, stamped as it says."""
    return event(ClockTicked(time_ms=time_ms), "world", time_ms)


def run(policy: Policy, events: Iterable[Event], state: State | None = None) -> tuple[State, list[tuple[str, Any]]]:
    """React to all of them; between two events the state goes through JSON, as it does through a restart."""
    state = state or {}
    said: list[tuple[str, Any]] = []
    for happened in events:
        if happened.WhichOneof("fact") not in policy.facts:
            continue
        before = orjson.dumps(state)
        after, told = policy.react(state, happened)
        assert orjson.dumps(state) == before, "a policy never changes a state in place"
        state = orjson.loads(orjson.dumps(after))
        said += told
    return state, said
