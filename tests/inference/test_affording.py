"""Each model of a chain has a price of its own: what the money does not reach for is left out, and said at start."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inference.affording import unaffordable
from inference.agent import Answer
from inference.agents import AGENTS
from inference.attempt import Attempt, by_engine, least_usd_micros, worst_usd_micros
from inference.bill import worst_of_call
from inference.budget import Amount
from inference.chain import Chain
from inference.engines import EngineBusy, Scripted, choose_engine
from inference.ensemble import Seat
from inference.prices import LISTED, Prices
from inference.purse import UNLIMITED
from inference.slots import Slots, Urgency
from inference.validation import Refused
from schemas import TIERS
from streams import doctor
from streams.config import Settings
from streams.inferring import make_worker
from tests.inference.asking import NOW_MS, now_ms
from tests.inference.serving import replying
from tests.inference.test_bill import Settled, chained
from tests.inference.voting import GREET, ensemble, outcomes
from tests.inference.voting import asking as question_and_prompt

CHEAP, DEAR = "deepseek-chat", "grok-beta"
KEYS = {"deepseek": "k", "xai": "k"}


def worst(model: str) -> int:
    return worst_of_call(model, question_and_prompt()[1], 5_000, LISTED)


async def attempted(chain: Chain, cap: int, purse: Any = UNLIMITED, prices: Prices = LISTED) -> Attempt:
    question, prompt = question_and_prompt(cost_cap_usd_micros=cap)
    turn = Slots(1).turn(Urgency.of("gold", NOW_MS))
    return await by_engine(
        chain, question, prompt, slots=turn, allowed_ms=5_000, now_ms=now_ms, purse=purse, prices=prices
    )


@pytest.mark.parametrize("dear_first", [True, False])
async def test_the_cheap_one_is_asked_where_the_money_does_not_reach_for_the_dear_one(dear_first: bool) -> None:
    cheap, dear = Scripted([GREET], model=CHEAP), Scripted([GREET], model=DEAR)
    purse = Settled()
    attempt = await attempted(chained(dear, cheap) if dear_first else chained(cheap, dear), worst(DEAR) - 1, purse)
    assert isinstance(attempt.outcome, Answer)
    assert attempt.model == CHEAP
    assert dear.asked == []
    # What will not be asked is not reserved for.
    assert purse.reserved == Amount(1, worst(CHEAP))


async def test_a_dear_one_is_not_asked_either_when_the_cheap_one_fails() -> None:
    cheap, dear = Scripted([EngineBusy("ill")], model=CHEAP), Scripted([GREET], model=DEAR)
    attempt = await attempted(chained(cheap, dear), worst(DEAR) - 1)
    assert isinstance(attempt.outcome, Refused)
    assert dear.asked == []
    assert sum(cost.cost_usd_micros for cost in attempt.costs) <= worst(DEAR) - 1


async def test_where_the_money_reaches_for_none_nobody_is_asked_and_the_least_is_named() -> None:
    chain = chained(Scripted([GREET], model=CHEAP), Scripted([GREET], model=DEAR))
    attempt = await attempted(chain, worst(CHEAP) - 1)
    assert isinstance(attempt.outcome, Refused)
    assert attempt.outcome.reason == "cost_cap"
    assert str(worst(CHEAP)) in attempt.outcome.detail


async def test_a_seat_asks_those_of_its_engines_that_can_be_afforded() -> None:
    seat = chained(Scripted([GREET], model=DEAR), Scripted([GREET], model=CHEAP))
    votes = ensemble(seat, Scripted([GREET]), Scripted([GREET]))
    question, prompt = question_and_prompt()
    question.request.cost_cap_usd_micros = worst(CHEAP) + 2 * worst_usd_micros(Scripted([]), prompt, 5_000)
    assert least_usd_micros(seat, prompt, 5_000) < question.request.cost_cap_usd_micros < worst(DEAR)
    verdict = await votes.decide(question, prompt, allowed_ms=5_000)
    assert outcomes(verdict)[0] == "valid"
    assert isinstance(votes._seats[0], Seat)


async def test_a_price_that_was_told_is_what_is_reserved_and_paid() -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500}
    reply = {"choices": [{"message": {"content": GREET}, "finish_reason": "stop"}], "usage": usage}
    prices, purse = Prices.of({"m": 2.0}), Settled()
    async with replying(reply) as (url, _):
        chain = choose_engine(f"openai:m@{url}/v1")
        assert isinstance(chain, Chain)
        try:
            attempt = await attempted(chain, 1_000_000, purse, prices)
        finally:
            await chain.close()
    [cost] = attempt.costs
    assert cost.cost_usd_micros == 3_000 == purse.spent.usd_micros
    assert purse.reserved.usd_micros >= worst_of_call("m", question_and_prompt()[1], 0, prices)


def test_a_link_that_agents_never_ask_is_named_with_them_and_what_they_may_spend() -> None:
    chain = choose_engine("deepseek, xai", KEYS)
    agents = [agent for agent in AGENTS.values() if agent.tier == "silver"]
    [found] = unaffordable({"gold": None, "silver": chain}, AGENTS.values(), LISTED)
    assert (found.tier, found.link, found.by_nobody) == ("silver", "xai:grok-beta", False)
    assert found.agents == {name: AGENTS[name].cost_cap_usd_micros for name in found.agents}
    poor = [replace(agent, cost_cap_usd_micros=1_000) for agent in agents]
    [never] = unaffordable({"silver": chain}, poor, LISTED)
    assert never.by_nobody
    assert "xai:grok-beta is asked by no agent" in str(never)
    assert "dialogue 1,000" in str(never)
    assert (
        unaffordable({"silver": chain}, [replace(agent, cost_cap_usd_micros=10**6) for agent in agents], LISTED) == []
    )


def test_a_worker_says_at_its_start_what_is_never_asked_and_so_does_the_doctor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for name, told in {"GOLD": "openai:gpt-5.1", "SILVER": "rules", "BRONZE": "rules", "OPENAI_KEY": "k"}.items():
        monkeypatch.setenv(f"NORN_{name}", told)
    settings = Settings(home=tmp_path)
    shell: Any = SimpleNamespace(settings=settings, clock=SimpleNamespace(now_ms=now_ms))
    with caplog.at_level(logging.WARNING):
        make_worker(shell, TIERS, UNLIMITED)
    assert "gold: openai:gpt-5.1 is asked by no agent of the tier" in caplog.text
    found = doctor.engines(settings)
    assert not found.ok
    assert "decision 1,000" in found.detail
    monkeypatch.setenv("NORN_GOLD", "deepseek")
    assert "needs its key" in doctor.engines(Settings(home=tmp_path)).detail
    monkeypatch.setenv("NORN_GOLD", "rules")
    assert doctor.engines(Settings(home=tmp_path)) == doctor.Finding("engines", True, "the rules answer")
