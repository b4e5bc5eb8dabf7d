"""What NetHack itself says: sentences of its rumours, epitaphs, quests and novels, as the installed game has them.

All of it was written by others, for players, and none of it is unsafe: game talk as it is, to learn from and to
measure false alarms on. It is read where it lies and never copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from schemas import NornError

# As long as what an agent says.
_WORDS_MIN, _WORDS_MAX = 3, 26
_CHARACTERS_MAX = 150
_ENCODING = "latin-1"
# What the game inserts: names, places and things. What they are does not matter here.
_INSERTED = {"p": "Astrid", "o": "the Orb of Fate", "l": "the Norn", "n": "Surtur", "d": "Odin", "a": "neutral"}
_SLOT = re.compile(r"%(.)[ACIPaph]?")
_ROLE = re.compile(r"%C\w? (\w+|-)")


class NoNetHack(NornError):
    """NetHack's texts are not installed."""

    reason = "no_nethack"


def lines(name: str) -> list[str]:
    """A file of one saying a line."""
    return [line for line in _read(name) if not line.startswith("#") and _is_fit(line)]


def novels() -> list[str]:
    """The passages of novels that the game's bookshops sell."""
    return list(_sentences(_read("tribute")))


def quests(roles: slice) -> list[str]:
    """What leaders, guardians and enemies say in the quests of some of the roles, which are taken by the alphabet."""
    by_role: dict[str, list[str]] = {}
    role = ""
    for line in _read("quest.txt"):
        begins = _ROLE.match(line)
        role = begins[1] if begins else role
        by_role.setdefault(role, []).append(line)
    said = [line for role in sorted(by_role)[roles] for line in by_role[role]]
    return list(dict.fromkeys(_SLOT.sub(lambda slot: _INSERTED.get(slot[1], "one"), one) for one in _sentences(said)))


def _sentences(read: Iterable[str]) -> Iterator[str]:
    paragraph: list[str] = []
    for line in [*read, ""]:
        if line.strip() and not line.startswith(("#", "%C", "%E", "%e", "%p", "%t", " ", "[")):
            paragraph.append(line.strip())
        elif paragraph:
            found = (one.strip("\" '") for one in re.split(r"(?<=[.!?])[\"']?\s+", " ".join(paragraph)))
            yield from filter(_is_fit, found)
            paragraph = []


def _is_fit(line: str) -> bool:
    return _WORDS_MIN <= len(line.split()) <= _WORDS_MAX and len(line) <= _CHARACTERS_MAX


def _read(name: str) -> list[str]:
    found = find_spec("nle")
    if found is None or found.origin is None:
        raise NoNetHack("NetHack's texts come with its package: pip install 'norn[demo]'")
    return (Path(found.origin).parent / "nethackdir" / "dat" / name).read_text(_ENCODING).splitlines()
