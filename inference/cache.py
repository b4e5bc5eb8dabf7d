"""Cache: answers used again. For the same state always; for a player's own words when they say the same."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.agent import Answer, Context
from inference.attempt import Question
from inference.embedding import TEXT_MAX, Embedder
from inference.gates import GATES, Plain, closed, plain
from inference.prompts import canonical

if TYPE_CHECKING:
    from inference.embedding import Vector

#: Spec C.7: texts are alike above this cosine. Never enough by itself: see inference/gates.py.
SIMILARITY_MIN = 0.85
# An answer with its text and vector takes some 5 KB, so that a full cache takes 50 MB.
ENTRIES_MAX = 10_000
# More than an operator reads of what nearly was a hit.
NEAR_MAX = 3


@dataclass(frozen=True)
class Hit:
    """An answer to use again, and why: kind, similarity, gates passed, the decision it comes from, and its age."""

    answer: Answer
    why: Mapping[str, Any]


@dataclass(frozen=True)
class NearMiss:
    """A cached answer that was not used: how alike its text is, and what keeps it from being used."""

    decision_id: str
    text: str
    similarity: float
    closed: tuple[str, ...]


@dataclass(frozen=True)
class _Words:
    """A player's own words, and the place of what is alike: all else equal, and the same plain form."""

    text: str
    plain: Plain
    elsewhere: bytes

    @property
    def place(self) -> tuple[bytes, object]:
        return self.elsewhere, self.plain.sentences


@dataclass(frozen=True)
class _Entry:
    answer: Answer
    agent: str
    decision_id: str
    put_ms: int
    expires_ms: int
    words: _Words | None
    vector: Vector | None


class Cache:
    """Answers by the state they were given for, the longest unused forgotten first."""

    def __init__(self, embedder: Embedder | None, *, now_ms: Callable[[], int], entries_max: int = ENTRIES_MAX) -> None:
        """Without an embedder only what is exactly alike is found."""
        self._embedder = embedder
        self._now_ms = now_ms
        self._entries_max = entries_max
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._alike: dict[tuple[bytes, object], list[bytes]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, question: Question) -> Hit | None:
        """The answer given to the same question in the same world, or to one that says the same in other words."""
        key = _key(question, _shown(question))
        if key is None or question.agent.cached_s <= 0:
            return None
        entry = self._live(key)
        if entry is not None:
            return self._hit(key, entry, {"kind": "exact", "similarity": 1.0, "gates": []})
        return self._find_alike(question)

    def put(self, question: Question, answer: Answer) -> bool:
        """Keep an answer that was given to this very question; False when it is one that may not be kept.

        Fallbacks, and what safety refused or replaced, are no such answers: do not put them here.
        """
        agent, key = question.agent, _key(question, _shown(question))
        if key is None or agent.cached_s <= 0 or answer.action not in question.legal_actions:
            return False
        self._drop(key)
        words = self._words(question)
        vector = None if words is None or self._embedder is None else self._embedder.embed(words.text)
        now = self._now_ms()
        decision_id, expires_ms = question.request.decision_id, now + agent.cached_s * 1_000
        self._entries[key] = _Entry(answer, agent.name, decision_id, now, expires_ms, words, vector)
        if words is not None and vector is not None:
            self._alike.setdefault(words.place, []).append(key)
        while len(self._entries) > self._entries_max:
            self._drop(next(iter(self._entries)))
        return True

    def why_not(self, question: Question) -> tuple[NearMiss, ...]:
        """The kept texts most like this question's, and the gates that keep their answers from being used.

        Beside the gates of texts: "state" when anything but the text differs, "similarity" when it is too low. It
        looks at everything that is kept: for people who ask, not for every miss.
        """
        words = self._words(question)
        vector = None if words is None or self._embedder is None else self._embedder.embed(words.text)
        if words is None or vector is None:
            return ()
        near = [
            _near(words, vector, entry)
            for key in list(self._entries)
            if (entry := self._live(key)) is not None and entry.agent == question.agent.name and entry.words
        ]
        missed = [miss for miss in near if miss.closed]
        return tuple(sorted(missed, key=lambda miss: -miss.similarity)[:NEAR_MAX])

    def _find_alike(self, question: Question) -> Hit | None:
        words = self._words(question)
        keys = self._alike.get(words.place) if words is not None else None
        # Most misses end here, before the embedding, which takes nearly all the time of a lookup.
        if words is None or not keys or self._embedder is None:
            return None
        vector = self._embedder.embed(words.text)
        if vector is None:
            return None
        found = [(_cosine(vector, entry), key, entry) for key in list(keys) if (entry := self._live(key)) is not None]
        if not found:
            return None
        similarity, key, entry = max(found, key=lambda one: one[0])
        if similarity <= SIMILARITY_MIN:
            return None
        why = {"similarity": round(similarity, 4), "gates": list(GATES), "embedder": self._embedder.name}
        return self._hit(key, entry, {"kind": "semantic", **why})

    def _hit(self, key: bytes, entry: _Entry, why: Mapping[str, Any]) -> Hit:
        self._entries.move_to_end(key)
        age_ms = max(0, self._now_ms() - entry.put_ms)
        return Hit(entry.answer, {**why, "decision_id": entry.decision_id, "age_ms": age_ms})

    def _words(self, question: Question) -> _Words | None:
        text = question.context.get(question.agent.free_text) if question.agent.free_text else None
        if self._embedder is None or not isinstance(text, str) or len(text) > TEXT_MAX:
            return None
        rest = {name: value for name, value in question.context.items() if name != question.agent.free_text}
        elsewhere, read = _key(question, rest), plain(text)
        return _Words(text, read, elsewhere) if elsewhere is not None and read.sentences else None

    def _live(self, key: bytes) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None and self._now_ms() >= entry.expires_ms:
            self._drop(key)
            return None
        return entry

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None or entry.words is None or entry.vector is None:
            return
        keys = self._alike[entry.words.place]
        keys.remove(key)
        if not keys:
            del self._alike[entry.words.place]


def _shown(question: Question) -> Context | None:
    try:
        return question.agent.shown(question.context)
    except Exception:  # anybody may have written the context: what has no signature is not kept
        return None


def _key(question: Question, state: Context | None) -> bytes | None:
    if state is None:
        return None
    request = question.request
    try:
        asked = canonical([question.agent.name, state, sorted(request.legal_actions), request.world_version])
    except TypeError:  # a signature that JSON cannot hold
        return None
    return hashlib.blake2b(asked.encode(), digest_size=16).digest()


def _cosine(vector: Vector, entry: _Entry) -> float:
    return float(vector @ entry.vector) if entry.vector is not None else 0.0


def _near(words: _Words, vector: Vector, entry: _Entry) -> NearMiss:
    assert entry.words is not None  # the caller looks at no others
    similarity = _cosine(vector, entry)
    faults = [
        *(["state"] if words.elsewhere != entry.words.elsewhere else []),
        *closed(words.plain, entry.words.plain),
        *(["similarity"] if similarity <= SIMILARITY_MIN else []),
    ]
    return NearMiss(entry.decision_id, entry.words.text, round(similarity, 4), tuple(faults))
