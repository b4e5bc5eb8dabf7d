"""Windows: what happened in the world between two moments, in bounded room. Pure.

A window is a JSON object; what is counted by name is bounded by keeping the names that come most often, whose counts
may then be too high by what they displaced (Metwally et al., "Efficient computation of frequent items", 2005).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson

from schemas import (
    DecisionEffective,
    DepthReached,
    Event,
    GoldGained,
    GoldSpent,
    PlaceEntered,
    PlayerDied,
    PlayerLevelled,
    PlayerSaid,
)
from streams import sketch

Window = Mapping[str, Any]
Counts = Mapping[str, int]

#: The facts that a window is made of.
READS = (
    PlaceEntered, DepthReached, PlayerDied, PlayerSaid, PlayerLevelled, GoldGained, GoldSpent, DecisionEffective,
)  # fmt: skip

EMPTY: Window = {
    "players": [], "deaths": 0, "deepest": 0, "gold": 0, "said": 0,
    "places": {}, "killers": {}, "decided": {}, "recent": [],
}  # fmt: skip

#: How many names are shown, for prompts hold no more, and how many are counted so that those shown are the right ones.
PLACES_SHOWN_MAX, PLACES_MAX = 12, 48
KILLERS_SHOWN_MAX, KILLERS_MAX = 5, 20
RECENT_MAX = 8
# There are some 24 agents, with at most a dozen actions each; anybody may write more to the log.
AGENTS_MAX, ACTIONS_MAX = 40, 16
# Names of the games we know are shorter; a longer one is cut.
NAME_CHARACTERS_MAX = 48
# Whole numbers that every JSON reader reads as they are.
WHOLE_MAX = 2**53 - 1
#: A fact has at most 10 KB, of which the rest of ScheduleDue needs little.
SHOWN_BYTES_MAX = 8_000


def folded(window: Window, event: Event) -> Window:
    """The window with one more event."""
    fact = event.WhichOneof("fact") or ""
    if fact == "decision_effective":
        return {**window, **_decided(window, event.decision_effective)}
    changed = _CHANGES[fact](window, getattr(event, fact)) if fact in _CHANGES else {}
    players = sketch.noted(window["players"], event.subject)
    if not changed and players is window["players"]:
        return window
    return {**window, **changed, "players": players}


def joined(earlier: Window, later: Window) -> Window:
    """The window of two that follow each other."""
    decided: dict[str, Counts] = dict(earlier["decided"])
    for agent, actions in later["decided"].items():
        if agent in decided or len(decided) < AGENTS_MAX:
            decided[agent] = _most(_added(decided.get(agent, {}), actions), ACTIONS_MAX)
    return {
        "players": sketch.joined(earlier["players"], later["players"]),
        "deaths": earlier["deaths"] + later["deaths"],
        "deepest": max(earlier["deepest"], later["deepest"]),
        "gold": _whole(earlier["gold"] + later["gold"]),
        "said": earlier["said"] + later["said"],
        "places": _most(_added(earlier["places"], later["places"]), PLACES_MAX),
        "killers": _most(_added(earlier["killers"], later["killers"]), KILLERS_MAX),
        "decided": decided,
        "recent": [*earlier["recent"], *later["recent"]][-RECENT_MAX:],
    }


def shown(window: Window, day: int, hour: int, more: Counts = MappingProxyType({})) -> str:
    """The window, and a few counts more, as the context of ScheduleDue: a JSON object of at most SHOWN_BYTES_MAX."""
    decided = {agent: dict(actions) for agent, actions in window["decided"].items()}
    context = {
        "day": day,
        "hour": hour,
        "players": sketch.different(window["players"]),
        "deaths": window["deaths"],
        "deepest": window["deepest"],
        "gold": window["gold"],
        "said": window["said"],
        "places": list(map(list, _most(window["places"], PLACES_SHOWN_MAX).items())),
        "killers": list(map(list, _most(window["killers"], KILLERS_SHOWN_MAX).items())),
        "decided": decided,
        "recent": window["recent"],
        **more,
    }
    while len(text := orjson.dumps(context)) > SHOWN_BYTES_MAX:
        _forget_rarest(decided)
    return text.decode()


def cut(name: str) -> str:
    """A name from the log as it may be kept and shown: printable, and not too long."""
    return "".join(filter(str.isprintable, name[:NAME_CHARACTERS_MAX]))


def _decided(window: Window, decision: DecisionEffective) -> dict[str, Any]:
    agent, action, decided = cut(decision.agent), cut(decision.action), window["decided"]
    recent = [*window["recent"], [agent, action]][-RECENT_MAX:]
    if agent not in decided and len(decided) >= AGENTS_MAX:
        return {"recent": recent}
    return {"recent": recent, "decided": {**decided, agent: _counted(decided.get(agent, {}), action, ACTIONS_MAX)}}


def _entered(window: Window, fact: PlaceEntered) -> dict[str, Any]:
    places = _counted(window["places"], cut(fact.zone), PLACES_MAX)
    return {"places": places, "deepest": max(window["deepest"], fact.depth)}


def _died(window: Window, fact: PlayerDied) -> dict[str, Any]:
    return {
        "deaths": window["deaths"] + 1,
        "deepest": max(window["deepest"], fact.depth),
        "killers": _counted(window["killers"], cut(fact.killer), KILLERS_MAX),
    }


_CHANGES: Mapping[str, Any] = {
    "place_entered": _entered,
    "depth_reached": lambda window, fact: {"deepest": max(window["deepest"], fact.depth)},
    "player_died": _died,
    "player_said": lambda window, fact: {"said": window["said"] + 1},
    "gold_gained": lambda window, fact: {"gold": _whole(window["gold"] + fact.amount)},
    "gold_spent": lambda window, fact: {"gold": _whole(window["gold"] - fact.amount)},
}


def _counted(counts: Counts, name: str, names_max: int) -> Counts:
    if name in counts or len(counts) < names_max:
        return {**counts, name: counts.get(name, 0) + 1}
    # The newcomer may have been here before: it takes over the count of the rarest.
    rarest = min(counts, key=lambda each: (counts[each], each))
    left = {each: times for each, times in counts.items() if each != rarest}
    return {**left, name: counts[rarest] + 1}


def _added(ours: Counts, theirs: Counts) -> Counts:
    return {name: ours.get(name, 0) + theirs.get(name, 0) for name in (*ours, *theirs)}


def _most(counts: Counts, names_max: int) -> Counts:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:names_max])


def _whole(number: int) -> int:
    return max(-WHOLE_MAX, min(WHOLE_MAX, number))


def _forget_rarest(decided: dict[str, dict[str, int]]) -> None:
    agent, action = min(
        ((agent, action) for agent, actions in decided.items() for action in actions),
        key=lambda each: (decided[each[0]][each[1]], each),
    )
    del decided[agent][action]
    if not decided[agent]:
        del decided[agent]
