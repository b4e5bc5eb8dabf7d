"""What a provider of models does wrong, and how often."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas import PermanentError

#: Every way to fail, and what the client sees of it.
FAULTS: Mapping[str, str] = {
    "rate_limited": "429 with Retry-After",
    "rate_limited_blind": "429 without Retry-After",
    "queue_full": "503, because its own queue is full",
    "error": "500",
    "hang": "no answer, for as long as the client waits",
    "reset": "the connection is closed without an answer",
    "not_json": "200 with a page of HTML",
    "other_shape": "200 with JSON that is no completion",
    "error_inside": "200 with an error inside",
    "endless": "200 with a body of several megabytes",
    "truncated": "an answer that stops in its middle and calls itself whole",
    "length": "an answer that stops in its middle and says so",
    "prose": "an answer in words where JSON was asked for",
    "slow": "a good answer, late",
}


class UnknownFault(PermanentError):
    """A plan of faults that cannot be followed."""

    reason = "unknown_fault"


@dataclass(frozen=True)
class Plan:
    """Which share of the requests meets which fault; the rest, and what no fault is planned for, is answered well.

    The same seed gives the request of a number the same fault, whatever was asked before and however fast.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.shares) - set(FAULTS))
        if unknown:
            raise UnknownFault(f"no fault is named {', '.join(unknown)}: choose from {', '.join(FAULTS)}")
        if min(self.shares.values(), default=0) < 0 or sum(self.shares.values()) > 1 + 1e-9:
            raise UnknownFault("the shares of faults are at least 0 each and at most 1 together")

    @classmethod
    def of(cls, text: str, seed: int = 0) -> Plan:
        """Read a plan as it is written on a command line: hang=0.1,error=0.2."""
        shares: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, share = part.partition("=")
            try:
                shares[name.strip()] = float(share)
            except ValueError:
                raise UnknownFault(f"write a fault as name=share, such as hang=0.1, not {part!r}") from None
        return cls(shares, seed)

    def fault(self, number: int) -> str:
        """The fault of the request of this number, or "" for none."""
        drawn = random.Random(f"{self.seed}:{number}").random()
        for name, share in self.shares.items():
            drawn -= share
            if drawn < 0:
                return name
        return ""
