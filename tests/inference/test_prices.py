"""Prices: as published, in whole micro-dollars, and never nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.llamacpp import MODEL
from inference.prices import HOSTED, RUNS_ON, UnknownPrice, cost_usd_micros

MILLION = 1_000_000
COUNTS = st.integers(0, 10 * MILLION)


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("deepseek-chat", 0.14),
        ("gpt-4o-mini", 0.15),
        ("claude-3-haiku", 0.25),
        ("llama-3.1-70b", 0.59),
        ("grok-beta", 5),
    ],
)
def test_a_million_tokens_cost_the_list_price(model: str, usd: float) -> None:
    assert cost_usd_micros(model, MILLION // 4, 3 * MILLION // 4, 0) == round(usd * MILLION)


@pytest.mark.parametrize(("model", "usd"), [(MODEL, 0.192), ("Qwen2.5-3B-Instruct-AWQ", 1.006)])
def test_an_hour_of_our_own_model_costs_an_hour_of_its_instance(model: str, usd: float) -> None:
    assert cost_usd_micros(model, 0, 0, 3_600_000) == round(usd * MILLION)


@given(st.sampled_from([*HOSTED, *RUNS_ON]), COUNTS, COUNTS, COUNTS)
def test_work_is_never_free_and_more_of_it_is_never_cheaper(model: str, prompt: int, completion: int, ms: int) -> None:
    price = cost_usd_micros(model, prompt, completion, ms)
    assert 1 <= price <= cost_usd_micros(model, prompt + 1, completion + 1, ms + 1)


def test_a_model_without_a_price_is_refused() -> None:
    with pytest.raises(UnknownPrice, match=r"prices\.py"):
        cost_usd_micros("mystery", 1, 1, 1)
