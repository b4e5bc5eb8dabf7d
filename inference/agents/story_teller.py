"""Story teller: at 20:00 several models vote on how the world's story goes on; what is at stake is drawn by the day."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema

from inference.agent import CHOSEN, Agent, Answer, Content, Context, Impact
from inference.lots import lot, one_of
from inference.reading import asked, crowd, due, number, toll
from schemas import Event, ScheduleDue

# The plots by what they change (spec B.1): talk, a quest, the story's branches, the whole game.
PLOTS: dict[Impact, dict[str, str]] = {
    "low": {
        "gossip": "The innkeepers tell a new tale of the heroes.",
        "old_song": "An old song is on everybody's lips again.",
        "quarrel": "Two traders quarrel about what the heroes did.",
    },
    "medium": {
        "new_errand": "A task that was thought done is asked for again.",
        "rival": "A rival takes up the same quest.",
        "false_trail": "A map that many followed turns out to be false.",
    },
    "high": {
        "ally_turns": "An old ally of the heroes changes sides.",
        "gate_opens": "A gate that was always shut stands open.",
        "oath_broken": "An oath that held the peace is broken.",
    },
    "critical": {
        "ruler_falls": "The ruler of the realm falls, and nobody knows by whose hand.",
        "lights_fail": "Every light below the ground goes out.",
        "war_begins": "The powers of the dungeon go to war.",
    },
}
# The action under which nothing happens: all that is left when a person says no, or nobody says yes.
LEAVE, QUIET = "leave", "Nothing new is told today."
GRAVITY: dict[str, Impact] = {LEAVE: "low", **{plot: impact for impact, plots in PLOTS.items() for plot in plots}}
# Of a hundred days so many are of each kind: most of a story is talk, and the game changes twice a year.
DAYS: dict[Impact, int] = {"low": 60, "medium": 30, "high": 9, "critical": 1}
STAKES: tuple[Impact, ...] = tuple(PLOTS)
WORDS_MAX = 22
SENTENCE = rf"^[A-Z][A-Za-z'-]{{0,15}}(,? [A-Za-z'-]{{1,16}}){{4,{WORDS_MAX - 1}}}\.$"
SYSTEM = "Choose how the story of a fantasy world goes on, and tell it in one sentence."
_SHOWN: tuple[tuple[Impact, str, str], ...] = (
    ("low", "none", "gossip"),
    ("medium", "many", "rival"),
    ("high", "some", "gate_opens"),
)
SOLVED = tuple(
    ({"stakes": stakes, "deaths": deaths, "players": "some"}, {"action": plot, "content": PLOTS[stakes][plot]})
    for stakes, deaths, plot in _SHOWN
)


class Telling(Content):
    """How the story goes on: the plot, and what is told (spec B.2)."""

    action: str
    content: Annotated[
        str, Field(min_length=1, max_length=200), WithJsonSchema({"type": "string", "pattern": SENTENCE})
    ]


def _asks(event: Event) -> Context | None:
    told = due(event, "story")
    if told is None:
        return None
    drawn = lot("stakes", told["day"]) % 100 if told["players"] else 0
    stakes = next(impact for n, impact in enumerate(STAKES) if drawn < sum(list(DAYS.values())[: n + 1]))
    return {
        **{key: told[key] for key in ("day", "players", "deaths")},
        "stakes": stakes,
        "is_low_priority": stakes == "low",
    }


def _stakes(context: Context) -> Impact:
    return next((stakes for stakes in STAKES if stakes == context.get("stakes")), "low")


def _impact(context: Context) -> Impact:
    return GRAVITY.get(str(context.get(CHOSEN)), _stakes(context))


def _signature(context: Context) -> Context:
    told = {"stakes": _stakes(context), "deaths": toll(context), "players": crowd(context)}
    # Only what is of low priority may be told twice (spec C.1).
    return told if _stakes(context) == "low" else {**told, "day": number(context, "day")}


def _do(context: Context, action: str) -> Answer:
    return Answer(action, Telling(action=action, content=PLOTS[_stakes(context)][action]))


def _check(context: Context, answer: Answer) -> str:
    if answer.action == LEAVE:
        return "a story is due, and only a person may call it off"
    told = str(answer.content.model_dump()["content"])
    return "" if told.endswith(".") and len(told.split()) < WORDS_MAX else "the sentence runs on and was broken off"


story_teller = Agent(
    name="story_teller",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=lambda context: (*PLOTS[_stakes(context)], LEAVE),
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Telling,
    check=_check,
    rules=lambda context: _do(context, one_of(list(PLOTS[_stakes(context)]), "plot", number(context, "day"))),
    default=lambda context: Answer(LEAVE, Telling(action=LEAVE, content=QUIET)),
    tier="bronze",
    deadline_ms=20_000,
    cost_cap_usd_micros=45_000,
    max_tokens=80,
    signature=_signature,
    impact=_impact,
    tells=("day", "stakes", "is_low_priority"),
    ensemble=True,
)
