"""The budget: never above a cap by more than what is in flight, and no phantom after a crash."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from inference.budget import (
    CALLS_MAX,
    CAPS,
    HELD_MAX_MS,
    LAPSE_GRACE_MS,
    SETTLED_KEPT_MS,
    USD_MICROS_MAX,
    Amount,
    Budget,
    Cap,
    ask,
    passed,
    period_start_ms,
    returned,
    sampled,
)
from schemas import BudgetAsked, BudgetRefused, BudgetReserved, BudgetReturned, CostSampled
from schemas.stamps import HOUR_MS

# 2026-03-31T23:30:00Z: an hour, a day and a month are over soon.
NOW_MS = 1_774_999_800_000
SMALL = (
    Cap("total", "hour", calls=20),
    Cap("total", "day", usd_micros=5_000),
    Cap("tier", "hour", "gold", usd_micros=1_000),
    Cap("agent", "month", usd_micros=3_000),
)
AGENTS = {"karma": "gold", "weather": "silver"}


def asking(
    ask_id: str, *, agent: str = "karma", calls: int = 1, usd_micros: int = 100, until_ms: int = 0
) -> BudgetAsked:
    until_ms = until_ms or NOW_MS + 60_000
    return BudgetAsked(
        ask_id=ask_id,
        holder="w",
        agent=agent,
        tier=AGENTS[agent],
        calls=calls,
        usd_micros=usd_micros,
        until_ms=until_ms,
    )


def cost(ask_id: str, usd_micros: int, *, agent: str = "karma") -> CostSampled:
    return CostSampled(agent=agent, tier=AGENTS[agent], ask_id=ask_id, calls=1, cost_usd_micros=usd_micros)


def spent(budget: Budget, *, agent: str = "karma", at_ms: int = NOW_MS) -> Amount:
    """What was spent in the month, in all."""
    return budget.used(Cap("total", "month"), agent, AGENTS[agent], at_ms)


@dataclass
class Life:
    """What happens to one ask, in whatever order it comes to the budget's writer."""

    samples: list[int]
    comes_back: bool


@dataclass
class Truth:
    """What an ask has really cost."""

    lives: dict[str, Life] = field(default_factory=dict)

    def spent(self) -> Amount:
        lives = self.lives.values()
        return Amount(sum(len(one.samples) for one in lives), sum(sum(one.samples) for one in lives))


LIVES = st.lists(st.builds(Life, st.lists(st.integers(0, 100), max_size=3), st.booleans()), min_size=1, max_size=8)


@given(lives=LIVES, data=st.data())
def test_whatever_order_and_however_often_what_is_spent_is_what_it_cost_and_nothing_stays_held(
    lives: list[Life], data: st.DataObject
) -> None:
    budget, truth = Budget(), Truth()
    for number, life in enumerate(lives):
        budget, verdict = ask(budget, (), asking(f"a{number}", calls=3, usd_micros=300), NOW_MS)
        assert isinstance(verdict, BudgetReserved)
        truth.lives[f"a{number}"] = life
    happenings: list[BudgetReturned | CostSampled | int] = [NOW_MS + 60_000 + LAPSE_GRACE_MS]
    for ask_id, life in truth.lives.items():
        happenings += [cost(ask_id, usd_micros) for usd_micros in life.samples]
        if life.comes_back:
            back = BudgetReturned(ask_id=ask_id, calls=len(life.samples), usd_micros=sum(life.samples))
            happenings += [back, back]
    for happened in data.draw(st.permutations(happenings)):
        if isinstance(happened, int):
            budget, _ = passed(budget, happened)
        elif isinstance(happened, CostSampled):
            budget = sampled(budget, happened, NOW_MS)
        else:
            budget, _ = returned(budget, happened)
    budget, _ = passed(budget, NOW_MS + 60_000 + LAPSE_GRACE_MS)
    assert budget.in_flight == Amount()
    assert spent(budget) == truth.spent()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "sample", "return", "wait"]),
        st.integers(0, 30),
        st.integers(1, 400),
        st.sampled_from(sorted(AGENTS)),
    ),
    max_size=60,
)


