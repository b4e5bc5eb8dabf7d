"""Storyline: every 14 days the story of a new arc, from what the players, the powers and the world's karma came to.

The spec names what it reads and that it writes the narrative; the themes, the foes, the tones and the words in which it
reads a fortnight are ours. It chooses what `inference/arc.py` makes the chapters of, and writes the title and the first
sentence. Where a person does not agree to an arc, none begins: that is its default, and harmless.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, WithJsonSchema

from inference.agent import CHOSEN, Agent, Answer, Content, Context
from inference.arc import NO_ARC, THEMES, plan
from inference.lots import one_of
from inference.reading import asked, choice, crowd, decided, due, number, text, toll, wealth
from inference.stories import Tone
from schemas import Event, ScheduleDue

NONE = "none"
NOBODY: Literal["nobody"] = "nobody"
Foe = Literal["the Ashen King", "the Mother of Rats", "the Hollow Choir", "the Drowned Duke", "the Iron Abbess"]
TITLE = r"^The [A-Z][a-z]{2,12}( of| and| in)?( the)? [A-Z][a-z]{2,12}$"
FOES = get_args(Foe)
DEEDS = ("wants", "guards", "seeks", "sells", "hides", "hunts", "calls")
# A sentence of few words that begins with the antagonist: held to less a small model runs on and never ends.
HOOK = rf"^The ({'|'.join(foe[4:] for foe in FOES)}) ({'|'.join(DEEDS)})( [a-z]{{2,12}}){{2,7}}\.$"
SYSTEM = (
    "Begin a story for the players of a dungeon game: choose theme, antagonist and tone, write a title and a sentence."
)
SOLVED = (
    (
        {"deaths": "many", "leads": "dead", "karma": "wronged", "trend": "dying", "event": "eclipse"},
        {
            "action": "awakening",
            "antagonist": "the Hollow Choir",
            "tone": "grim",
            "title": "The Song of Ashes",
            "hook": "The Hollow Choir calls the dead from every grave.",
        },
    ),
    (
        {"deaths": "none", "leads": "delvers", "karma": "even", "trend": "gathering", "event": "market"},
        {
            "action": "treasure",
            "antagonist": "the Drowned Duke",
            "tone": "hopeful",
            "title": "The Crown of Tides",
            "hook": "The Drowned Duke wants his crown back.",
        },
    ),
    (
        {"deaths": "some", "leads": "miners", "karma": "guilty", "trend": "wandering", "event": "skirmish"},
        {
            "action": "betrayal",
            "antagonist": "the Iron Abbess",
            "tone": "wry",
            "title": "The Price of Salt",
            "hook": "The Iron Abbess sells the friends of heroes.",
        },
    ),
)


class Story(Content):
    """An arc's story: its theme is the action. Where no arc begins there is nobody to fight."""

    action: str
    antagonist: Annotated[Foe | Literal["nobody"], WithJsonSchema({"enum": FOES})]
    tone: Tone
    title: Annotated[str, Field(min_length=1, max_length=60), WithJsonSchema({"type": "string", "pattern": TITLE})]
    hook: Annotated[str, Field(min_length=1, max_length=200), WithJsonSchema({"type": "string", "pattern": HOOK})]


def _asks(event: Event) -> Context | None:
    told = due(event, "arc")
    if told is None:
        return None
    karma, gains = decided(told, "karma"), decided(told, "faction")
    owed = karma.get("reward", 0) - karma.get("punish", 0)
    lasts = {theme: times for theme, times in decided(told, "storyline").items() if theme in THEMES}
    return {
        **{key: told[key] for key in ("day", "players", "deaths", "deepest")},
        "leads": _most({power: times for power, times in gains.items() if power.endswith("_gain")}).removesuffix(
            "_gain"
        ),
        "karma": "wronged" if owed > 0 else "guilty" if owed < 0 else "even",
        "trend": _trend(told),
        "event": _most(decided(told, "world_event")),
        "last": _most(lasts),
    }


def _most(times: dict[str, int]) -> str:
    return max(times, key=times.__getitem__) if times else NONE


def _trend(told: Context) -> str:
    if toll(told) == "many":
        return "dying"
    players = max(1, number(told, "players"))
    is_deep, talks = number(told, "deepest") > 8, number(told, "said") > 10 * players
    return "delving" if is_deep else "talking" if talks else "gathering" if wealth(told) == "plenty" else "wandering"


def _told(context: Context) -> Context:
    told = {key: text(context, key, default=NONE) for key in ("leads", "karma", "trend", "event", "last")}
    return {"deaths": toll(context), "players": crowd(context), **told}


def _legal(context: Context) -> tuple[str, ...]:
    return (*(theme for theme in THEMES if theme != context.get("last")), NO_ARC)


def _rules(context: Context) -> Answer:
    wanted = {"dead": "awakening", "delvers": "treasure", "miners": "betrayal"}.get(text(context, "leads"), THEMES[0])
    legal, day = _legal(context), number(context, "day")
    theme, foe = choice({"": wanted}, "", legal), one_of(FOES, "antagonist", day)
    arc = plan({"action": theme, "antagonist": foe}, 0, 0)
    tone: Tone = "grim" if toll(context) == "many" else "wry" if context.get("karma") == "guilty" else "hopeful"
    return Answer(theme, Story(action=theme, antagonist=foe, tone=tone, title=arc["title"], hook=arc["hook"]))


def _default(context: Context) -> Answer:
    story = Story(action=NO_ARC, antagonist=NOBODY, tone="hopeful", title="No New Story", hook="No new story begins.")
    return Answer(NO_ARC, story)


def _check(context: Context, answer: Answer) -> str:
    if answer.action == NO_ARC:
        # In the words that only code writes: a model is held to others.
        return "" if answer == _default(context) else "an arc is due, and only a person may call it off"
    told = answer.content.model_dump()
    is_about = told["antagonist"] in FOES and told["antagonist"][4:] in told["hook"]
    return "" if is_about else "the sentence is not about the antagonist"


storyline = Agent(
    name="storyline",
    trigger=(ScheduleDue,),
    asks=_asks,
    legal_actions=_legal,
    prompt=lambda context: asked(SYSTEM, SOLVED, _told(context)),
    output=Story,
    check=_check,
    rules=_rules,
    default=_default,
    tier="bronze",
    deadline_ms=60_000,
    cost_cap_usd_micros=25_000,
    max_tokens=128,
    impact=lambda context: "low" if context.get(CHOSEN) == NO_ARC else "high",
    tells=("day", "players", "deepest"),
    changes_world=THEMES,
)
