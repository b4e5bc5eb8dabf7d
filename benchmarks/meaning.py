"""What the content filter's second stage learns from, and how well it then tells what it has never seen.

`python -m benchmarks.meaning` measures what is shipped; with `--write` it learns anew first, and ships that. Nothing
that is held out has a part in learning, nor in the choice of the threshold, which is made by cross-validation: each
family of lines is judged by a classifier that has seen none of its lines.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.nethack_lines import lines, novels, quests
from benchmarks.sayings import upper_bound
from examples.nethack.speech import sayings
from inference.content_filter import offence
from inference.disguises import spelt
from inference.embedding import Embedder, choose_embedder
from inference.meaning import WEIGHTS, Meaning, choose_meaning
from schemas import NornError

_HERE = Path(__file__).parents[1]
_DATA = _HERE / "tests" / "inference" / "data"
_SHIPPED = _HERE / "inference" / WEIGHTS
SAFE = "safe"
# Found by cross-validation; around these nothing changes much.
_RIDGE = 5e-5
_ROUNDS = 400
_FOLDS = 8
# NetHack's own lines are many and mostly easy: at this weight they count as much as those written to be hard.
_EASY = 0.25
# Of the novels every third sentence: the rest only takes longer.
_NOVELS = slice(0, None, 3)
# A family of NetHack's lines: so many that stand beside each other.
_TOGETHER = 40
#: The share of harmless lines that may be taken for something else when the threshold is chosen.
FALSE_MAX = 0.01
_STEPS = 127

Matrix = NDArray[np.float64]


class NoEmbedder(NornError):
    """There is nothing to judge meanings with."""

    reason = "no_embedder"


@dataclass(frozen=True)
class Line:
    """A line to learn from: what it is, which lines are of its kind, and how much it counts."""

    category: str
    family: str
    text: str
    weight: float = 1.0


def learned_from() -> list[Line]:
    """The lines to learn from: those that were written for it, what heroes say, and half of what NetHack says."""
    written = [
        Line(category, f"{category}/{family}", text)
        for category, families in _corpus("meaning")["learned"].items()
        for family, texts in families.items()
        for text in texts
    ]
    said = [
        Line(SAFE, f"sayings/{intent}", text.format(name="Astrid", place="Sokoban", number=12))
        for intent, texts in sayings().items()
        for text in texts
    ]
    nethack = {"rumours": lines("rumors.tru"), "quests": quests(slice(0, None, 2)), "novels": novels()[_NOVELS]}
    easy = [
        Line(SAFE, f"{name}/{number // _TOGETHER}", text, _EASY)
        for name, texts in nethack.items()
        for number, text in enumerate(texts)
    ]
    return [*written, *said, *easy]


def held_out() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """What is never learned from, by set and category."""
    by_category = {
        category: [text for texts in families.values() for text in texts]
        for category, families in _corpus("meaning")["held_out"].items()
    }
    content = _corpus("content")
    return {
        "families held out": {category: texts for category, texts in by_category.items() if category != SAFE},
        "worded around the words": content["held_out"],
        "game talk": {SAFE: [*by_category[SAFE], *content[SAFE]]},
        "NetHack's false rumours": {SAFE: lines("rumors.fal")},
        "NetHack's epitaphs": {SAFE: lines("epitaph.txt")},
        "NetHack's other quests": {SAFE: quests(slice(1, None, 2))},
    }


def learn(embedder: Embedder, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """The weights and the threshold, as they are shipped."""
    say("embedding")
    pairs = [(line, embedder.embed(spelt(line.text))) for line in learned_from()]
    kept = [(line, vector) for line, vector in pairs if vector is not None]
    vectors = np.array([np.append(vector, 1) for _, vector in kept], dtype=np.float64)
    names = np.array([line.category for line, _ in kept])
    counts = np.array([line.weight for line, _ in kept])
    folds = np.array([zlib.crc32(line.family.encode()) % _FOLDS for line, _ in kept])
    categories = sorted(set(names) - {SAFE})
    scores = np.zeros(len(kept))
    for fold in range(_FOLDS):
        say(f"cross-validation {fold + 1} of {_FOLDS}")
        rest, own = folds != fold, folds == fold
        scores[own] = _odds(vectors[own] @ _fitted(vectors[rest], names[rest], counts[rest], categories))
    steps, scales = _stepped(_fitted(vectors, names, counts, categories))
    return {
        "embedder": embedder.name,
        "corpus": digest(learned_from()),
        "categories": categories,
        "threshold": round(_threshold(scores[names == SAFE], counts[names == SAFE]), 2),
        "scales": scales,
        "weights": base64.b64encode(steps.tobytes()).decode(),
    }


def measure(meaning: Meaning) -> dict[str, Any]:
    """Of each set that is held out: how many lines, and how many the words, the meaning and both together find."""
    return {
        name: {
            category: _found(texts, meaning, is_safe=category == SAFE) for category, texts in _with_all(parts).items()
        }
        for name, parts in held_out().items()
    }


def _found(texts: Sequence[str], meaning: Meaning, *, is_safe: bool) -> dict[str, Any]:
    words = [bool(offence(text)) for text in texts]
    meant = [meaning.offence(text) is not None for text in texts]
    both = sum(map(any, zip(words, meant, strict=True)))
    wrong = both if is_safe else len(texts) - both
    return {
        "lines": len(texts),
        "by_words": sum(words),
        "by_meaning": sum(meant),
        "by_either": both,
        "false" if is_safe else "missed": round(wrong / len(texts), 4),
        "at_most": round(upper_bound(wrong, len(texts)), 4),
    }


def _with_all(parts: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    return parts if SAFE in parts else {**parts, "all": [text for texts in parts.values() for text in texts]}


def _fitted(vectors: Matrix, names: NDArray[Any], counts: Matrix, categories: Sequence[str]) -> Matrix:
    """Softmax regression by Nesterov's accelerated gradient: each category's weights less those of what is safe."""
    wanted = (names[:, None] == np.array([*categories, SAFE])).astype(np.float64)
    share = (counts / counts.sum())[:, None]
    ridge = np.full((vectors.shape[1], 1), _RIDGE)
    ridge[-1] = 0  # how often a category occurs is no matter of taste
    # The gradient's slope is at most half the squared length of a vector, which is 2 with the constant.
    step = 1 / (1 + _RIDGE)
    found = ahead = np.zeros((vectors.shape[1], wanted.shape[1]))
    pace = 1.0
    for _ in range(_ROUNDS):
        logits = vectors @ ahead
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        last, found = found, ahead - step * (vectors.T @ ((likely - wanted) * share) + ridge * ahead)
        next_pace = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
        ahead = found + (pace - 1) / next_pace * (found - last)
        pace = next_pace
    difference: Matrix = found[:, :-1] - found[:, -1:]
    return difference


def _odds(logits: Matrix) -> Matrix:
    odds: Matrix = np.logaddexp.reduce(logits, axis=1)
    return odds


def _threshold(scores: Matrix, counts: Matrix) -> float:
    """The lowest score that no more than FALSE_MAX of the harmless lines, by their weight, exceed."""
    falling = np.argsort(-scores)
    beyond = np.cumsum(counts[falling]) / counts.sum()
    return float(scores[falling][int(np.searchsorted(beyond, FALSE_MAX))])


def _stepped(weights: Matrix) -> tuple[NDArray[np.int8], list[float]]:
    """Each category's weights in whole steps, so that all of them take three kilobytes."""
    scales = np.abs(weights).max(axis=0) / _STEPS
    return np.rint(weights / scales).T.astype(np.int8), [float(f"{scale:.6g}") for scale in scales]


def digest(learned: Iterable[Line]) -> str:
    """What tells whether the weights were learned from these lines."""
    told = "\n".join(f"{line.category}\t{line.family}\t{line.text}\t{line.weight}" for line in learned)
    return hashlib.sha256(told.encode()).hexdigest()


def _corpus(name: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((_DATA / f"{name}.json").read_bytes())
    return found


def main(arguments: Sequence[str]) -> None:
    """Learn if asked to, measure, and print it as JSON."""
    embedder = choose_embedder()
    if embedder is None:
        raise NoEmbedder("the weights are learned from embeddings: pip install 'norn[semantic]'")
    if "--write" in arguments:
        learned = learn(embedder, lambda line: print(line, file=sys.stderr))
        _SHIPPED.write_text(json.dumps(learned, indent=1) + "\n", encoding="utf-8")
    meaning = choose_meaning(embedder)
    assert meaning is not None  # the embedder is the one that the weights are for
    print(json.dumps(measure(meaning), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
