"""Asking: whether an agent is asked at all, and at how many of its occasions. What the settings say of one agent.

Nothing is counted, so that it holds over any number of workers and restarts: a share follows from the decision's id,
and all occasions of one subject within `every_s` seconds are one decision.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

#: A day: what is asked more seldom than once a day has a schedule of its own.
EVERY_S_MAX = 86_400
_BITS = 32


@dataclass(frozen=True, slots=True)
class Asking:
    """How often an agent is asked.

    enabled: false is never, and what a game asks of it itself is rejected. share: of the occasions that call for it, 0
    to 1; the same ones whenever the log is read. every_s: of each subject at most once within so many seconds, counted
    by the events' stamps from 1970; 0 is each time.
    """

    enabled: Annotated[bool, Field(strict=True)] = True
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)] = 1.0
    every_s: Annotated[int, Field(ge=0, le=EVERY_S_MAX, strict=True)] = 0
    # A setting that is misspelt must not pass for none.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def picks(self, occasion: str) -> bool:
        """Whether an occasion is of the share. It follows from the occasion's id and nothing else."""
        drawn = int.from_bytes(hashlib.blake2b(occasion.encode(), digest_size=_BITS // 8).digest()) / (1 << _BITS)
        return self.enabled and drawn < self.share

    def period(self, at_ms: int) -> int | None:
        """The number of the period of `every_s` seconds that a time lies in; None where each occasion counts."""
        return at_ms // (1000 * self.every_s) if self.every_s else None


ALWAYS = Asking()
