"""Money does not follow one machine's clock: no leap of one writer begins an hour anew, or ends one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from inference.budget import LAPSE_GRACE_MS, USD, Cap, Period, period_start_ms
from inference.budget_time import ALONE_MAX_MS, BudgetTime, heard
from schemas import BudgetAsked, BudgetReserved, BudgetSettled, ClockTicked, CostSampled
from schemas.stamps import FUTURE_LIMIT_MS, HOUR_MS
from schemas.topics import DAY_MS
from streams.policies.budget import budget_of
from streams.policy import State
from tests.inference.asking import happened

# 2026-03-31T23:30:00Z: an hour, a day and a month are over soon.
NOW_MS = 1_774_999_800_000
CALLS = {"hour": 5, "day": 12, "month": 30}
CAPS = tuple(Cap("total", period, calls=calls) for period, calls in CALLS.items())  # type: ignore[arg-type]


@dataclass
class World:
    """A budget's policy, what is written about it at the true time, and what the broker lets through."""

    caps: tuple[Cap, ...] = CAPS
    true_ms: int = NOW_MS
    state: State = field(default_factory=dict)
    #: Calls granted and made, by period of the budget's time and of the true time.
    granted: dict[tuple[str, Period, int], int] = field(default_factory=lambda: defaultdict(int))
    number: int = 0

    @property
    def time_ms(self) -> int:
        time: BudgetTime = self.state["time"]
        return time.now_ms

    def write(self, writer: str, fact: Message, skew_ms: int = 0, *, screened: bool = True) -> list[Message]:
        """What the budget says to a fact; one stamped too far ahead of its append time never comes to it."""
        if screened and skew_ms > FUTURE_LIMIT_MS:
            return []
        self.number += 1
        event = happened(fact, at_ms=self.true_ms + skew_ms, number=self.number)
        event.origin = writer
        self.state, said = budget_of(self.caps).react(self.state, event)
        return [each for _, each in said]

    def tick(self, skew_ms: int = 0, *, screened: bool = True) -> list[Message]:
        return self.write("policy", ClockTicked(time_ms=1), skew_ms, screened=screened)

    def ask(self, writer: str, skew_ms: int = 0, calls: int = 1) -> bool:
        """Ask for calls and, where they are granted, make them all."""
        ask_id = f"a{self.number}"
        until_ms = self.true_ms + skew_ms + 60_000
        asked = BudgetAsked(ask_id=ask_id, holder="w", agent="karma", tier="gold", calls=calls, until_ms=until_ms)
        if not any(isinstance(said, BudgetReserved) for said in self.write(writer, asked, skew_ms)):
            return False
        for period in CALLS:
            self.granted["budget", period, period_start_ms(period, self.time_ms)] += calls  # type: ignore[arg-type,index]
            self.granted["true", period, period_start_ms(period, self.true_ms)] += calls  # type: ignore[arg-type,index]
        sample = CostSampled(source="ai_inference", agent="karma", tier="gold", ask_id=ask_id, calls=calls)
        self.write(writer, sample, skew_ms)
        return True


SKEWS = st.one_of(st.just(0), st.integers(-FUTURE_LIMIT_MS, 2 * FUTURE_LIMIT_MS), st.integers(-2 * DAY_MS, 2 * DAY_MS))
STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, HOUR_MS // 4), st.integers(1, 3)), min_size=5, max_size=60
)


