"""Lots: what a day of the world draws, where, and how much of it. The same day always draws the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from inference.agent import Context
from inference.buckets import bucket
from inference.complexity import drawn
from inference.reading import number, pairs

T = TypeVar("T")
#: Zones and how often each was visited.
Places = Sequence[tuple[str, int]]

#: From so many players on a day brings as much as it ever does (spec C.17: content adapts to the number of players).
FULL_HOUSE = 20
# Where something happens on a day on which hardly anybody has been anywhere.
_FIRST_LEVELS = tuple(f"Dungeons of Doom {level}" for level in range(1, 6))
_LOTS = 2**64


def lot(*of: object) -> int:
    """A number below 2**64 that the given values draw."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, of)).encode(errors="replace")).digest()[:8])


def one_of(choices: Sequence[T], *of: object) -> T:
    """One of the choices."""
    return choices[lot(*of) % len(choices)]


def between(low: int, high: int, *of: object) -> int:
    """A whole number from `low` to `high`, both included."""
    return low + lot(*of) % (high - low + 1)


def tiered(shares: Mapping[float, float], context: Context, agent: str, *fields: str) -> float:
    """A score by the shares laid down for an agent's tiers, as the lot falls for what the named fields hold."""
    return drawn(shares, lot(agent, *map(context.get, fields)))


def scaled(low: int, high: int, context: Context) -> int:
    """A whole number from `low`, when nobody plays, to `high`, for a full house."""
    return low + (high - low) * number(context, "players", high=FULL_HOUSE) // FULL_HOUSE


def places_of(context: Context, least: int = 1) -> Places:
    """Where players have been; the first levels besides while that is in fewer than `least` places (at most five)."""
    visited = dict(reversed(pairs(context, "places")))
    unvisited = [zone for zone in _FIRST_LEVELS if zone not in visited][: max(0, least - len(visited))]
    return [*sorted(visited.items(), key=lambda place: -place[1]), *((zone, 0) for zone in unvisited)]


def some_of(places: Places, count: int, *of: object) -> Places:
    """Distinct places, each the likelier the more it is visited (Efraimidis and Spirakis, 2006: weighted sampling)."""
    chances = {zone: (lot(zone, *of) / _LOTS) ** (1 / (visits + 1)) for zone, visits in places}
    return sorted(places, key=lambda place: -chances[place[0]])[:count]


def by_activity(places: Places, count: int) -> list[tuple[str, int]]:
    """A place for each of `count` things, shared out as seats are by votes (D'Hondt): more visits never mean fewer."""
    shares = dict.fromkeys((zone for zone, _ in places), 0)
    for _ in range(count):
        zone, _visits = max(places, key=lambda place: (place[1] + 1) / (shares[place[0]] + 1))
        shares[zone] += 1
    return [place for place in places for _ in range(shares[place[0]])]


def activity(visits: int) -> str:
    """How busy a place is."""
    return bucket(visits, (10, 50), ("quiet", "busy", "crowded"))
