"""Schedules: every time is told once, in order, however the clock ticks; contexts say what happened and stay small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agents import AGENTS
from schemas import (
    ClockTicked,
    DecisionEffective,
    DepthReached,
    Event,
    GoldGained,
    GoldSpent,
    PlaceEntered,
    PlayerDied,
    PlayerSaid,
    ScheduleDue,
)
from streams import window
from streams.policies.schedules import DAYS_MISSED_MAX, HOURS_MISSED_MAX, SCHEDULES, due_between, schedules
from tests.policies import DAY_MS, HOUR_MS, MIDNIGHT_MS, MINUTE_MS, event, run, tick

#: What the daily pipeline is to be (spec A.15), a story and the arc (A.16), in a day that begins at midnight.
DAILY = {
    "problem": (0, 0),
    "adaptive_dungeon": (0, 15),
    "map_hazard": (0, 30),
    "treasure": (1, 0),
    "archaeology": (2, 0),
    "dynamic_npc": (6, 0),
    "social": (7, 0),
    "arc": (12, 0),
    "story": (20, 0),
}

moments = st.integers(MIDNIGHT_MS, MIDNIGHT_MS + 3 * DAY_MS)
ticks = st.lists(moments, min_size=2, max_size=40)


def told(events: Sequence[Event]) -> list[ScheduleDue]:
    return [fact for _, fact in run(schedules, events)[1]]


def times(found: Sequence[ScheduleDue]) -> list[tuple[str, int]]:
    return [(due.schedule, due.due_ms) for due in found]


def context(due: ScheduleDue) -> dict[str, object]:
    found: dict[str, object] = orjson.loads(due.context)
    return found


def test_the_daily_pipeline_comes_at_the_times_of_the_spec() -> None:
    found = told([tick(MIDNIGHT_MS + minute * MINUTE_MS) for minute in range(0, 24 * 60, 5)])
    expected = {name: MIDNIGHT_MS + hour * HOUR_MS + minute * MINUTE_MS for name, (hour, minute) in DAILY.items()}
    assert {name: due_ms for name, due_ms in times(found) if name != "hour"} == expected
    assert [due_ms for name, due_ms in times(found) if name == "hour"] == [
        MIDNIGHT_MS + hour * HOUR_MS for hour in range(24)
    ]
    assert Counter(name for name, _ in times(found)) == {**dict.fromkeys(DAILY, 1), "hour": 24}
    assert [due.due_ms for due in found] == sorted(due.due_ms for due in found)


def test_an_arc_is_due_every_14_days_from_the_first() -> None:
    began_ms = MIDNIGHT_MS + 9 * HOUR_MS
    found = told([tick(began_ms + hour * HOUR_MS) for hour in range(30 * 24)])
    arcs = [(due.day, due.due_ms) for due in found if due.schedule == "arc"]
    assert arcs == [(day, MIDNIGHT_MS + day * DAY_MS + 12 * HOUR_MS) for day in (0, 14, 28)]


@given(ticks)
def test_however_the_clock_ticks_the_same_times_are_told_once_and_in_order(chosen: list[int]) -> None:
    begun, ended = min(chosen), max(chosen)
    steady = [begun, *(begun + n * HOUR_MS // 2 for n in range(1, (ended - begun) // (HOUR_MS // 2) + 1)), ended]
    # A tick takes up at most a day of hours; between the chosen ones the clock ticks at least every half day.
    dense = sorted({*chosen, *range(begun, ended, DAY_MS // 2)})
    expected = times(told([tick(at) for at in steady]))
    found = times(told([tick(at) for at in dense]))
    assert found == expected
    assert len(set(found)) == len(found)


@given(ticks)
def test_a_clock_that_goes_back_or_repeats_tells_nothing_twice(chosen: list[int]) -> None:
    first = tick(min(chosen))
    found = times(told([first, *map(tick, chosen)]))
    assert len(set(found)) == len(found)
    assert [due_ms for _, due_ms in found] == sorted(due_ms for _, due_ms in found)
    highest = max(chosen)
    assert times(told([first, *map(tick, chosen), tick(highest), tick(highest - 1)])) == found


@given(ticks, st.data())
def test_a_restart_between_any_two_ticks_changes_nothing(chosen: list[int], data: st.DataObject) -> None:
    events = [tick(at) for at in sorted(chosen)]
    whole_state, whole = run(schedules, events)
    cut = data.draw(st.integers(0, len(events)))
    state, first = run(schedules, events[:cut])
    again, second = run(schedules, events[cut:], state)
    assert first + second == whole
    assert again == whole_state


def test_an_outage_is_made_up_for_within_bounds_and_once() -> None:
    found = times(told([tick(MIDNIGHT_MS + HOUR_MS // 2 + 1), tick(MIDNIGHT_MS + 100 * DAY_MS)]))
    counted = Counter(name for name, _ in found)
    assert counted.pop("hour") == HOURS_MISSED_MAX
    assert set(counted.values()) == {DAYS_MISSED_MAX}
    # Those made up for are the latest, and the next day begins anew.
    assert max(due_ms for name, due_ms in found if name == "problem") == MIDNIGHT_MS + 100 * DAY_MS
    assert found == sorted(found, key=lambda each: each[1])


def test_a_tick_that_no_calendar_knows_is_not_believed() -> None:
    events = [tick(MIDNIGHT_MS + 1), event(ClockTicked(time_ms=2**63)), tick(MIDNIGHT_MS + DAY_MS)]
    assert ("problem", MIDNIGHT_MS + DAY_MS) in times(told(events))


def test_a_window_holds_what_happened_since_the_schedule_was_last_due() -> None:
    def at(hour: float) -> Event:
        return tick(MIDNIGHT_MS + round(hour * HOUR_MS))

    decided = DecisionEffective(decision_id="d", agent="weather", action="rain")
    events = [
        at(0.1),
        event(PlaceEntered(zone="Mines 3", depth=4), "astrid"),
        event(PlayerDied(zone="Mines 3", depth=5, killer="a hill orc"), "bjorn"),
        event(decided),
        at(1),
        event(PlaceEntered(zone="Sokoban 1", depth=2), "astrid"),
        event(GoldGained(amount=30), "astrid"),
        event(GoldSpent(amount=50), "astrid"),
        event(PlayerSaid(text="help"), "carl"),
        at(2),
        at(25),
    ]
    found = {(due.schedule, due.due_ms): context(due) for due in told(events)}
    one, two = found["treasure", MIDNIGHT_MS + HOUR_MS], found["hour", MIDNIGHT_MS + 2 * HOUR_MS]
    assert one["places"] == [["Mines 3", 1]]
    assert one["killers"] == [["a hill orc", 1]]
    assert one["decided"] == {"weather": {"rain": 1}}
    assert one["recent"] == [["weather", "rain"]]
    assert (one["players"], one["deaths"], one["deepest"], one["gold"], one["said"]) == (2, 1, 5, 0, 0)
    assert (two["players"], two["deaths"], two["gold"], two["said"]) == (2, 0, -20, 1)
    assert (two["day"], two["hour"]) == (0, 2)
    day = found["archaeology", MIDNIGHT_MS + 2 * HOUR_MS]
    assert day["places"] == [["Mines 3", 1], ["Sokoban 1", 1]]
    assert day["players"] == 3
    tomorrow = found["treasure", MIDNIGHT_MS + 25 * HOUR_MS]
    assert tomorrow["places"] == [["Sokoban 1", 1]]
    assert set(tomorrow) == {
        "day", "hour", "players", "deaths", "deepest", "gold", "said", "places", "killers", "decided", "recent",
    }  # fmt: skip


def test_the_problems_schedule_is_told_how_many_came_to_the_last_one() -> None:
    def problem(decision_id: str, zone: str, goal: int = 3) -> Event:
        about = orjson.dumps({"zone": zone, "goal": goal}).decode()
        return event(DecisionEffective(decision_id=decision_id, agent="problem", action="raid", about=about))

    def came(zone: str, *heroes: str) -> list[Event]:
        return [event(PlaceEntered(zone=zone, depth=2), hero) for hero in heroes]

    def day(number: int) -> Event:
        return tick(MIDNIGHT_MS + number * DAY_MS)

    events = [
        day(0), *came("Mines 3", "early"), problem("one", "Mines 3"), *came("Mines 3", "astrid", "astrid", "bjorn"),
        problem("one", "Mines 3"), *came("Sokoban 1", "carl"), tick(MIDNIGHT_MS + HOUR_MS), *came("Mines 3", "dagny"),
        day(1), *came("Mines 3", "astrid"), problem("two", "Sokoban 1", goal=0), *came("Mines 3", "carl"),
        day(2), day(3),
    ]  # fmt: skip
    found = [context(due) for due in told(events) if due.schedule == "problem"]
    assert [(day.get("goal"), day.get("came")) for day in found] == [(None, None), (3, 3), (1, 0), (None, None)]
    others = [context(due) for due in told(events) if due.schedule != "problem"]
    assert not any("came" in other for other in others)


def test_what_came_of_a_problem_is_read_by_the_agent_that_makes_them() -> None:
    about = orjson.dumps({"zone": "Mines 3", "goal": 2}).decode()
    events = [
        tick(MIDNIGHT_MS),
        event(DecisionEffective(decision_id="d", agent="problem", action="raid", about=about)),
        event(PlaceEntered(zone="Mines 3", depth=3), "astrid"),
        tick(MIDNIGHT_MS + DAY_MS),
    ]
    [_, due] = [due for due in told(events) if due.schedule == "problem"]
    [asked] = AGENTS["problem"].contexts(event(due, "world"))
    assert asked["completion_percent"] == 50
    assert "raid" not in AGENTS["problem"].legal_actions(asked)


def test_a_state_keeps_no_more_windows_than_schedules_tell_apart() -> None:
    events = [tick(MIDNIGHT_MS + hour * HOUR_MS // 2) for hour in range(2 * 24 * 20)]
    state, _ = run(schedules, events)
    assert len([name for name in state if name.startswith("window:")]) <= len(SCHEDULES) + 2


strange = st.text(min_size=1, max_size=80)
happenings = st.one_of(
    st.builds(PlaceEntered, zone=strange, depth=st.integers(0, 2**32 - 1)),
    st.builds(DepthReached, zone=strange, depth=st.integers(0, 2**32 - 1)),
    st.builds(PlayerDied, zone=strange, killer=strange),
    st.builds(GoldGained, amount=st.integers(0, 2**64 - 1)),
    st.builds(GoldSpent, amount=st.integers(0, 2**64 - 1)),
    st.builds(PlayerSaid, text=strange),
    st.builds(DecisionEffective, agent=strange, action=strange),
)


@given(st.lists(st.tuples(happenings, strange), max_size=60), st.integers(0, 60))
def test_windows_join_as_if_they_had_been_one(facts: list[tuple[object, str]], cut: int) -> None:
    seen = [event(fact, subject) for fact, subject in facts]  # type: ignore[arg-type]
    parts = [window.EMPTY, window.EMPTY]
    whole = window.EMPTY
    for number, happened in enumerate(seen):
        whole = window.folded(whole, happened)
        parts[number >= cut] = window.folded(parts[number >= cut], happened)
    together = window.joined(*parts)
    for key in ("players", "deaths", "deepest", "said"):
        assert together[key] == whole[key]
    # What is displaced may be counted higher, never lower; below the bounds both are exact.
    if len({fact.zone for fact, _ in facts if isinstance(fact, PlaceEntered)}) <= window.PLACES_MAX:
        assert together["places"] == whole["places"]


@pytest.mark.parametrize("letters", ["n", "\U0001f5e1"])
def test_a_context_stays_small_whatever_the_log_holds(letters: str) -> None:
    seen = window.EMPTY
    for n in range(3_000):
        name = f"{letters * 60}{n}"[-70:]
        seen = window.folded(seen, event(PlaceEntered(zone=f"{n}{name}", depth=n), f"hero-{n}"))
        seen = window.folded(seen, event(PlayerDied(killer=f"{n}{name}"), f"hero-{n}"))
        seen = window.folded(seen, event(DecisionEffective(agent=f"{n % 90}{name}", action=f"{n % 77}{name}")))
    assert len(orjson.dumps(seen)) < 200_000
    text = window.shown(seen, 3, 4)
    assert len(text.encode()) <= window.SHOWN_BYTES_MAX
    found = orjson.loads(text)
    assert abs(found["players"] - 3_000) < 600
    assert len(found["places"]) == window.PLACES_SHOWN_MAX


def test_the_most_visited_place_is_shown_however_many_others_there_are() -> None:
    seen = window.EMPTY
    for n in range(2_000):
        seen = window.folded(seen, event(PlaceEntered(zone="the well" if n % 10 == 0 else f"hall {n}")))
    name, visits = orjson.loads(window.shown(seen, 0, 0))["places"][0]
    assert name == "the well"
    assert 200 <= visits <= 250


def test_due_between_is_what_the_policy_tells() -> None:
    begun, ended = MIDNIGHT_MS + 11 * HOUR_MS + 1, MIDNIGHT_MS + 20 * DAY_MS
    found = times(told([tick(at) for at in [*range(begun, ended, HOUR_MS), ended]]))
    assert found == due_between_steps(begun, ended)


def due_between_steps(begun: int, ended: int) -> list[tuple[str, int]]:
    steps = [*range(begun, ended, HOUR_MS), ended]
    return [due for low, high in pairwise(steps) for due in due_between(low, high, begun)]