@given(STEPS)
def test_a_cap_holds_for_all_that_is_spent_and_reserved_together(steps: list[tuple[str, int, int, str]]) -> None:
    budget, now_ms = Budget(), NOW_MS
    worst: dict[str, int] = {}
    used: defaultdict[str, int] = defaultdict(int)
    for number, (step, which, usd_micros, agent) in enumerate(steps):
        ask_id = list(worst)[which % len(worst)] if worst else ""
        if step == "ask":
            asked = asking(f"a{number}", agent=agent, usd_micros=usd_micros, until_ms=now_ms + 10_000)
            budget, verdict = ask(budget, SMALL, asked, now_ms)
            if isinstance(verdict, BudgetReserved):
                worst[f"a{number}"] = usd_micros
                for cap in SMALL:
                    assert not cap.binds(agent, AGENTS[agent]) or within(budget, cap, agent, now_ms)
        elif step == "wait":
            now_ms += which * HOUR_MS // 10
            budget, _ = passed(budget, now_ms)
        elif ask_id and used[ask_id] == 0:
            # A well-behaved holder: it spends no more than it has reserved, once.
            used[ask_id] = min(usd_micros, worst[ask_id])
            name = budget.asks[ask_id].agent if ask_id in budget.asks else agent
            if step == "sample":
                budget = sampled(budget, cost(ask_id, used[ask_id], agent=name), now_ms)
            else:
                back = BudgetReturned(ask_id=ask_id, calls=1, usd_micros=used[ask_id])
                budget, _ = returned(budget, back)


def within(budget: Budget, cap: Cap, agent: str, now_ms: int) -> bool:
    amount = budget.used(cap, agent, AGENTS[agent], now_ms)
    return (cap.calls is None or amount.calls <= cap.calls) and (
        cap.usd_micros is None or amount.usd_micros <= cap.usd_micros
    )


def test_the_thousand_and_first_call_of_an_hour_is_refused_and_the_next_hour_begins_anew() -> None:
    budget = Budget()
    for number in range(1_000):
        budget, verdict = ask(budget, CAPS, asking(f"a{number}", usd_micros=1), NOW_MS)
        assert isinstance(verdict, BudgetReserved)
    budget, verdict = ask(budget, CAPS, asking("late", usd_micros=1), NOW_MS)
    assert isinstance(verdict, BudgetRefused)
    assert (verdict.cap, verdict.detail) == ("total per hour", "1001 calls of 1000")
    budget, verdict = ask(budget, CAPS, asking("next", usd_micros=1), NOW_MS + HOUR_MS)
    assert isinstance(verdict, BudgetReserved)


@pytest.mark.parametrize(
    ("cap", "named"),
    [
        (Cap("agent", "hour", usd_micros=100), "agent per hour"),
        (Cap("tier", "day", "gold", usd_micros=100), "tier gold per day"),
        (Cap("total", "month", usd_micros=100), "total per month"),
    ],
)
def test_a_refusal_names_the_cap_and_leaves_nothing_reserved(cap: Cap, named: str) -> None:
    budget, verdict = ask(Budget(), (cap,), asking("a", usd_micros=101), NOW_MS)
    assert isinstance(verdict, BudgetRefused)
    assert verdict.cap == named
    assert budget == Budget()


def test_another_agents_and_another_tiers_spending_does_not_count_against_ones_own_cap() -> None:
    caps = (Cap("agent", "hour", usd_micros=100), Cap("tier", "hour", usd_micros=100))
    budget, _ = ask(Budget(), caps, asking("a", agent="weather"), NOW_MS)
    _, verdict = ask(budget, caps, asking("b", agent="karma"), NOW_MS)
    assert isinstance(verdict, BudgetReserved)


