"""Disguises: text as a reader sees it, whatever letters it was written with.

A filter that compares letters is walked around with letters that look alike (Unicode's confusables, UTS #39),
invisible characters, stretched or spaced-out words. Each of these is undone here, once, for every check.
"""

from __future__ import annotations

import re
import string
import unicodedata
from importlib.resources import files

import orjson

# Where alphabets in circles and squares begin, and the letters that flags are made of; all others decompose.
_FRAMED = (0x1F150, 0x1F170, 0x1F1E6)
# Letters of other scripts that a reader takes for Latin ones (from Unicode's table of confusables, lower case only).
_ALIKE = str.maketrans(
    {
        other: latin
        for latin, others in orjson.loads(files("inference").joinpath("disguises.json").read_bytes()).items()
        for other in others
    }
    | {chr(first + place): letter for first in _FRAMED for place, letter in enumerate(string.ascii_lowercase)}
    # Letters that are not drawn: the fillers of Hangul.
    | dict.fromkeys("\u115f\u1160", "")
)
# What names on the internet take for a dot (IDNA, RFC 3490), and what Unicode's table says looks like one.
_DOTS = dict.fromkeys(map(ord, "\u3002\u2024\u0660\u06f0\u0701\u0702\ua4f8\ua60e\u30fb\u00b7\u2219\u22c5"), ".")
_STRETCHED = re.compile(r"([a-z])\1{2,}")
# A word of single letters with the same kind of gap between them: "w o r d", "w.o.r.d", "w-o-r-d".
_SPACED = re.compile(
    r"(?<![a-z0-9])(?<![a-z0-9][._\-*~,/])"
    r"[a-z](?P<gap>[ ._\-*~,/]{1,2})(?:[a-z](?P=gap))+[a-z]"
    r"(?![a-z0-9])(?![._\-*~,/][a-z])"
)
# A word with digits or signs in it that stand for letters; "3rd" is a number.
_MIXED = re.compile(r"(?<![a-z0-9])(?!\d+(?:st|nd|rd|th)\b)(?=[a-z]*[0-9@$])(?=[0-9@$]*[a-z])[a-z0-9@$]+")
_LIKELIEST = str.maketrans("4@831057$", "aabeiosts")


def seen(text: str) -> str:
    """The text in plain small Latin letters where it looks like them: accents, invisible and look-alike letters undone.

    Digits stay digits, since one may stand for several letters.
    """
    if text.isascii():  # nothing to undo, and letter by letter takes fifty times as long
        return " ".join(text.lower().split())
    return " ".join(_visible(unicodedata.normalize("NFKD", text).casefold()).split())


def _visible(spread: str) -> str:
    kept = "".join(letter for letter in spread if unicodedata.category(letter) not in ("Mn", "Me", "Cf"))
    return kept.translate(_ALIKE)


def shown(text: str) -> str:
    """What `seen` gives, but with capitals as they are written, and the signs that pass for a dot as dots."""
    if text.isascii():
        return " ".join(text.split())
    return " ".join(_visible(unicodedata.normalize("NFKD", text)).translate(_DOTS).split())


def plain(text: str) -> str:
    """What `seen` gives, with stretched words and spaced-out words undone too."""
    return _STRETCHED.sub(r"\1\1", _joined(text))


def spelt(text: str) -> str:
    """The text as it is likeliest to be meant: what `plain` gives, but each stretched letter once and digits read."""
    return _MIXED.sub(lambda word: word[0].translate(_LIKELIEST), _STRETCHED.sub(r"\1", _joined(text)))


def _joined(text: str) -> str:
    return _SPACED.sub(lambda word: re.sub(r"[^a-z]", "", word[0]), seen(text))
