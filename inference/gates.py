"""Gates: in what two texts may not differ if one answer is to serve both, however alike their embeddings are.

A cosine cannot tell "turn it on" from "turn it off" (0.96) or who bit whom (0.99). So a text is read into its plain
form, in which only the ways of writing the same thing (inference/lexicon.py) are made one, and plain forms must be
equal. That is one equivalence, so it can be a key: what is alike is found without comparing with everything.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from inference.lexicon import (
    ACTORS,
    AUXILIARIES,
    BE,
    NEGATIONS,
    NUMBERS,
    PHRASES,
    QUESTION_WORDS,
    SHORTENED,
    SUBJECTS,
    WORDS,
)

#: In this order: the first that two texts do not pass is the clearest reason why.
GATES = ("mood", "polarity", "numbers", "names", "actors", "words", "order")

# A signed or grouped number with its ending, a word with its apostrophes, the end of a sentence, or any other sign.
_TOKENS = re.compile(r"(?:(?<!\w)[+-])?\d+(?:[.,:/]\d+)*(?:st|nd|rd|th|%)?(?!\w)|\w+(?:'\w+)*|[.?!]+|[^\w\s]")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+")
_QUOTES = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{LEFT SINGLE QUOTATION MARK}": "'", "…": "."})
_NUMBER = re.compile(r"[+-]?\d.*")
_PAUSES = ",;:-\N{EN DASH}\N{EM DASH}"
# Before a capital word, so that no rule for words applies to a name: a shop called "Store" is that shop only.
_NAME = "^"


@dataclass(frozen=True)
class Sentence:
    """One sentence in its plain form; `be` is the form of to be that a question has, wherever it stands."""

    mood: str
    tokens: tuple[str, ...]
    be: str


@dataclass(frozen=True)
class Plain:
    """A text in its plain form, and the names that stand in it."""

    sentences: tuple[Sentence, ...]
    names: frozenset[str]

    def gate(self, name: str) -> object:
        """What of the text must be equal for a gate to let it pass."""
        tokens = [token for sentence in self.sentences for token in (*sentence.tokens, sentence.be) if token]
        match name:
            case "mood":
                return [sentence.mood for sentence in self.sentences]
            case "polarity":
                return [token for token in tokens if token in NEGATIONS]
            case "numbers":
                return [token for token in tokens if _NUMBER.fullmatch(token)]
            case "actors":
                return [token for token in tokens if token in ACTORS]
            case "words":
                return sorted(tokens)
            case _:
                return self.sentences


def plain(text: str) -> Plain:
    """Read a text into its plain form."""
    written = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    shouted = not any(letter.islower() for letter in written)
    sentences: list[Sentence] = []
    names: set[str] = set()
    for tokens, ending in _sentences(_TOKENS.findall(written)):
        words = list(_words(tokens, shouted))
        sentence = _sentence(words, ending)
        if sentence.tokens:
            sentences.append(sentence)
            names.update(word[1:] for word in words if word.startswith(_NAME))
    # A greeting before something is said with it, not instead of it.
    if len(sentences) > 1 and sentences[0].tokens == ("hello",):
        del sentences[0]
    return Plain(tuple(sentences), frozenset(names))


def closed(one: Plain, other: Plain) -> tuple[str, ...]:
    """The gates that two texts do not pass; none when one answer may serve both."""
    if one.sentences == other.sentences:
        return ()
    found = [gate for gate in GATES if gate != "names" and one.gate(gate) != other.gate(gate)]
    if not (one.names <= _said(other) and other.names <= _said(one)):
        found.append("names")
    return tuple(gate for gate in GATES if gate in found)


def _said(text: Plain) -> set[str]:
    return {token for sentence in text.sentences for token in sentence.tokens}


def _sentences(tokens: list[str]) -> Iterator[tuple[list[str], str]]:
    begun: list[str] = []
    for token in tokens:
        if token[0] in ".?!":
            yield begun, token
            begun = []
        else:
            begun.append(token)
    yield begun, ""


def _words(tokens: list[str], shouted: bool) -> Iterator[str]:
    for place, token in enumerate(tokens):
        word = token.casefold()
        if place and not shouted and token[0].isupper() and word.split("'")[0] != "i":
            name, apostrophe, ending = word.partition("'")
            yield _NAME + name
            if apostrophe:
                yield apostrophe + ending
        else:
            yield from _plain_words(word)


def _plain_words(word: str) -> Iterator[str]:
    if word in WORDS:
        yield from WORDS[word].split()
    elif _GROUPED.fullmatch(word):
        yield word.replace(",", "")
    elif word in NUMBERS:
        yield NUMBERS[word]
    elif "'" in word:
        yield from _apart(word)
    else:
        yield "," if word in _PAUSES else word


def _apart(word: str) -> Iterator[str]:
    for ending, meant in SHORTENED.items():
        if word.endswith(ending) and word != ending:
            yield from (word.removesuffix(ending), meant)
            return
    whole, apostrophe, ending = word.partition("'")
    yield from (whole, apostrophe + ending)


def _sentence(words: list[str], ending: str) -> Sentence:
    said = " ".join(words).strip(" ,")
    mood = "?" if "?" in ending or _asks(said.split()) else "."
    for pattern, replacement in PHRASES:
        said, found = pattern.subn(replacement, said, count=1)
        if found and said[:1] in ("?", "!"):
            mood, said = ("?" if said[0] == "?" else "."), said[1:]
    tokens = said.replace(_NAME, "").strip(" ,").split()
    forms = [token for token in tokens if token in BE]
    if mood == "?" and len(forms) == 1 and tokens[0] in QUESTION_WORDS:
        tokens.remove(forms[0])
        return Sentence(mood, tuple(tokens), forms[0])
    return Sentence(mood, tuple(tokens), "")


def _asks(words: list[str]) -> bool:
    if not words:
        return False
    inverted = len(words) > 1 and words[0] in AUXILIARIES and (words[1] in SUBJECTS or words[1].startswith(_NAME))
    return words[0] in QUESTION_WORDS or inverted