@given(skews=st.fixed_dictionaries({"policy": SKEWS, "a": SKEWS, "b": SKEWS, "c": SKEWS}), leap=SKEWS, steps=STEPS)
def test_whatever_all_clocks_say_no_period_is_granted_more_than_its_cap_and_none_begins_a_minute_early(
    skews: dict[str, int], leap: int, steps: list[tuple[str, int, int]]
) -> None:
    world, before_ms = World(), 0
    for number, (writer, later_ms, calls) in enumerate(steps):
        world.true_ms += later_ms
        world.tick(leap if number == len(steps) // 2 else skews["policy"])
        world.ask(writer, skews[writer], calls)
        if world.state:
            assert before_ms <= world.time_ms <= world.true_ms + FUTURE_LIMIT_MS
            before_ms = world.time_ms
    for (kept_by, period, _), calls in world.granted.items():
        assert kept_by != "budget" or calls <= CALLS[period]


@given(skews=st.fixed_dictionaries({"b": SKEWS, "c": SKEWS}), leap=SKEWS, steps=STEPS)
def test_where_the_policy_worker_and_one_asker_are_right_the_true_periods_are_kept_to_a_minute(
    skews: dict[str, int], leap: int, steps: list[tuple[str, int, int]]
) -> None:
    world = World()
    granted: list[tuple[int, int]] = []
    for number, (writer, later_ms, calls) in enumerate(steps):
        world.true_ms += later_ms
        world.tick(leap if number == len(steps) // 2 else 0)
        world.tick()
        world.ask("a")
        assert -1 <= world.time_ms - world.true_ms <= FUTURE_LIMIT_MS
        if world.ask(writer, skews.get(writer, 0), calls):
            granted.append((world.true_ms, calls))
    for period, most in CALLS.items():
        made: defaultdict[int, int] = defaultdict(int)
        for at_ms, calls in granted:
            start_ms = period_start_ms(period, at_ms)  # type: ignore[arg-type]
            # Those of the last minute may count in the next already.
            if period_start_ms(period, at_ms + FUTURE_LIMIT_MS) == start_ms:  # type: ignore[arg-type]
                made[start_ms] += calls
        assert all(calls <= most for calls in made.values())


def spent_up(world: World, writer: str, skew_ms: int = 0) -> None:
    while world.ask(writer, skew_ms):
        pass


@pytest.mark.parametrize("writer", ["policy", "infer"])
@pytest.mark.parametrize("leap_ms", [HOUR_MS, DAY_MS, 40 * DAY_MS])
def test_one_leap_ahead_neither_forgets_what_is_spent_nor_begins_anew_even_where_no_broker_bounds_it(
    writer: str, leap_ms: int
) -> None:
    world = World()
    world.tick()
    spent_up(world, "infer")
    world.write(writer, ClockTicked(time_ms=1), leap_ms, screened=False)
    assert not world.ask("infer")
    for _ in range(300):
        world.true_ms += 1_000
        world.tick(leap_ms if writer == "policy" else 0, screened=False)
        assert not world.ask("infer")
    assert world.time_ms <= world.true_ms + FUTURE_LIMIT_MS


def test_what_one_writer_alone_has_told_is_not_undone_by_its_own_leap() -> None:
    world = World()
    spent_up(world, "")
    world.write("", ClockTicked(time_ms=1), DAY_MS, screened=False)
    assert not world.ask("")


@pytest.mark.parametrize("behind_ms", [HOUR_MS, DAY_MS, 40 * DAY_MS])
def test_an_asker_whose_clock_is_behind_meets_the_hours_cap(behind_ms: int) -> None:
    world = World()
    granted = 0
    for _ in range(600):
        world.true_ms += 1_000
        world.tick()
        granted += world.ask("right") + world.ask("behind", -behind_ms)
    assert granted == CALLS["hour"]


def test_an_asker_whose_clock_is_behind_holds_what_it_asked_for_as_long_as_any() -> None:
    world = World((Cap("total", "day", usd_micros=USD),))
    world.tick()
    world.write("right", ClockTicked(time_ms=1))
    asked = BudgetAsked(
        ask_id="x", holder="w", agent="karma", tier="gold", calls=1, usd_micros=USD, until_ms=NOW_MS - HOUR_MS + 60_000
    )
    [reserved] = world.write("behind", asked, -HOUR_MS)
    assert isinstance(reserved, BudgetReserved)
    world.true_ms += 59_000
    assert world.tick() == []
    world.true_ms += 1_000 + LAPSE_GRACE_MS
    [settled] = world.tick()
    assert isinstance(settled, BudgetSettled)
    assert settled.reason == "lapsed"


def test_after_a_night_without_a_policy_worker_the_day_is_a_new_one_as_soon_as_two_say_so() -> None:
    world = World()
    world.tick()
    spent_up(world, "infer")
    world.true_ms += DAY_MS // 2
    world.tick()
    assert world.ask("infer")


def test_the_hour_is_another_an_hour_later() -> None:
    world = World()
    spent_up(world, "infer")
    for _ in range(3_600):
        world.true_ms += 1_000
        world.tick()
    assert world.ask("infer")


def test_the_same_stamp_again_says_nothing_and_a_slow_third_writer_is_not_heard() -> None:
    time = heard(heard(BudgetTime(), "a", NOW_MS), "b", NOW_MS + 10)
    assert heard(time, "a", NOW_MS) is time
    assert heard(time, "c", NOW_MS - HOUR_MS) is time
    assert heard(time, "a", NOW_MS + ALONE_MAX_MS + 10).now_ms == NOW_MS + ALONE_MAX_MS + 10
    assert heard(time, "a", NOW_MS + ALONE_MAX_MS + 11).now_ms == NOW_MS + 10


def test_what_is_stored_goes_on_as_it_was() -> None:
    world = World()
    world.tick()
    world.ask("infer")
    stored = orjson.loads(orjson.dumps(world.state))
    again = World(state=stored, true_ms=world.true_ms, number=world.number)
    for each in (world, again):
        each.true_ms += 30_000
        each.tick()
    assert again.state["time"] == world.state["time"]
