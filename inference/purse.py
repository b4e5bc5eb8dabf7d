"""Purse: where the money for a call of a model comes from. Its worst case is reserved first, its real cost settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from inference.validation import Refused


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money put aside for an attempt, and how many calls it may make of it.

    `ask_id` names it on the log; empty when nobody keeps count.
    """

    ask_id: str
    usd_micros: int
    calls: int = 1


class Purse(Protocol):
    """Reserves the worst case of an attempt, and settles what it came to."""

    async def take(
        self, agent: str, tier: str, worst_usd_micros: int, *, calls: int = 1, within_ms: int
    ) -> Reservation | Refused:
        """Reserve the worst case of so many calls together.

        Refused when a cap stands in the way, or when that is not known in time.

        Cancelled, it has reserved nothing that it does not give back itself.
        """

    def settle(self, reservation: Reservation, spent_usd_micros: int, calls: int) -> None:
        """Say what a reservation's calls have cost, once; what they have not is free again."""


class Unlimited:
    """A purse without a bottom: nothing is refused, and nobody keeps count."""

    async def take(
        self, agent: str, tier: str, worst_usd_micros: int, *, calls: int = 1, within_ms: int
    ) -> Reservation | Refused:
        """Whatever is asked for."""
        return Reservation("", worst_usd_micros, calls)

    def settle(self, reservation: Reservation, spent_usd_micros: int, calls: int) -> None:
        """Nothing to settle."""


UNLIMITED = Unlimited()
