"""Arc: five chapters, their choice points and branches, made from the few words that a storyteller chose.

A plan holds nothing but JSON's values, so a policy may keep it on the log and read it back. How its story goes is a
function of the plan and of the path: the branches by which the chapters have ended so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference import reading
from inference.agent import Context
from inference.stories import CHOICES, ENDINGS, HELD, LOST, OBJECTIVES, STORIES, TASKS, TONES, WAYS
from schemas import Event
from schemas.topics import DAY_MS

Plan = Mapping[str, Any]
Chapter = Mapping[str, Any]
Objective = Mapping[str, Any]
#: The branches by which an arc's chapters have ended, from the first on.
Path = Sequence[str]

#: What an arc may be about: a storyline's actions, beside the one by which no arc begins.
THEMES = tuple(STORIES)
NO_ARC = "no_arc"
CHAPTERS = len(OBJECTIVES)
#: An arc is due every 14 days: five chapters of 60 hours leave a day and a half for one that was approved late.
CHAPTER_MS = DAY_MS * 5 // 2
# Few players cannot divide over many choices.
MANY_PLAYERS = 4
# Of a hundred active players so many must take part, more in each chapter: an arc is to draw them in.
PARTICIPATION_PERCENT = (20, 25, 30, 35, 40)
#: A quest may ask for so many deeds of each who has to take part, so that a small world can do what it asks for.
DEEDS_EACH_MAX = 3
# In characters: a plan names them in many places, and is told in one event.
FOE_MAX, REWARD_MAX = 30, 10

_STORYLINE = "storyline"
_FOE = "the enemy"


def begun(event: Event) -> Context | None:
    """The title and the theme of the arc that a storyline's effect begins; None for an event that begins none."""
    told = reading.effective(event, _STORYLINE)
    action = event.decision_effective.action
    if told is None or action == NO_ARC:
        return None
    return {"title": reading.text(told, "title"), "theme": reading.choice({"": action}, "", THEMES)}


