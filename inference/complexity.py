"""Complexity: how hard a decision is, by which the router chooses who answers it (spec C.7 leaves the measure open)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

#: Up to here the rules answer, if they have an answer (tier 1).
RULES_MAX = 0.3
#: From here on a request is answered alone (tier 4); between the two, together with others like it (tier 3).
FULL_MIN = 0.8


def weighed(**parts: bool | float) -> float:
    """A score between 0 and 1 from reasons that a decision is hard, each between 0 and 1: a half of what is left each.

    Any one reason at its full weight is worth 0.5, two 0.75, three 0.875: more reasons are harder, none alone decides.
    """
    left = 1.0
    for part in parts.values():
        left *= 1.0 - 0.5 * min(1.0, max(0.0, float(part)))
    return 1.0 - left


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
