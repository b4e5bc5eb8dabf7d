"""Complexity: how hard a decision is, by which the router chooses who answers it (spec C.7 leaves the measure open)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

#: Up to here the rules answer, if they have an answer (tier 1).
RULES_MAX = 0.3
#: What one reason that a decision is hard comes to, if it is the only one.
REASON = RULES_MAX
#: From here on a request is answered alone (tier 4); between the two, together with others like it (tier 3).
FULL_MIN = 0.65


def weighed(**parts: bool | float) -> float:
    """A score between 0 and 1 from reasons that a decision is hard, each between 0 and 1.

    Each reason takes its part of REASON of what is left to 1: one at its full weight comes to 0.3, which rules can
    still answer, two to 0.51, three to 0.66. So it takes two reasons for a model, and three for a call of its own.
    """
    left = 1.0
    for part in parts.values():
        left *= 1.0 - REASON * min(1.0, max(0.0, float(part)))
    # Rounded, so that one reason is no more than the rules' limit in floating point as well.
    return round(1.0 - left, 6)


def drawn(shares: Mapping[float, float], *of: object) -> float:
    """A score by the lot that the given values draw: the same values always draw the same one.

    For agents whose shares of the tiers are laid down (spec A.14): `shares` maps a score to its share of the decisions.
    """
    # A checksum would do, were it not for short keys that differ in a digit: their checksums are near each other.
    digest = hashlib.blake2b("\x1f".join(map(str, of)).encode(), digest_size=8).digest()
    lot = int.from_bytes(digest, "big") / 2**64
    for score, share in shares.items():
        lot -= share
        if lot < 0:
            return score
    return next(reversed(list(shares)))