def test_asking_twice_under_one_id_reserves_once_and_a_settled_ask_cannot_be_used_again() -> None:
    budget, first = ask(Budget(), SMALL, asking("a"), NOW_MS)
    again, second = ask(budget, SMALL, asking("a"), NOW_MS)
    assert (again, second) == (budget, first)
    budget, settled = returned(budget, BudgetReturned(ask_id="a", calls=1, usd_micros=40))
    assert settled is not None
    assert (settled.usd_micros, settled.reason) == (40, "returned")
    _, third = ask(budget, SMALL, asking("a"), NOW_MS)
    assert isinstance(third, BudgetRefused)


def test_money_spent_without_asking_counts_too() -> None:
    budget = sampled(Budget(), cost("", 4_950), NOW_MS)
    _, verdict = ask(budget, SMALL, asking("a", agent="weather", usd_micros=51), NOW_MS)
    assert isinstance(verdict, BudgetRefused)
    assert verdict.cap == "total per day"


def test_what_a_dead_worker_had_reserved_lapses_to_what_it_has_spent() -> None:
    budget, _ = ask(Budget(), SMALL, asking("a", usd_micros=500), NOW_MS)
    budget = sampled(budget, cost("a", 30), NOW_MS)
    budget, settled = passed(budget, NOW_MS + 60_000 + LAPSE_GRACE_MS - 1)
    assert settled == []
    budget, [fact] = passed(budget, NOW_MS + 60_000 + LAPSE_GRACE_MS)
    assert (fact.usd_micros, fact.reason) == (30, "lapsed")
    assert spent(budget) == Amount(1, 30)


def test_an_asker_whose_clock_is_wrong_holds_its_reservation_no_longer_than_anybody_may() -> None:
    budget, reserved = ask(Budget(), SMALL, asking("a", until_ms=NOW_MS + 1_000 * HOUR_MS), NOW_MS)
    assert isinstance(reserved, BudgetReserved)
    assert reserved.until_ms == NOW_MS + HELD_MAX_MS
    _, [fact] = passed(budget, NOW_MS + HELD_MAX_MS + LAPSE_GRACE_MS)
    assert fact.reason == "lapsed"


def test_sums_stop_at_what_a_fact_can_hold_so_that_no_sample_can_stop_the_budget() -> None:
    most = CostSampled(agent="karma", tier="gold", ask_id="a", calls=CALLS_MAX, cost_usd_micros=USD_MICROS_MAX)
    budget, _ = ask(Budget(), (), asking("a"), NOW_MS)
    budget = sampled(sampled(budget, most, NOW_MS), most, NOW_MS)
    budget, [fact] = passed(budget, NOW_MS + 60_000 + LAPSE_GRACE_MS)
    assert (fact.calls, fact.usd_micros) == (CALLS_MAX, USD_MICROS_MAX)
    _, verdict = ask(budget, CAPS, asking("b"), NOW_MS)
    assert isinstance(verdict, BudgetRefused)


def test_a_cap_whose_limit_is_misspelt_is_an_error_and_not_a_cap_without_limit() -> None:
    caps = TypeAdapter(tuple[Cap, ...])
    assert caps.validate_json('[{"scope":"total","period":"hour","calls":5}]') == (Cap("total", "hour", calls=5),)
    with pytest.raises(ValidationError, match="usd_micro"):
        caps.validate_json('[{"scope":"total","period":"hour","usd_micro":5}]')


def test_what_is_too_old_to_matter_is_forgotten() -> None:
    budget, _ = ask(Budget(), SMALL, asking("a"), NOW_MS)
    budget, _ = returned(budget, BudgetReturned(ask_id="a", calls=1, usd_micros=40))
    budget, _ = passed(budget, NOW_MS + 60_000 + SETTLED_KEPT_MS)
    assert budget == Budget()


@pytest.mark.parametrize(
    ("period", "start"), [("hour", "2026-03-31T23"), ("day", "2026-03-31T00"), ("month", "2026-03-01T00")]
)
def test_periods_begin_on_the_hour_the_day_and_the_month_of_utc(period: str, start: str) -> None:
    from datetime import datetime

    wanted = int(datetime.fromisoformat(f"{start}:00+00:00").timestamp()) * 1000
    assert period_start_ms(period, NOW_MS) == wanted  # type: ignore[arg-type]
