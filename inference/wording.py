"""Plain English for what facts say, so that rules and prompts word it alike."""

from __future__ import annotations

import re

_NUMBERED = re.compile(r"(?P<name>.*?)[ -]*(?P<level>\d{1,9})")
_KINDS = frozenset({"hero", "player", "npc", "user"})
# Said with an article: "the Dungeons of Doom", "the Gnomish Mines", but "Sokoban".
_WITH_ARTICLE = re.compile(r"^(?!the ).*( of |(mines|planes|quest|dungeon)$)", re.IGNORECASE)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th ... 11th, 12th, 13th ... 21st."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def level_of(zone: str, depth: int) -> str:
    """A level by its place in its zone: "the 3rd level of the Dungeons of Doom".

    A zone that ends in a number is the level of that number, which in a side branch is not its depth below ground.
    """
    numbered = _NUMBERED.fullmatch(zone)
    name, level = (numbered["name"], int(numbered["level"])) if numbered else (zone, depth)
    name = name or "dungeon"
    return f"the {ordinal(level)} level of {'the ' if _WITH_ARTICLE.match(name) else ''}{name}"


def name_of(subject: str) -> str:
    """What to call whom a subject names: "hero-finn-wizard-6-bb1845" is Finn, "Astrid" is Astrid.

    A game tells its players apart by what it adds to a name; the name is the first part that is neither a kind nor a
    number.
    """
    parts = [part for part in re.split(r"[-_:/.]", subject) if part.isalpha() and part.lower() not in _KINDS]
    name = parts[0] if parts else subject
    return name[:1].upper() + name[1:]
