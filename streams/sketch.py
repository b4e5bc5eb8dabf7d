"""Sketches: how many different names there were, in bounded room. Pure.

The k smallest hashes of all names: exact up to k different names, an estimate within about 1/sqrt(k) beyond (Bar-Yossef
et al., "Counting distinct elements in a data stream", 2002). Sketches of two times join to the sketch of both.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence

#: The hashes kept, ascending.
Sketch = Sequence[int]

#: Exact for the players of a small world, within some 6 % for a large one; 4 KB at most.
HASHES_MAX = 256
# 48 bits stay exact in every JSON reader, and two of a million names hardly ever meet.
_HASH_BYTES = 6
_HASHES = 1 << (8 * _HASH_BYTES)


def noted(sketch: Sketch, name: str) -> Sketch:
    """The sketch with one more name; the same object when that changes nothing."""
    hashed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=_HASH_BYTES).digest())
    place = bisect_left(sketch, hashed)
    if place == HASHES_MAX or (place < len(sketch) and sketch[place] == hashed):
        return sketch
    return [*sketch[:place], hashed, *sketch[place:]][:HASHES_MAX]


def joined(ours: Sketch, theirs: Sketch) -> Sketch:
    """The sketch of all names of both."""
    return sorted({*ours, *theirs})[:HASHES_MAX]


def different(sketch: Sketch) -> int:
    """How many different names there were."""
    if len(sketch) < HASHES_MAX:
        return len(sketch)
    return round((HASHES_MAX - 1) * _HASHES / max(1, sketch[-1]))
