"""The content filter: text that may not be shown to players, by what it says and however it is disguised.

It compares words and phrases, so it is quick and can be explained, and it cannot tell what is meant: a word that is
game talk too is here only as a part of phrases, and the rest is left to meaning.py. Words in which others are only
found, such as the town of Penistone, are told apart by a list of them (innocent.json). What both miss on the corpus
that ships with the tests stands in docs/performance.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import orjson

from inference.disguises import plain

# A letter may be struck out by a sign, as in "w*rd", or be doubled; between letters may stand a sign, but no space:
# else the end of one word and the next would make a third.
_STRUCK_OUT = frozenset("aeiou")
# Digits and signs that stand for letters ("leet").
_WRITTEN = {"a": "a4@", "b": "b8", "e": "e3€", "g": "g9", "i": "i1!|", "l": "l1|", "o": "o0", "s": "s5$", "t": "t7+"}
_BETWEEN = r"[.\-_*~]?"
# How a word with signs in between may end. With any ending two would be one: "pen-island", "bit-chewing".
_INFLECTED = r"(?:e?[sd]|e?rs?|e?y|in[gs]?|ings|ish)?"


# The end of a sentence whose space was forgotten, which would be a sign between two letters: "the hero.In the end".
_SENTENCE_ENDS = re.compile(r"(?<=[a-z]{2})\.(?=[A-Z][a-z])")


def offence(text: str) -> str:
    """The category of the first thing in the text that may not be shown; "" when there is none."""
    looked = plain(_SENTENCE_ENDS.sub(". ", text))
    if _anything().search(looked) is None:
        return ""
    harmless = [found.span() for found in _innocent().finditer(looked)]
    return next((category for category, pattern in _compiled().items() if _found(pattern, looked, harmless)), "")


def _found(pattern: re.Pattern[str], looked: str, harmless: Sequence[tuple[int, int]]) -> bool:
    # A number alone is a number: "1515" says nothing.
    return any(
        any(map(str.isalpha, found[0]))
        and not any(start <= found.start() and found.end() <= end for start, end in harmless)
        for found in pattern.finditer(looked)
    )


@cache
def _lexicon() -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = orjson.loads(files("inference").joinpath("content_filter.json").read_bytes())
    return found


@cache
def _innocent() -> re.Pattern[str]:
    """Words in which others are, letter by letter as they are written: a disguise of them is no innocent word."""
    words: Sequence[str] = orjson.loads(files("inference").joinpath("innocent.json").read_bytes())["words"]
    written = (re.escape(word.rstrip("*")) + (r"[a-z]*" if word.endswith("*") else "") for word in words)
    return re.compile(rf"(?<![a-z])(?:{'|'.join(sorted(written, key=len, reverse=True))})(?![a-z])")


@cache
def _compiled() -> Mapping[str, re.Pattern[str]]:
    # The longest first, so that what is found is the most telling.
    ordered = {category: sorted(entries, key=len, reverse=True) for category, entries in _lexicon().items()}
    return {category: re.compile(_standing("|".join(map(_entry, entries)))) for category, entries in ordered.items()}


@cache
def _anything() -> re.Pattern[str]:
    """Finds whatever any category finds. Sorted by first letters it takes a fifth of the time, and finds it seldom."""
    by_letter: dict[str, list[str]] = {}
    for entry in (entry for entries in _lexicon().values() for entry in entries):
        by_letter.setdefault(_letter(entry[0]), []).append(_entry(entry))
    return re.compile(_standing("|".join(f"(?={first})(?:{'|'.join(rest)})" for first, rest in by_letter.items())))


def _standing(choices: str) -> str:
    return rf"(?<![a-z])(?:{choices})(?![a-z])"


def _entry(entry: str) -> str:
    """The pattern of one word or phrase; a star at its end stands for any ending."""
    words = entry.rstrip("*").split()
    apart = r"[\W_]+".join(_BETWEEN.join(map(_letter, word)) for word in words)
    if not entry.endswith("*"):
        return apart
    together = r"[\W_]+".join("".join(map(_letter, word)) for word in words)
    return rf"(?:{together}[a-z0-9@$!|+]*|{apart}{_INFLECTED})"


def _letter(letter: str) -> str:
    written = f"[{re.escape(_WRITTEN.get(letter, letter))}]{{1,2}}"
    return rf"(?:{written}|\*)" if letter in _STRUCK_OUT else written
