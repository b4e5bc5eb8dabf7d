"""Buckets: numbers and names as the few words by which states are alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def bucket(number: float, bounds: Sequence[float], words: Sequence[str]) -> str:
    """The word of the bucket a number falls in; `bounds` ascend, each the first number of the next word's bucket.

    Raises ValueError unless there is one word more than there are bounds.
    """
    if len(words) != len(bounds) + 1 or any(low >= high for low, high in pairwise(bounds)):
        raise ValueError(f"{len(bounds)} ascending bounds need {len(bounds) + 1} words, not {len(words)}")
    return words[sum(number >= bound for bound in bounds)]


def depth_of(depth: int) -> str:
    """How deep a level lies: the first levels, the middle ones where most heroes die, and the deep."""
    return bucket(depth, (1, 4, 9), ("surface", "shallow", "middle", "deep"))
