"""Who the heroes are: a name, and a role with the race, alignment and gender it is played with."""

from __future__ import annotations

from dataclasses import dataclass

#: What heroes are called.
NAMES = (
    "astrid", "brom", "calla", "doran", "edda", "finn", "greta", "hakon", "isolde", "joren", "katla", "leif", "maren",
    "njal", "oda", "perrin", "runa", "sten", "thyra", "ulf", "vesna", "wulf", "yrsa",
)  # fmt: skip

# NetHack's codes: role-race-alignment-gender.
_ROLES = {
    "valkyrie": "val-hum-law-fem",
    "samurai": "sam-hum-law-mal",
    "archeologist": "arc-dwa-law-fem",
    "barbarian": "bar-orc-cha-mal",
    "priest": "pri-hum-neu-fem",
    "wizard": "wiz-elf-cha-mal",
    "ranger": "ran-gno-neu-fem",
    "caveman": "cav-dwa-law-mal",
    "monk": "mon-hum-neu-fem",
    "rogue": "rog-hum-cha-mal",
    "healer": "hea-gno-neu-fem",
    "knight": "kni-hum-law-mal",
}


@dataclass(frozen=True)
class Character:
    """A hero's name and role, and the code by which NetHack knows that role."""

    name: str
    role: str
    code: str


def character(number: int) -> Character:
    """The hero born as number 1, 2, 3 ...: each role in turn, and each name in turn."""
    roles = tuple(_ROLES)
    role = roles[(number - 1) % len(roles)]
    return Character(NAMES[(number - 1) % len(NAMES)], role, _ROLES[role])
