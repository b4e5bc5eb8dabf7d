"""The budget's policy: what it keeps survives being stored, and it says what the budget says."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from inference.budget import Cap
from schemas import BudgetAsked, BudgetRefused, BudgetReserved, BudgetReturned, BudgetSettled, ClockTicked, CostSampled
from streams.policies.budget import budget, budget_of
from streams.policy import State
from tests.inference.asking import NOW_MS, happened


def ask(number: int, usd_micros: int = 100) -> BudgetAsked:
    return BudgetAsked(
        ask_id=f"a{number}", holder="w", agent="karma", tier="gold", calls=1, usd_micros=usd_micros, until_ms=NOW_MS + 9
    )


HAPPENINGS = st.one_of(
    st.builds(ask, st.integers(0, 5), st.integers(1, 500)),
    st.builds(
        lambda n, spent: BudgetReturned(ask_id=f"a{n}", calls=1, usd_micros=spent),
        st.integers(0, 5),
        st.integers(0, 90),
    ),
    st.builds(
        lambda n, spent, source: CostSampled(
            source=source, agent="karma", tier="gold", ask_id=f"a{n}", calls=1, cost_usd_micros=spent
        ),
        st.integers(0, 5),
        st.integers(0, 90) | st.just((1 << 64) - 1),
        st.sampled_from(["ai_inference", "storage"]),
    ),
    st.just(ClockTicked(time_ms=1)),
)


@given(st.lists(st.tuples(HAPPENINGS, st.integers(0, 20_000)), max_size=25))
def test_a_state_that_was_stored_and_read_again_goes_on_as_if_it_had_not_been(
    happenings: list[tuple[BudgetAsked | BudgetReturned | CostSampled | ClockTicked, int]],
) -> None:
    kept: State = {}
    stored: State = {}
    now_ms = NOW_MS
    policy = budget_of((Cap("total", "hour", usd_micros=1_000),))
    for fact, later_ms in happenings:
        now_ms += later_ms
        event = happened(fact, at_ms=now_ms)
        kept, said = policy.react(kept, event)
        stored, said_again = policy.react(orjson.loads(orjson.dumps(stored)), event)
        assert said_again == said
        assert orjson.loads(orjson.dumps(stored)) == orjson.loads(orjson.dumps(kept))


def test_an_ask_is_reserved_settled_and_over_a_cap_refused() -> None:
    policy = budget_of((Cap("total", "hour", usd_micros=150),))
    state, [(_, reserved)] = policy.react({}, happened(ask(1)))
    assert isinstance(reserved, BudgetReserved)
    state, [(_, refused)] = policy.react(state, happened(ask(2)))
    assert isinstance(refused, BudgetRefused)
    state, [(_, settled)] = policy.react(state, happened(BudgetReturned(ask_id="a1", calls=1, usd_micros=30)))
    assert isinstance(settled, BudgetSettled)
    _, [(_, after)] = policy.react(state, happened(ask(3)))
    assert isinstance(after, BudgetReserved)


def test_time_alone_settles_what_a_dead_worker_left() -> None:
    state, _ = budget.react({}, happened(ask(1)))
    _, [(_, settled)] = budget.react(state, happened(ClockTicked(time_ms=1), at_ms=NOW_MS + 60_000))
    assert isinstance(settled, BudgetSettled)
    assert settled.reason == "lapsed"


def test_a_tick_that_settles_nothing_changes_nothing_that_would_have_to_be_stored() -> None:
    state, _ = budget.react({}, happened(ask(1)))
    after, said = budget.react(state, happened(ClockTicked(time_ms=1)))
    assert said == []
    assert all(after[name] is state[name] for name in state)


def test_what_machines_cost_is_no_call_of_a_model() -> None:
    policy = budget_of((Cap("total", "hour", calls=1),))
    state, _ = policy.react({}, happened(CostSampled(source="storage", cost_usd_micros=5_000)))
    _, [(_, verdict)] = policy.react(state, happened(ask(1)))
    assert isinstance(verdict, BudgetReserved)
    state, _ = policy.react({}, happened(CostSampled(source="ai_inference", cost_usd_micros=5_000)))
    _, [(_, verdict)] = policy.react(state, happened(ask(1)))
    assert isinstance(verdict, BudgetRefused)


def test_asks_are_read_from_what_was_stored_only_once() -> None:
    state, _ = budget.react({}, happened(ask(1)))
    state, _ = budget.react(orjson.loads(orjson.dumps(state)), happened(ask(2)))
    first = state["asks"]["a1"]
    state, _ = budget.react(state, happened(ask(3)))
    assert state["asks"]["a1"] is first
