"""What one look at NetHack shows: plain values, read from the arrays that nle fills."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from nle import nethack
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]
Glyphs = NDArray[np.int16]

#: The arrays that `observe` and `carried` read.
KEYS = (
    "glyphs", "blstats", "message", "inv_glyphs", "inv_letters", "inv_oclasses", "inv_strs", "tty_chars", "misc",
    "program_state",
)  # fmt: skip

#: NetHack's dungeons in the order in which its dungeon.def creates, and so numbers, them.
DUNGEONS = (
    "Dungeons of Doom", "Gehennom", "Gnomish Mines", "Quest", "Sokoban", "Fort Ludios", "Vlad's Tower",
    "Elemental Planes",
)  # fmt: skip

# How many, in what state, and what: "2 uncursed food rations", "a +1 long sword (weapon in hand)".
_NAME = re.compile(
    r"(?:(?P<quantity>\d+)|an?|the) "
    r"(?:(?:[+-]\d+|blessed|uncursed|cursed|empty|greased|poisoned|diluted|partly (?:eaten|used)|rustproof|fireproof"
    r"|(?:very |thoroughly )?(?:rusty|burnt|corroded|rotted)) )*"
    r"(?P<many>.+?)(?= named | \(|$)"
)
# The word that is in the plural when there are many, and those that do not simply end in an s then.
_HEAD = re.compile(r".+?(?= of | labeled | called |$)")
_SINGULARS = {"knives": "knife", "teeth": "tooth", "staves": "staff", "torches": "torch"}
_GRAVE = re.compile(r"\|\s(.{16})\s\|")
#: The glyph of a thing that cannot be told from any other.
UNKNOWN_GLYPH = -1


class Prompt(Enum):
    """What the game waits for before it goes on."""

    NONE = "a command"
    KEY = "one key, in answer to the question in the message"
    LINE = "a line of text"
    MORE = "a page to be turned"


@dataclass(frozen=True, slots=True)
class Item:
    """A thing, or a stack of one kind of thing, under one letter of the pack; `name` is what the hero takes it for."""

    letter: str
    kind: str
    quantity: int
    name: str
    object_class: int
    glyph: int


@dataclass(frozen=True, slots=True)
class Observation:
    """One look: where the hero is, how the hero is, what the hero carries, what the game says and shows."""

    zone: str
    depth: int
    x: int
    y: int
    turn: int
    health: int
    health_max: int
    gold: int
    experience_level: int
    score: int
    hunger: int
    items: tuple[Item, ...]
    message: str
    prompt: Prompt
    glyphs: Glyphs = field(repr=False, compare=False)
    over: bool = False
    #: What killed the hero, as the tombstone has it ("a newt", "starvation"); empty for the living.
    killer: str = ""


def observe(arrays: Arrays, items: tuple[Item, ...]) -> Observation:
    """Read everything but the pack, which the caller reads with `carried` and passes in."""
    status = arrays["blstats"].tolist()
    key, line, more = arrays["misc"].tolist()
    return Observation(
        zone=zone_of(status[nethack.NLE_BL_DNUM], status[nethack.NLE_BL_DLEVEL]),
        depth=status[nethack.NLE_BL_DEPTH],
        x=status[nethack.NLE_BL_X],
        y=status[nethack.NLE_BL_Y],
        turn=status[nethack.NLE_BL_TIME],
        health=status[nethack.NLE_BL_HP],
        health_max=status[nethack.NLE_BL_HPMAX],
        gold=status[nethack.NLE_BL_GOLD],
        experience_level=status[nethack.NLE_BL_XP],
        score=status[nethack.NLE_BL_SCORE],
        hunger=status[nethack.NLE_BL_HUNGER],
        items=items,
        message=_text(arrays["message"]),
        prompt=Prompt.MORE if more else Prompt.LINE if line else Prompt.KEY if key else Prompt.NONE,
        glyphs=np.array(arrays["glyphs"], dtype=np.int16),
    )


def carried(arrays: Arrays) -> tuple[Item, ...]:
    """The pack, without the gold in it: gold is an amount, not a thing."""
    hallucinating = bool(int(arrays["blstats"][nethack.NLE_BL_CONDITION]) & nethack.BL_MASK_HALLU)
    items = []
    columns = [arrays[key].tolist() for key in ("inv_letters", "inv_oclasses", "inv_glyphs")]
    for row, (letter, object_class, glyph) in enumerate(zip(*columns, strict=True)):
        if letter == 0:
            break
        if object_class == nethack.COIN_CLASS:
            continue
        name = _text(arrays["inv_strs"][row])
        quantity, kind = amount(name)
        # To one who hallucinates every thing looks like another at every look.
        items.append(Item(chr(letter), kind, quantity, name, object_class, UNKNOWN_GLYPH if hallucinating else glyph))
    return tuple(items)


def amount(name: str) -> tuple[int, str]:
    """How many of what a name speaks of, in the singular: "3 blessed +1 daggers (in quiver)" is 3 of "dagger"."""
    parts = _NAME.match(name)
    if parts is None:
        return 1, name
    if parts["quantity"] is None:
        return 1, parts["many"]
    head = _HEAD.match(parts["many"])
    assert head is not None, "a name has a first word"
    *before, last = head[0].split(" ")
    singular = _SINGULARS.get(last, last.removesuffix("s"))
    return int(parts["quantity"]), " ".join([*before, singular]) + parts["many"][head.end() :]


def zone_of(dungeon: int, level: int) -> str:
    """A level's name: its dungeon, and how many levels of that dungeon lie above it, plus one."""
    return f"{DUNGEONS[dungeon]} {level}"


def killer_on(tombstone: Iterable[bytes]) -> str:
    """What a tombstone on the screen says the hero died of, or nothing where there is no tombstone.

    The stone bears the name, the gold, the cause of death over a few lines and the year, and stands in grass.
    """
    rows = [row.decode("latin-1") for row in tombstone]
    if not any("REST" in row for row in rows):
        return ""
    lines = [row[1].strip() for row in map(_GRAVE.search, rows) if row]
    cause = " ".join(line for line in lines[2:-2] if line)
    return cause.removeprefix("killed by ").removeprefix("died of ")


def _text(characters: NDArray[np.generic]) -> str:
    return characters.tobytes().split(b"\0", 1)[0].decode("latin-1").strip()
