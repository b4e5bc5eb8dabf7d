"""Flow: how much of each tier is in hand, and when no more of it is taken up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

log = logging.getLogger(__name__)

# Taken up again at half: often enough that no engine runs dry, seldom enough that partitions are not switched for each
# answer.
LOW_WATER_SHARE = 0.5


class Tap(Protocol):
    """Stops a tier's requests in the broker, and lets them come again."""

    def close(self, tier: str) -> None:
        """Fetch no more of the tier's requests."""

    def open(self, tier: str) -> None:
        """Fetch them again."""

    def served(self) -> set[str]:
        """The tiers of which this worker has partitions at present."""


class Flow:
    """Counts what is in hand by tier. A full tier's tap is closed while another has room, so that none waits for it.

    When every tier is full there is no room at all: then no further poll is taken, and the taps may stay as they are.
    """

    def __init__(self, high_water: Mapping[str, int], tap: Tap) -> None:
        """`high_water`: from how many on a tier is full."""
        self.in_hand = dict.fromkeys(high_water, 0)
        self.room = asyncio.Event()
        self.room.set()
        self._high_water = high_water
        self._tap = tap
        self._full: set[str] = set()
        self._closed: set[str] = set()
        self._over = False

    def began(self, tier: str) -> None:
        """One more is in hand."""
        self.in_hand[tier] += 1
        if tier not in self._full and self.in_hand[tier] >= self._high_water[tier]:
            self._full.add(tier)
            log.info("%s is full: %d requests are in hand", tier, self.in_hand[tier])
            self._adjust()

    def ended(self, tier: str) -> None:
        """One is done with."""
        if self._over:
            return
        self.in_hand[tier] -= 1
        if tier in self._full and self.in_hand[tier] <= self._high_water[tier] * LOW_WATER_SHARE:
            self._full.discard(tier)
            self._adjust()

    def end(self) -> None:
        """Everything is dropped: open what was closed, and count no more."""
        self._over = True
        self.in_hand = dict.fromkeys(self.in_hand, 0)
        self._full.clear()
        self._adjust()

    def _adjust(self) -> None:
        if self._full and self._full >= self._tap.served():
            self.room.clear()
            return
        self.room.set()
        for tier in self._full - self._closed:
            self._tap.close(tier)
        for tier in self._closed - self._full:
            self._tap.open(tier)
        self._closed = set(self._full)
