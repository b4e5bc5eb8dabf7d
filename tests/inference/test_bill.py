"""What an answer costs: every call that was made for it, also those of which nothing came."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agents import AGENTS
from inference.attempt import Attempt, by_engine, worst_of_all, worst_usd_micros
from inference.bill import Bill, TooDear
from inference.breaker import RateBreaker
from inference.budget import Amount, Budget, Cap, ask, returned
from inference.chain import Chain
from inference.engines import Anthropic, Completion, Engine, EngineBusy, EngineRefused, OpenAI, Scripted
from inference.engines.http import calls_max
from inference.engines.openai import SCHEMAS
from inference.engines.scripted import Reply
from inference.guarded import Guarded
from inference.prices import cost_usd_micros
from inference.prompts import Prompt, canonical
from inference.purse import Purse, Reservation, Unlimited
from inference.slots import Slots, Urgency
from inference.validation import Refused
from schemas import BudgetAsked, BudgetRefused, BudgetReturned
from streams.chaos.faults import Plan
from streams.chaos.provider import Provider as Chaos
from tests.inference.asking import NOW_MS, now_ms
from tests.inference.providing import Naps
from tests.inference.voting import GREET
from tests.inference.voting import asking as question_and_prompt
from tests.waiting import eventually_async

HOSTED, DEARER, OURS = "deepseek-chat", "gpt-4o-mini", "scripted"
CAP = 100_000
# What Anthropic itself puts before a tool that must be called, for models of its third and fourth generation.
ANTHROPICS_OWN_TOKENS = 346


class Settled(Unlimited):
    """Keeps what was reserved last and what was settled."""

    def __init__(self) -> None:
        self.reserved = Amount()
        self.spent = Amount()

    async def take(
        self, agent: str, tier: str, worst_usd_micros: int, *, calls: int = 1, within_ms: int
    ) -> Reservation | Refused:
        self.reserved = Amount(calls, worst_usd_micros)
        return Reservation("", worst_usd_micros, calls)

    def settle(self, reservation: Reservation, spent_usd_micros: int, calls: int) -> None:
        self.spent += Amount(calls, spent_usd_micros)


def chained(*engines: Engine) -> Chain:
    return Chain([Guarded(engine, [RateBreaker()], now_ms=now_ms) for engine in engines], now_ms=now_ms)


async def attempted(engine: Engine, purse: Purse, *, allowed_ms: int = 20_000, cap: int = CAP) -> Attempt:
    question, prompt = question_and_prompt(cost_cap_usd_micros=cap)
    turn = Slots(1).turn(Urgency.of("gold", NOW_MS))
    return await by_engine(engine, question, prompt, slots=turn, allowed_ms=allowed_ms, now_ms=now_ms, purse=purse)


def worst(model: str) -> int:
    _, prompt = question_and_prompt()
    return cost_usd_micros(model, prompt.tokens_max(), prompt.max_tokens, 0)


async def test_a_hosted_model_that_hangs_costs_its_worst_because_the_provider_may_charge_it() -> None:
    purse, hanging = Settled(), Scripted([], model=HOSTED, wait=asyncio.Event())
    attempt = await attempted(hanging, purse, allowed_ms=20)
    assert isinstance(attempt.outcome, Refused)
    assert attempt.outcome.reason == "timeout"
    [cost] = attempt.costs
    assert (cost.cost_usd_micros, cost.calls) == (worst(HOSTED), 1)
    assert purse.spent == Amount(1, worst(HOSTED))


async def test_who_hangs_again_and_again_comes_to_the_cap() -> None:
    cap = Cap("total", "hour", usd_micros=3 * worst(HOSTED))
    purse = Budgeted(cap)
    hanging = Scripted([], model=HOSTED, wait=asyncio.Event())
    outcomes = [(await attempted(hanging, purse, allowed_ms=10)).outcome for _ in range(5)]
    assert [out.reason for out in outcomes if isinstance(out, Refused)] == ["timeout"] * 3 + ["budget"] * 2
    assert len(hanging.asked) == 3


async def test_a_call_that_is_cancelled_is_settled_at_its_worst_too() -> None:
    purse, hanging = Settled(), Scripted([], model=HOSTED, wait=asyncio.Event())
    call = asyncio.create_task(attempted(hanging, purse))
    await eventually_async(lambda: bool(hanging.asked))
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert purse.spent == Amount(1, worst(HOSTED))


async def test_a_model_of_our_own_that_hangs_costs_the_time_it_ran() -> None:
    purse, hanging = Settled(), Scripted([], model=OURS, wait=asyncio.Event())
    [cost] = (await attempted(hanging, purse, allowed_ms=50)).costs
    assert (cost.prompt_tokens, cost.completion_tokens) == (0, 0)
    assert 40 <= cost.duration_ms < 1_000
    assert (
        cost.cost_usd_micros
        == cost_usd_micros(OURS, 0, 0, cost.duration_ms)
        < worst_usd_micros(hanging, question_and_prompt()[1], 1_000)
    )


async def test_a_chain_pays_for_each_engine_that_it_asked_under_that_models_name() -> None:
    purse = Settled()
    whole = Completion(GREET, 100, 20, 1, "stop")
    chain = chained(Scripted([EngineBusy("lost")], model=HOSTED), Scripted([whole], model=DEARER))
    attempt = await attempted(chain, purse)
    assert attempt.model == DEARER
    answered = cost_usd_micros(DEARER, 100, 20, 0)
    assert {cost.model: (cost.calls, cost.cost_usd_micros) for cost in attempt.costs} == {
        HOSTED: (1, worst(HOSTED)),
        DEARER: (1, answered),
    }
    assert purse.reserved == Amount(2, worst(HOSTED) + worst(DEARER))
    assert purse.spent == Amount(2, worst(HOSTED) + answered)


async def test_what_the_cap_does_not_reach_for_is_not_asked_and_its_breaker_does_not_mind() -> None:
    purse, second = Settled(), Scripted([GREET], model=HOSTED)
    chain = chained(Scripted([EngineBusy("lost")], model=HOSTED), second)
    attempt = await attempted(chain, purse, cap=2 * worst(HOSTED) - 1)
    assert isinstance(attempt.outcome, Refused)
    assert "does not cover another call" in attempt.outcome.detail
    assert second.asked == []
    assert purse.spent == Amount(1, worst(HOSTED))
    assert chain._engines[1]._breakers[0].state(NOW_MS) == "closed"


async def test_who_was_never_asked_costs_nothing() -> None:
    purse = Settled()
    broken = Guarded(Scripted(lambda prompt: EngineBusy("ill"), model=HOSTED), [RateBreaker()], now_ms=now_ms)
    for _ in range(5):
        await attempted(broken, purse)
    purse.spent = Amount()
    attempt = await attempted(broken, purse)
    assert (attempt.costs, purse.spent) == ((), Amount())


FAULTS = [
    # Each call counts, towards the calls an hour too; a server that says it failed charges nothing.
    ("error", 4, 0),
    ("rate_limited_blind", 4, 0),
    # Sent, and nobody knows what became of it.
    ("hang", 1, 1),
    ("reset", 4, 4),
    # Something was written, if nothing that can be used.
    ("not_json", 1, 1),
    ("error_inside", 1, 1),
]


@pytest.mark.parametrize(("fault", "calls", "at_worst"), FAULTS)
async def test_what_a_real_server_that_fails_has_cost(chaos: Chaos, fault: str, calls: int, at_worst: int) -> None:
    chaos.plan, purse = Plan({fault: 1.0}), Settled()
    engine = OpenAI(HOSTED, f"{chaos.url}/v1", sleep=Naps().sleep)
    try:
        attempt = await attempted(engine, purse, allowed_ms=300 if fault == "hang" else 20_000)
    finally:
        await engine.close()
    assert isinstance(attempt.outcome, Refused)
    assert chaos.served["requests"] == calls
    assert purse.spent == Amount(calls, at_worst * worst(HOSTED))
    assert sum(cost.calls for cost in attempt.costs) == calls


async def test_a_server_that_gets_well_is_paid_for_its_answer_and_counted_for_every_call(chaos: Chaos) -> None:
    seed = next(seed for seed in range(100) if [Plan({"error": 0.5}, seed).fault(n) for n in (0, 1)] == ["error", ""])
    chaos.plan, purse = Plan({"error": 0.5}, seed), Settled()
    engine = OpenAI(HOSTED, f"{chaos.url}/v1", sleep=Naps().sleep)
    try:
        attempt = await attempted(engine, purse)
    finally:
        await engine.close()
    [cost] = attempt.costs
    assert attempt.said is not None
    paid = cost_usd_micros(HOSTED, attempt.said.prompt_tokens, attempt.said.completion_tokens, 0)
    assert (cost.calls, cost.cost_usd_micros) == (2, paid)
    assert purse.spent == Amount(2, paid)


async def test_where_nobody_listens_no_call_was_made() -> None:
    purse, engine = Settled(), OpenAI(HOSTED, "http://127.0.0.1:1/v1", sleep=Naps().sleep)
    try:
        attempt = await attempted(engine, purse)
    finally:
        await engine.close()
    assert (attempt.costs, purse.spent) == ((), Amount())
    assert isinstance(attempt.outcome, Refused)
    assert "cannot be reached" in attempt.outcome.detail


async def test_a_request_that_may_have_been_paid_for_is_not_repeated_beyond_what_was_reserved(chaos: Chaos) -> None:
    chaos.plan, purse = Plan({"reset": 1.0}), Settled()
    engine = OpenAI(HOSTED, f"{chaos.url}/v1", sleep=Naps().sleep)
    try:
        attempt = await attempted(engine, purse, cap=2 * worst(HOSTED))
    finally:
        await engine.close()
    assert isinstance(attempt.outcome, Refused)
    assert "cannot be reached" in attempt.outcome.detail
    assert purse.spent == Amount(2, 2 * worst(HOSTED)) == Amount(chaos.served["requests"], purse.reserved.usd_micros)


@pytest.mark.parametrize(
    ("allowed_ms", "calls"), [(900, 1), (1_200, 1), (1_201, 2), (3_300, 3), (5_000, 3), (7_500, 4), (60_000, 4)]
)
def test_as_many_calls_are_reserved_as_there_is_time_for(allowed_ms: int, calls: int) -> None:
    assert calls_max(allowed_ms) == calls
    _, prompt = question_and_prompt()
    chain = chained(OpenAI(HOSTED, "http://127.0.0.1:1/v1"), Scripted([], model=DEARER))
    assert worst_of_all(chain, prompt, allowed_ms) == Amount(calls + 1, calls * worst(HOSTED) + worst(DEARER))


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_the_worst_case_covers_all_that_engines_send(name: str) -> None:
    agent = AGENTS[name]
    prompt = Prompt(agent.prompt(agent.shown({})), agent.schema(("one", "other")), agent.max_tokens, 1)
    engine = OpenAI(HOSTED, "http://127.0.0.1:1/v1")
    for body in (engine._body(prompt, frozenset({SCHEMAS})), engine._body(prompt)):
        sent = [*(turn["content"] for turn in body["messages"]), canonical(body["response_format"])]
        assert sum(len(text.encode()) for text in sent) <= prompt.tokens_max()
    body = Anthropic("claude-3-haiku")._body(prompt)
    sent = [body["system"], *(turn["content"] for turn in body["messages"]), canonical(body["tools"])]
    assert sum(len(text.encode()) for text in sent) + ANTHROPICS_OWN_TOKENS <= prompt.tokens_max()


OWN = {"gold": "Qwen2.5-3B-Instruct-AWQ", "silver": "Qwen2.5-7B-Instruct", "bronze": "Qwen2.5-7B-Instruct"}
RENTED = ("deepseek-chat", "gpt-4o-mini", "claude-3-haiku", "llama-3.1-70b")


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_an_agents_cap_covers_a_call_of_its_tiers_own_model_and_of_each_cheap_rented_one(name: str) -> None:
    agent = AGENTS[name]
    prompt = Prompt(agent.prompt(agent.shown({})), agent.schema(("one", "other")), agent.max_tokens, 1)
    for model in (*RENTED, OWN[agent.tier]):
        worst_of_one = cost_usd_micros(model, prompt.tokens_max(), agent.max_tokens, agent.deadline_ms)
        assert worst_of_one <= agent.cost_cap_usd_micros


def test_a_bill_takes_no_call_that_it_does_not_cover() -> None:
    _, prompt = question_and_prompt()
    bill = Bill(Amount(1, 2 * worst(HOSTED)))

    async def made() -> None:
        with bill.call(HOSTED, prompt):
            pass
        with pytest.raises(TooDear), bill.call(HOSTED, prompt):
            raise AssertionError("it was made")

    asyncio.run(made())
    assert bill.total == Amount(1, worst(HOSTED))


class Budgeted:
    """A purse straight on the budget's state, as its one writer keeps it."""

    def __init__(self, *caps: Cap) -> None:
        self.caps = caps
        self.budget = Budget()
        self._number = 0

    async def take(
        self, agent: str, tier: str, worst_usd_micros: int, *, calls: int = 1, within_ms: int
    ) -> Reservation | Refused:
        self._number += 1
        asked = BudgetAsked(
            ask_id=str(self._number),
            agent=agent,
            tier=tier,
            calls=calls,
            usd_micros=worst_usd_micros,
            until_ms=NOW_MS + 60_000,
        )
        self.budget, verdict = ask(self.budget, self.caps, asked, NOW_MS)
        if isinstance(verdict, BudgetRefused):
            return Refused("budget", verdict.detail)
        return Reservation(asked.ask_id, worst_usd_micros, calls)

    def settle(self, reservation: Reservation, spent_usd_micros: int, calls: int) -> None:
        back = BudgetReturned(ask_id=reservation.ask_id, calls=calls, usd_micros=spent_usd_micros)
        self.budget, _ = returned(self.budget, back)

    def used(self) -> Amount:
        return self.budget.used(Cap("total", "hour"), "guard", "gold", NOW_MS)


