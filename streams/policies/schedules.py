"""Schedules: tells, once each, that a time has come at which the world's agents work (spec A.15, A.16).

Times are of the world's clock, which is in UTC, and days are counted from its first. The clock alone drives this: what
lies between two ticks is due with the later, in order; a clock that goes back tells nothing until it is past where it
was. Each schedule is given what has happened since it was due before, and the problem's how its last one was met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas import ClockTicked, Event, ScheduleDue
from schemas.stamps import HOUR_MS
from schemas.topics import DAY_MS
from streams import response, window
from streams.policy import WORLD, Policy, Reaction, Said, State

MINUTE_MS = 60_000
# After an outage what was missed is made up for: a week of days, since older content would be over before anybody saw
# it, and each costs money; a day of hours, for what changes by the hour has then come round.
DAYS_MISSED_MAX, HOURS_MISSED_MAX = 7, 24
# The last moment that calendars know, 9999-12-31: no honest clock is past it.
TIME_MAX_MS = 253_402_300_799_999


@dataclass(frozen=True)
class Schedule:
    """Due every so often: at `at_ms` of the day, or of the world's first day and then every `every_ms`."""

    name: str
    at_ms: int
    every_ms: int = DAY_MS
    #: How many of those that one tick passed are made up for, the latest.
    missed_max: int = DAYS_MISSED_MAX

    def due(self, after_ms: int, until_ms: int, began_ms: int) -> range:
        """The times after the one and until the other, both on a clock that began in that day."""
        first_ms = began_ms - began_ms % DAY_MS + self.at_ms
        low = max(0, (after_ms - first_ms) // self.every_ms + 1)
        high = (until_ms - first_ms) // self.every_ms + 1
        low = max(low, high - self.missed_max)
        return range(first_ms + low * self.every_ms, first_ms + high * self.every_ms, self.every_ms)


def _at(hour: int, minute: int = 0) -> int:
    return hour * HOUR_MS + minute * MINUTE_MS


#: When each is due; those due at one moment are told in this order.
SCHEDULES = (
    Schedule("problem", _at(0)),
    Schedule("adaptive_dungeon", _at(0, 15)),
    Schedule("map_hazard", _at(0, 30)),
    Schedule("treasure", _at(1)),
    Schedule("archaeology", _at(2)),
    Schedule("dynamic_npc", _at(6)),
    Schedule("social", _at(7)),
    Schedule("arc", _at(12), every_ms=14 * DAY_MS),
    Schedule("story", _at(20)),
    Schedule("hour", _at(0), every_ms=HOUR_MS, missed_max=HOURS_MISSED_MAX),
)


def due_between(after_ms: int, until_ms: int, began_ms: int | None = None) -> list[tuple[str, int]]:
    """The schedules due after the one and until the other moment, in order, on a clock that began at `began_ms`.

    Without `began_ms` the clock began at `after_ms`.
    """
    began_ms = after_ms if began_ms is None else began_ms
    found = [(due_ms, at) for at, each in enumerate(SCHEDULES) for due_ms in each.due(after_ms, until_ms, began_ms)]
    return [(SCHEDULES[at].name, due_ms) for due_ms, at in sorted(found)]


def _react(state: State, event: Event) -> Reaction:
    if event.HasField("clock_ticked"):
        return _ticked(state, event.clock_ticked.time_ms)
    state = state or _begun()
    name = _window(state["clock"]["open"])
    before = {name: state[name], _RESPONSE: state.get(_RESPONSE, {})}
    after = {name: window.folded(before[name], event), _RESPONSE: response.folded(before[_RESPONSE], event)}
    return (state if all(after[each] is before[each] for each in after) else {**state, **after}), ()


def _begun() -> State:
    return {"clock": {"began_ms": None, "now_ms": None, "open": 0, "since": {}, "due": {}}, _window(0): window.EMPTY}


def _ticked(state: State, now_ms: int) -> Reaction:
    state = state or _begun()
    clock = state["clock"]
    if now_ms > TIME_MAX_MS:
        return state, ()
    if clock["now_ms"] is None:
        # What is due at the very moment that the clock begins is due.
        clock = {**clock, "began_ms": now_ms, "now_ms": now_ms - 1}
    if now_ms <= clock["now_ms"]:
        return state, ()
    said: list[Said] = []
    for name, due_ms in due_between(clock["now_ms"], now_ms, clock["began_ms"]):
        if due_ms != clock.get("cut_ms"):
            state, clock = _cut(state, clock, due_ms)
        said.append((WORLD, _due(state, clock, name, due_ms)))
        if name == response.PROBLEM:
            state = {**state, _RESPONSE: {}}
        clock = {**clock, "since": {**clock["since"], name: clock["open"]}, "due": {**clock["due"], name: due_ms}}
    return {**state, "clock": {**clock, "now_ms": now_ms}}, said


def _cut(state: State, clock: Mapping[str, Any], due_ms: int) -> tuple[State, Mapping[str, Any]]:
    """Open a new window at a moment at which something is due; join those that no schedule tells apart any more."""
    opened = clock["open"] + 1
    told_apart = {clock["since"].get(each.name, 0) for each in SCHEDULES}
    kept: dict[str, Any] = {}
    last = ""
    for number in sorted(_numbers(state)):
        name = _window(number)
        if last and number not in told_apart:
            kept[last] = window.joined(kept[last], state[name])
        else:
            kept[name] = state[name]
            last = name
    others = {name: value for name, value in state.items() if not name.startswith(_WINDOW)}
    return {**others, **kept, _window(opened): window.EMPTY}, {**clock, "open": opened, "cut_ms": due_ms}


def _due(state: State, clock: Mapping[str, Any], name: str, due_ms: int) -> ScheduleDue:
    since = clock["since"].get(name, 0)
    seen = window.EMPTY
    for number in sorted(_numbers(state)):
        if since <= number < clock["open"]:
            seen = window.joined(seen, state[_window(number)])
    day = due_ms // DAY_MS - clock["began_ms"] // DAY_MS
    met = response.shown(state.get(_RESPONSE, {})) if name == response.PROBLEM else {}
    context = window.shown(seen, day, due_ms % DAY_MS // HOUR_MS, met)
    return ScheduleDue(schedule=name, due_ms=due_ms, day=day, context=context)


_WINDOW = "window:"
_RESPONSE = "response"


def _window(number: int) -> str:
    return f"{_WINDOW}{number}"


def _numbers(state: State) -> list[int]:
    return [int(name.removeprefix(_WINDOW)) for name in state if name.startswith(_WINDOW)]


schedules = Policy(name="schedules", reads=(ClockTicked, *window.READS), react=_react)
