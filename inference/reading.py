"""Reading: contexts and facts that anybody may have written, read so that whatever they hold stops no agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from inference.agent import Context
from inference.buckets import bucket
from inference.prompts import Turn, as_data, conversation, data
from schemas import Event

#: The numbers of a context at most, so that sums and products of them stay exact in JSON and in SQL.
NUMBER_MAX = 1_000_000_000
#: A name of a context at most, in characters.
NAME_MAX = 40
# More rows than a schedule ever names, and still far below what an event holds.
_ROWS_MAX = 12
# The numbers of a schedule's context; of these only gold may be below zero.
_COUNTS = ("day", "hour", "players", "deaths", "deepest", "said")

# Examples chosen to fit (Liu et al., "What makes good in-context examples", arXiv 2101.06804): a model of 135M
# parameters that is shown all of them gives one and the same answer whatever the state.
_SHOWN = 3

# How many play: some from four on, many from twenty.
_CROWD = (1, 4, 20)
# How much gold a player came to in the window, on the whole: below the first bound the market runs dry.
_WEALTH = (-9, 60)
# How many died in the window, for each player.
_TOLL = (0.01, 0.5)
# Who or what kills, by words of the names that games give killers; everybody else is a monster.
_FOES = {
    "keeper": ("shopkeeper", "watchman", "watch captain", "priest", "guard", "oracle", "wrath of"),
    "hunger": ("starvation", "starved", "fainted", "exhaustion"),
}
# The branches of the dungeon, by a word of their zones' names.
_BRANCHES = {"mine": "mines", "sokoban": "puzzle", "quest": "quest", "ludios": "fort", "vlad": "tower"}


def number(context: Context, key: str, default: int = 0, *, low: int = 0, high: int = NUMBER_MAX) -> int:
    """A whole number of the context within bounds; the default for what is missing or no number."""
    value = context.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        value = default
    return int(min(high, max(low, value)))


def text(context: Context, key: str, limit: int = NAME_MAX, *, default: str = "") -> str:
    """A text of the context as one harmless line (`as_data`); the default for what is missing, empty or no text."""
    value = context.get(key)
    return (as_data(value, limit) if isinstance(value, str) else "") or default


def choice(context: Context, key: str, choices: Sequence[str]) -> str:
    """One of the choices, of which the first stands for anything else."""
    value = context.get(key)
    return value if isinstance(value, str) and value in choices else choices[0]


def pairs(context: Context, key: str) -> list[tuple[str, int]]:
    """The rows [name, count] of a list such as "places" or "killers", in their order, without what is no such row."""
    rows = context.get(key)
    rows = rows if isinstance(rows, list | tuple) else ()
    named = [(_name(row[0]), number({"": row[1]}, "")) for row in rows if _is_pair(row) and isinstance(row[0], str)]
    return [row for row in named if row[0]][:_ROWS_MAX]


def decided(context: Context, agent: str) -> dict[str, int]:
    """How often each action of an agent took effect in the window."""
    return dict(sorted(_decided(context).get(agent, {}).items()))


def recent(context: Context) -> list[tuple[str, str]]:
    """The last decisions that took effect, as (agent, action), the newest last."""
    rows = context.get("recent")
    rows = rows if isinstance(rows, list | tuple) else ()
    return [(_name(row[0]), _name(row[1])) for row in rows if _is_pair(row) and all(isinstance(w, str) for w in row)][
        -_ROWS_MAX:
    ]


def last_action(context: Context, agent: str, choices: Sequence[str], default: str = "none") -> str:
    """The agent's last action among the choices that took effect in the window, or the default."""
    last = next((action for name, action in reversed(recent(context)) if name == agent and action in choices), None)
    # The few most recent decisions of a busy world are all others'. Of an agent that decides once in a window the one
    # that is counted is the last; of others the usual one is as near as may be known.
    counted = {action: times for action, times in decided(context, agent).items() if action in choices}
    return last or max(counted, key=counted.__getitem__, default=default)


