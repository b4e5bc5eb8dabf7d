"""Meaning: the content filter's second stage, which judges what a sentence is about and not which words it has.

A linear classifier (softmax over the filter's categories) on the embedding that the cache uses too. Its weights are
data, made by `python -m benchmarks.meaning --write`; how much it misses and falsely finds is in docs/performance.md.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson

from inference.disguises import spelt
from inference.embedding import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = "meaning.json"
# A sentence of fewer words says too little to be judged: it is read together with the next one.
WORDS_MIN = 3
# An embedding is a mean: among many harmless words an unkind one is lost, so longer sentences are judged in parts.
WORDS_MAX = 16
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+")


@dataclass(frozen=True)
class Found:
    """What a text was taken for, and how sure it is: the logarithm of the odds against its being harmless."""

    category: str
    score: float


class Meaning:
    """Tells what a text means from its sentences' embeddings; 5 ms a sentence that was not seen before."""

    def __init__(self, embedder: Embedder, learned: Mapping[str, Any]) -> None:
        """`learned` is what benchmarks/meaning.py writes, for this very embedder."""
        import numpy as np

        self._embedder = embedder
        self._categories: Sequence[str] = learned["categories"]
        self._threshold = float(learned["threshold"])
        steps = np.frombuffer(base64.b64decode(learned["weights"]), dtype=np.int8).astype(np.float32)
        scales = np.array(learned["scales"], dtype=np.float32)
        rows = steps.reshape(len(self._categories), -1) * scales[:, None]
        self._weights, self._bias = rows[:, :-1], rows[:, -1]

    def offence(self, text: str) -> Found | None:
        """The worst that any sentence of the text may mean; None when all of them are let through."""
        found = max((self.score(piece) for piece in pieces(text)), key=lambda one: one.score, default=None)
        return found if found is not None and found.score > self._threshold else None

    def score(self, piece: str) -> Found:
        """What a sentence is likest to mean, however unlikely that is."""
        import numpy as np

        vector = self._embedder.embed(piece)
        if vector is None:  # its words are too long for the embedder
            halves = _halves(piece)
            return max(map(self.score, halves), key=lambda one: one.score) if halves else Found("", float("-inf"))
        scores: NDArray[np.float32] = self._weights @ vector + self._bias
        return Found(self._categories[int(scores.argmax())], float(np.logaddexp.reduce(scores)))


def pieces(text: str) -> Iterator[str]:
    """The sentences of a text without its disguises: short ones joined to the next, long ones in parts that overlap."""
    words: list[str] = []
    for sentence in _SENTENCE.split(spelt(text)):
        words += sentence.split()
        if len(words) >= WORDS_MIN:
            yield from _parts(words)
            words = []
    if len(words) > 1:  # a word alone is the first stage's
        yield from _parts(words)


def choose_meaning(embedder: Embedder | None) -> Meaning | None:
    """The second stage; None without an embedder, or with one that the weights were not made for."""
    learned = orjson.loads(files("inference").joinpath(WEIGHTS).read_bytes())
    return Meaning(embedder, learned) if embedder is not None and embedder.name == learned["embedder"] else None


def _parts(words: Sequence[str]) -> Iterator[str]:
    step = WORDS_MAX // 2
    for start in range(0, max(1, len(words) - step), step):
        yield " ".join(words[start : start + WORDS_MAX])


def _halves(piece: str) -> list[str]:
    words = piece.split()
    middle = len(words) // 2
    return [" ".join(words[:middle]), " ".join(words[middle:])] if middle else []
