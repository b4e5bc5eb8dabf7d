"""What a model is shown: turns of a conversation, in which whatever players wrote is marked as data.

Marking data and keeping reserved tokens out of it is "spotlighting" (Hines et al., arXiv 2403.14720).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from inference.bill import Bill, Call

# What opens and closes the reserved tokens of every chat format, and our own marks of data.
_HARMLESS = str.maketrans("<>[]{}|`\\", "()()()/'/")

#: Tokens by which chat formats (ChatML, Llama, Mistral, Gemma) tell who is speaking: never data, never an answer.
RESERVED = re.compile(r"<\|[^|<>]{0,40}\|>|</?s>|<</?SYS>>|\[/?INST\]|<(?:start|end)_of_turn>|</?data>", re.IGNORECASE)

# What engines add to a prompt: a word on the schema, or the tool that has it. Anthropic tells its model of the tool in
# some 350 tokens of its own.
ADDED_TOKENS = 512
# A chat format's marks around a turn, and the name of who speaks.
TURN_TOKENS = 8


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Prompt:
    """All that an engine needs to answer once.

    `schema` is the JSON schema the text must follow, `max_tokens` bounds the text, and `seed` makes the draw
    repeatable on an engine that can repeat. `temperature` is how freely it draws; None leaves that to the engine, which
    knows its model. `allowed_ms` is how long the caller will wait, so that an engine begins nothing that cannot be
    ready by then; 0 does not say. `priority` puts prompts in order on an engine that can: the lower is the earlier.
    `bill` is where engines note the calls that they make for it.
    """

    turns: tuple[Turn, ...]
    schema: Mapping[str, Any]
    max_tokens: int
    seed: int
    temperature: float | None = None
    allowed_ms: int = 0
    priority: int = 0
    bill: Bill = field(default_factory=Bill, compare=False, repr=False)

    def digest(self) -> str:
        """The hash (SHA-256, hexadecimal) of what was asked, whatever the seed."""
        asked = [[turn.role, turn.content] for turn in self.turns]
        return hashlib.sha256(canonical({"turns": asked, "schema": self.schema}).encode()).hexdigest()

    def tokens_max(self) -> int:
        """More tokens no model reads for it: no tokeniser makes more of a text than it has bytes."""
        texts = [*(turn.content for turn in self.turns), canonical(self.schema)]
        return sum(len(text.encode()) for text in texts) + TURN_TOKENS * len(self.turns) + ADDED_TOKENS

    def call(self, model: str) -> AbstractContextManager[Call]:
        """Note one call of a model on the bill, for as long as it is made. Raises TooDear where it is not covered."""
        return self.bill.call(model, self)


def canonical(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no spaces. Raises TypeError for what JSON cannot hold."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def as_data(text: str, limit: int) -> str:
    """Foreign text as one printable line of at most `limit` characters that holds no reserved token."""
    plain = unicodedata.normalize("NFKC", text)
    # Nearly all text is printable, and letter by letter takes fifty times as long.
    printable = plain if plain.isprintable() else "".join(c if c.isprintable() else " " for c in plain)
    return " ".join(printable.translate(_HARMLESS).split())[:limit].rstrip()


def data(text: str) -> str:
    """Text marked as data; what players wrote in it must have come through `as_data`."""
    return f"<data>{text}</data>"


def conversation(system: str, examples: Sequence[tuple[str, Any]], question: str) -> tuple[Turn, ...]:
    """A system turn, solved examples (question, JSON answer), and the question.

    What all questions share comes first, so that an engine reads it once and keeps it.
    """
    turns = [Turn("system", system)]
    for asked, answered in examples:
        turns += [Turn("user", asked), Turn("assistant", canonical(answered))]
    return (*turns, Turn("user", question))