def plan(
    content: Context,
    players: int,
    start_ms: int,
    quests: Mapping[str, Context] | None = None,
    before: Context | None = None,
) -> Plan:
    """The arc that a storyline's content stands for, whatever its words hold; `players` are those now active.

    `quests` maps a chapter's number to the quest that was designed for it, with its action, count, depth and reward.
    `before` is the arc that this one carries on, by title, ending and tone.

    `title` and `hook` are for the announcement. Each of `chapters` has its number, `title` and `text`, opens and closes
    at a time, asks for an `objective` and for so many participants; with a `choice` the players choose its branch.
    Each of its `branches` leads to a chapter, or to 0 at the end, sets a tone, opens what follows with a sentence, and
    may turn it to another objective. `endings` are told by how the last chapter ends and by the tone that prevails.
    """
    theme = reading.choice(content, "action", THEMES)
    name, prize, scenes = STORIES[theme]
    words = {"foe": reading.text(content, "antagonist", FOE_MAX, default=_FOE), "prize": prize}
    choices = {number: choice for number, choice in CHOICES.items() if number != 3 or players >= MANY_PLAYERS}
    thresholds = [max(1, -(-players * percent // 100)) for percent in PARTICIPATION_PERCENT]
    objectives = [
        _designed((quests or {}).get(str(number)), threshold, words) or _fixed(number, words)
        for number, threshold in enumerate(thresholds, start=1)
    ]
    chapters = [
        {
            "chapter": number,
            "title": title,
            "text": _sentence(text, words),
            "opens_ms": start_ms + (number - 1) * CHAPTER_MS,
            "closes_ms": start_ms + number * CHAPTER_MS,
            "participation_threshold": thresholds[number - 1],
            "objective": objectives[number - 1],
            "choice": _choice(number, choices, words),
            "branches": _branches(number, choices, objectives, words),
        }
        for number, (title, text) in enumerate(scenes, start=1)
    ]
    return {
        "theme": theme,
        "antagonist": words["foe"],
        "tone": reading.choice(content, "tone", TONES),
        "title": reading.text(content, "title", 80, default=name),
        "hook": reading.text(content, "hook", 200, default=str(chapters[0]["text"])),
        "players": players,
        "participation_threshold": thresholds[0],
        "begins": _begins(before),
        "chapters": chapters,
        "endings": {
            end: {tone: _sentence(text, words) for tone, text in told.items()} for end, told in ENDINGS.items()
        },
    }


def chapter(arc: Plan, path: Path) -> Chapter | None:
    """The chapter that a path has come to, or None at the end."""
    number = _steps(arc, path)[-1]["chapter"]
    return _chapter(arc, number) if number else None


def objective(arc: Plan, path: Path) -> Objective:
    """What heroes are to do in the chapter that a path has come to: its own objective, or that of the way there."""
    step = _steps(arc, path)[-1]
    asked: Objective = step["objective"] or _chapter(arc, step["chapter"])["objective"]
    return asked


def opening(arc: Plan, path: Path) -> str:
    """What is told when a path's chapter opens: what led to it, its scene, and what is to be done."""
    step = _steps(arc, path)[-1]
    told = (step["opening"], _chapter(arc, step["chapter"])["text"], objective(arc, path)["text"])
    return " ".join(filter(None, told))


def branch_of(arc: Plan, path: Path, participants: int, deeds: int, votes: Mapping[str, int]) -> str:
    """Which way the story goes on: lost when too few came or too little was done, else as most of them chose.

    Of options with as many votes the first wins, so that everybody who counts comes to the same end.
    """
    closing = _chapter(arc, _steps(arc, path)[-1]["chapter"])
    if participants < closing["participation_threshold"] or deeds < objective(arc, path)["count"]:
        return LOST
    options = closing["choice"]["options"] if closing["choice"] else [HELD]
    return str(max(options, key=lambda branch: votes.get(branch, 0)))


def tone(arc: Plan, path: Path) -> str:
    """The tone that prevails: the one set most often, by the storyline and on the path; the latest of several."""
    tones = [arc["tone"], *(step["tone"] for step in _steps(arc, path) if step["tone"])]
    return str(max(reversed(tones), key=tones.count))


def ending(arc: Plan, path: Path) -> str:
    """What is told when the last chapter has closed."""
    return str(arc["endings"][LOST if path[-1] == LOST else HELD][tone(arc, path)])


def _steps(arc: Plan, path: Path) -> list[Mapping[str, Any]]:
    """What a path is made of: where the arc begins, and where each branch leads."""
    steps: list[Mapping[str, Any]] = [arc["begins"]]
    for branch in path:
        steps.append(_chapter(arc, steps[-1]["chapter"])["branches"][branch])
    return steps


def _chapter(arc: Plan, number: int) -> Chapter:
    chapters: Sequence[Chapter] = arc["chapters"]
    return chapters[number - 1]


def _sentence(text: str, words: Mapping[str, Any]) -> str:
    told = text.format_map(words)
    return told[:1].upper() + told[1:]


def _fixed(number: int, words: Mapping[str, str]) -> Objective:
    kind, task = OBJECTIVES[number - 1]
    return _worded(task, {"kind": kind, "count": 0, "depth": 0, "reward": ""}, words)


def _designed(quest: Context | None, threshold: int, words: Mapping[str, str]) -> Objective | None:
    kind = reading.text(quest or {}, "action")
    if quest is None or kind not in TASKS:
        return None
    count = reading.number(quest, "count", low=1, high=DEEDS_EACH_MAX * threshold)
    asked = {"kind": kind, "count": count, "depth": reading.number(quest, "depth")}
    return _worded(TASKS[kind], {**asked, "reward": reading.text(quest, "reward", REWARD_MAX)}, words)


def _turned(turn: tuple[str, str] | None, asked: Objective, words: Mapping[str, str]) -> Objective | None:
    """The objective to which a branch turns a chapter: of another kind and anywhere, but for as much."""
    return None if turn is None else _worded(turn[1], {**asked, "kind": turn[0], "depth": 0}, words)


def _worded(task: str, asked: Objective, words: Mapping[str, str]) -> Objective:
    wanted = f"All together: {asked['count']} times." if asked["count"] else ""
    reward = f"The reward: {asked['reward']}." if asked["reward"] else ""
    return {**asked, "text": " ".join(filter(None, (_sentence(task, {**words, **asked}), wanted, reward)))}


def _choice(number: int, choices: Mapping[int, Any], words: Mapping[str, str]) -> dict[str, Any] | None:
    if number not in choices:
        return None
    question, options = choices[number]
    return {"question": _sentence(question, words), "options": list(options)}


def _branches(
    number: int, choices: Mapping[int, Any], objectives: Sequence[Objective], words: Mapping[str, str]
) -> dict[str, Any]:
    following = number + 1 if number < CHAPTERS else 0
    return {
        branch: {
            "chapter": following,
            "opening": _sentence(told, words),
            # After the last chapter nothing more is told that a tone could be set for.
            "tone": tone if following else None,
            "objective": _turned(turn, objectives[number], words) if following else None,
        }
        for branch in (*(choices[number][1] if number in choices else (HELD,)), LOST)
        for told, tone, turn in [WAYS[branch]]
    }


def _begins(before: Context | None) -> dict[str, Any]:
    told = f"{before['title']} is not forgotten. {before['ending']}" if before else ""
    return {"chapter": 1, "opening": told, "tone": before["tone"] if before else None, "objective": None}