REPLIES = st.sampled_from(
    [
        GREET,
        "garbage",
        EngineBusy("lost"),
        EngineRefused("no"),
        Completion(GREET, 90, 40, 500, "stop"),
        ValueError("bug"),
    ]
)
ENGINES = st.lists(
    st.tuples(st.sampled_from([HOSTED, DEARER, OURS]), st.lists(REPLIES, max_size=4)), min_size=1, max_size=3
)


@given(attempts=st.lists(ENGINES, min_size=1, max_size=12), calls=st.integers(0, 12), usd_micros=st.integers(0, 900))
def test_whatever_fails_and_is_repeated_no_cap_is_passed_by_more_than_is_in_flight(
    attempts: Sequence[Sequence[tuple[str, list[Reply]]]], calls: int, usd_micros: int
) -> None:
    purse = Budgeted(Cap("total", "hour", calls=calls), Cap("agent", "day", usd_micros=usd_micros))
    made = Amount()

    async def all_at_once() -> list[Any]:
        engines = [chained(*(Scripted(replies, model=model) for model, replies in one)) for one in attempts]
        return await asyncio.gather(*(attempted(engine, purse) for engine in engines))

    for attempt in asyncio.run(all_at_once()):
        for cost in attempt.costs:
            made += Amount(cost.calls, cost.cost_usd_micros)
    assert made.beyond(Amount(calls, usd_micros)) == Amount()
    assert purse.used() == made
    assert purse.budget.in_flight == Amount()


def test_a_prompt_is_the_same_whoever_pays_for_it() -> None:
    _, prompt = question_and_prompt()
    assert replace(prompt, bill=Bill(Amount(1, 1))) == prompt
