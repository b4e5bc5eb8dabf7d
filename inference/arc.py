"""Arc: five chapters, their choice points and branches, made from the few words that a storyteller chose.

A plan holds nothing but JSON's values, so a policy may keep it on the log and read it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference import reading
from schemas.topics import DAY_MS

Plan = Mapping[str, Any]
Chapter = Mapping[str, Any]
# A question to the players, and the branches they choose from.
Choice = tuple[str, tuple[str, ...]]

CHAPTERS = 5
#: An arc is due every 14 days: five chapters of 60 hours leave a day and a half for one that was approved late.
CHAPTER_MS = DAY_MS * 5 // 2
# Few players cannot divide over many choices.
MANY_PLAYERS = 4
# Of a hundred active players so many must take part, more in each chapter: an arc is to draw them in.
PARTICIPATION_PERCENT = (20, 25, 30, 35, 40)

#: How a chapter ends to which too few came, and how one ends well that offers no choice.
LOST = "lost"
HELD = "held"

_OPENINGS = {
    HELD: "The heroes held.",
    LOST: "Too few heroes came.",
    "strike": "The heroes struck first.",
    "fortify": "The heroes dug in.",
    "parley": "The heroes sent an envoy.",
    "elders": "The elders' word was taken.",
    "stranger": "The stranger was believed.",
    "destroy": "The prize was broken.",
    "keep": "The prize was kept.",
    "return": "The prize was given back.",
}
# The chapters that end in a choice, and its options; that of the third is for a crowd.
_CHOICES: Mapping[int, Choice] = {
    2: ("How shall {foe} be met?", ("strike", "fortify", "parley")),
    3: ("Whose word shall be taken?", ("elders", "stranger")),
    4: ("What shall become of {prize}?", ("destroy", "keep", "return")),
}
# What a hero does to take part in a chapter, as the game counts it.
_OBJECTIVES = (
    ("visit", "See one of the places that are spoken of."),
    ("gather", "Bring gold for what is to come."),
    ("grow", "Gain a level before the fight."),
    ("descend", "Go deeper than ever before."),
    ("descend", "Go down to face {foe}."),
)
# Each theme: what an arc of it is called for want of a better title, what is fought over, and its chapters.
_THEMES: Mapping[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "invasion": (
        "The War of the Stairs",
        "the war horn",
        (
            ("Smoke on the Stairs", "Scouts of {foe} are seen on the upper levels."),
            ("The First Night", "{foe} comes in force, and takes the stairs."),
            ("Behind the Lines", "In the halls that fell, some still hide and wait."),
            ("The Horn", "Whoever holds the war horn commands the horde."),
            ("The Last Stair", "All that is left stands between {foe} and the sky."),
        ),
    ),
    "plague": (
        "The Year of the Flask",
        "the cure",
        (
            ("A Cough in the Dark", "The first fall sick, and {foe} is said to be near."),
            ("The Closed Doors", "Level after level is shut, with heroes on both sides."),
            ("The Healer's Debt", "A healer knows more of {foe} than is told."),
            ("One Flask", "There is a cure, and it is enough for few."),
            ("The Well", "What {foe} put into the deep well must be drawn out."),
        ),
    ),
    "treasure": (
        "The Crown Below",
        "the crown",
        (
            ("Half a Map", "A torn map turns up, and {foe} wants it."),
            ("The Other Half", "Two bands dig in the same halls."),
            ("False Gold", "Someone has sold the way to {foe}."),
            ("The Vault", "The vault is open, and the crown lies in it."),
            ("The Way Out", "{foe} waits where the treasure must pass."),
        ),
    ),
    "awakening": (
        "The Broken Seal",
        "the seal",
        (
            ("Bad Dreams", "All sleepers dream of {foe}."),
            ("The Shaking", "Walls move that stood for ages."),
            ("The Old Pact", "The dead knew how {foe} was bound, and would tell."),
            ("The Seal", "The seal can be mended, moved or broken."),
            ("Eyes Open", "{foe} wakes."),
        ),
    ),
    "betrayal": (
        "The Black Ledger",
        "the ledger",
        (
            ("A Friend Is Missing", "One who knew every secret is gone, and {foe} grows bold."),
            ("Whispers", "Someone opens the gates at night."),
            ("The Trial", "Three stand accused of serving {foe}, and one did."),
            ("The Ledger", "Every name and every price is written in one book."),
            ("The Reckoning", "{foe} comes for what was paid for."),
        ),
    ),
}
#: What an arc may be about: a storyline's actions.
THEMES = tuple(_THEMES)
_FOE = "the enemy"


def plan(content: Mapping[str, Any], players: int, start_ms: int) -> Plan:
    """The arc that a storyline's content stands for, whatever its words hold; `players` are those now active.

    `title` and `hook` are for the announcement. Each of `chapters` has its number, `title` and `text`, opens and closes
    at a time, asks for an `objective` and for so many participants, and maps each of its `branches` to the next
    chapter, or to 0 at the end. A chapter with a `choice` lets the players choose its branch; its `openings` are what
    is told first of all, by the branch that led to it.
    """
    theme = reading.choice(content, "action", THEMES)
    name, prize, scenes = _THEMES[theme]
    words = {"foe": reading.text(content, "antagonist", 40, default=_FOE), "prize": prize}
    choices = {number: choice for number, choice in _CHOICES.items() if number != 3 or players >= MANY_PLAYERS}
    chapters = [
        {
            "chapter": number,
            "title": title,
            "text": _sentence(text, words),
            "opens_ms": start_ms + (number - 1) * CHAPTER_MS,
            "closes_ms": start_ms + number * CHAPTER_MS,
            "participation_threshold": _threshold(players, PARTICIPATION_PERCENT[number - 1]),
            "objective": {"kind": kind, "text": _sentence(task, words)},
            "choice": _choice(choices.get(number), words),
            "branches": dict.fromkeys(_branches(choices.get(number)), number + 1 if number < CHAPTERS else 0),
            "openings": _openings(number, choices.get(number - 1)),
        }
        for number, ((title, text), (kind, task)) in enumerate(zip(scenes, _OBJECTIVES, strict=True), start=1)
    ]
    return {
        "theme": theme,
        "antagonist": words["foe"],
        "tone": reading.text(content, "tone", 20),
        "title": reading.text(content, "title", 80, default=name),
        "hook": reading.text(content, "hook", 200, default=str(chapters[0]["text"])),
        "players": players,
        "participation_threshold": chapters[0]["participation_threshold"],
        "chapters": chapters,
    }


def branch_of(chapter: Chapter, participants: int, votes: Mapping[str, int]) -> str:
    """Which way the story goes on from a chapter: lost when too few came, else as most of them chose.

    Of options with as many votes the first wins, so that everybody who counts comes to the same end.
    """
    if participants < chapter["participation_threshold"]:
        return LOST
    options = chapter["choice"]["options"] if chapter["choice"] else [HELD]
    return str(max(options, key=lambda branch: votes.get(branch, 0)))


def next_chapter(arc: Plan, number: int, branch: str) -> Chapter | None:
    """The chapter to which a branch of chapter `number` leads, or None at the end."""
    following = _chapter(arc, number)["branches"].get(branch, 0)
    return _chapter(arc, following) if following else None


def opening(chapter: Chapter, branch: str = "") -> str:
    """What is told when a chapter opens, after the branch by which the one before it closed ("" for the first)."""
    return " ".join(filter(None, (chapter["openings"].get(branch, ""), chapter["text"])))


def ending(arc: Plan, branch: str) -> str:
    """What is told when the last chapter has closed by a branch."""
    told = "{foe} is beaten, and the tale is told." if branch == HELD else "{foe} has won, for now."
    return _sentence(told, {"foe": arc["antagonist"]})


def _chapter(arc: Plan, number: int) -> Chapter:
    chapters: Sequence[Chapter] = arc["chapters"]
    return chapters[number - 1]


def _sentence(text: str, words: Mapping[str, str]) -> str:
    told = text.format_map(words)
    return told[:1].upper() + told[1:]


def _threshold(players: int, percent: int) -> int:
    return max(1, -(-players * percent // 100))


def _choice(choice: Choice | None, words: Mapping[str, str]) -> dict[str, Any] | None:
    if choice is None:
        return None
    question, options = choice
    return {"question": _sentence(question, words), "options": list(options)}


def _branches(choice: Choice | None) -> tuple[str, ...]:
    return (*(choice[1] if choice else (HELD,)), LOST)


def _openings(number: int, before: Choice | None) -> dict[str, str]:
    return {} if number == 1 else {branch: _OPENINGS[branch] for branch in _branches(before)}