def due(event: Event, *schedules: str) -> dict[str, Any] | None:
    """The context of a schedule that is due, whole and within bounds; None when it is none of the schedules named."""
    if not event.HasField("schedule_due") or event.schedule_due.schedule not in schedules:
        return None
    told = json_object(event.schedule_due.context)
    counts: dict[str, Any] = {key: number(told, key) for key in _COUNTS}
    counts["hour"] %= 24
    return {
        **counts,
        "gold": number(told, "gold", low=-NUMBER_MAX),
        "places": pairs(told, "places"),
        "killers": pairs(told, "killers"),
        "decided": _decided(told),
        "recent": recent(told),
    }


def effective(event: Event, agent: str) -> dict[str, Any] | None:
    """The content of another agent's decision that took effect; None when the event is none of that agent's."""
    if not event.HasField("decision_effective") or event.decision_effective.agent != agent:
        return None
    return json_object(event.decision_effective.content)


def json_object(written: str) -> dict[str, Any]:
    """The JSON object that a text holds; an empty one for any other text."""
    try:
        value = orjson.loads(written)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def crowd(context: Context) -> str:
    """How many play: nobody, few, some or many."""
    return bucket(number(context, "players"), _CROWD, ("nobody", "few", "some", "many"))


def wealth(context: Context) -> str:
    """How much gold there is to spend, by the player: scarce, steady or plenty."""
    gold = number(context, "gold", low=-NUMBER_MAX)
    return bucket(gold / max(1, number(context, "players")), _WEALTH, ("scarce", "steady", "plenty"))


def toll(context: Context) -> str:
    """How many died, by the player: none, some or many."""
    return bucket(number(context, "deaths") / max(1, number(context, "players")), _TOLL, ("none", "some", "many"))


def branch(zone: str) -> str:
    """Which branch of the dungeon a zone belongs to: the main one unless its name says otherwise."""
    return next((name for word, name in _BRANCHES.items() if word in zone.lower()), "main")


def foe(killer: str) -> str:
    """What kind of foe a killer's name tells of: a keeper of law or shop, hunger, a monster, or nobody."""
    name = killer.lower()
    kinds = (kind for kind, words in _FOES.items() if any(word in name for word in words))
    return next(kinds, "monster") if name.strip() else "nobody"


def asked(system: str, solved: Sequence[tuple[Context, Mapping[str, Any]]], signature: Context) -> tuple[Turn, ...]:
    """The prompt of an agent that chooses by its signature: "deaths: many, players: few", marked as data.

    Of the solved examples those nearest to the signature are shown, the nearest last, where a small model looks first:
    so a signature names what matters most first.
    """
    examples = [(stated(state), answer) for state, answer in nearest(solved, signature)]
    return conversation(system, examples, stated(signature))


def nearest(
    solved: Sequence[tuple[Context, Mapping[str, Any]]], signature: Context
) -> list[tuple[Context, Mapping[str, Any]]]:
    """The solved examples most like a signature, the likest last: equal in the first field before all later ones."""
    return sorted(solved, key=lambda example: [example[0].get(key) == signature[key] for key in signature])[-_SHOWN:]


def stated(signature: Context) -> str:
    """A signature in words, marked as data."""
    return data(", ".join(f"{as_data(str(key), NAME_MAX)}: {_word(value)}" for key, value in signature.items()))


def _word(value: object) -> str:
    return as_data(str(value), NAME_MAX).replace("_", " ")


def _name(value: str) -> str:
    return as_data(value, NAME_MAX)


def _is_pair(row: object) -> bool:
    return isinstance(row, list | tuple) and len(row) == 2


def _decided(context: Context) -> dict[str, dict[str, int]]:
    agents = context.get("decided")
    agents = agents if isinstance(agents, dict) else {}
    return {
        _name(agent): {_name(action): number(times, action) for action in list(times)[:_ROWS_MAX]}
        for agent, times in list(agents.items())[: 3 * _ROWS_MAX]
        if isinstance(agent, str) and isinstance(times, dict)
    }
