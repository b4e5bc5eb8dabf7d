"""What the spec writes as a number, row by row, held against what a worker uses where nobody chooses otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from inference import cache
from inference.breaker import RateBreaker, RunBreaker
from inference.budget import CAPS
from inference.engines import EngineBusy, http
from inference.engines.engine import ALLOWED_MS
from inference.engines.providers import PROVIDERS
from inference.ensemble import VALID_MIN, Ensemble
from inference.prices import INSTANCES, RUNS_ON, cost_usd_micros
from inference.seats import choose_seats
from streams.chaos.faults import Plan
from streams.chaos.provider import Provider as Chaos
from tests.inference.asking import NOW_MS, guard, now_ms
from tests.inference.providing import Naps, asking
from tests.inference.serving import asked

KEYS = dict.fromkeys(PROVIDERS, "a-key")
MILLION = 1_000_000


def _seats() -> dict[str, float]:
    return {seat.name: seat.weight for seat in choose_seats(keys=KEYS)}


def _opens_after(breaker: RateBreaker | RunBreaker, outcomes: str) -> bool:
    """Whether a breaker is open after calls that went well (+) or badly (-)."""
    for outcome in outcomes:
        permit = breaker.begin(NOW_MS)
        assert permit is not None
        breaker.end(permit, NOW_MS, ok=outcome == "+")
    return breaker.state(NOW_MS) == "open"


def _open_ms(breaker: RateBreaker | RunBreaker) -> int:
    """How long a breaker stays open."""
    assert _opens_after(breaker, "-----")
    return next(ms for ms in range(100_000) if breaker.state(NOW_MS + ms) != "open")


def _usd_per_million(model: str) -> tuple[float, float]:
    """The price of a million tokens read, and written."""
    return cost_usd_micros(model, MILLION, 0, 0) / MILLION, cost_usd_micros(model, 0, MILLION, 0) / MILLION


TABLE: dict[str, tuple[Any, Any]] = {
    "A.4 the ensemble's models and weights": (
        _seats(),
        {"gpt-5.1": 0.4, "claude-4.1": 0.4, "gemini-2.5-pro": 0.2},
    ),
    "A.4 and C.1 a model has 5.0 s": (ALLOWED_MS, 5_000),
    "A.4 and C.1 at least 2 valid answers": (
        (VALID_MIN, Ensemble(choose_seats(keys=KEYS), now_ms=now_ms).needed),
        (2, 2),
    ),
    "C.2 a model's breaker opens at a failure rate of 0.5": (
        (_opens_after(RateBreaker(), "++++----"), _opens_after(RateBreaker(), "+++++----")),
        (True, False),
    ),
    "C.2 and stays open for 30 s": (_open_ms(RateBreaker()), 30_000),
    "C.2 a service's breaker opens after 5 failures in a row": (
        (_opens_after(RunBreaker(), "-----"), _opens_after(RunBreaker(), "----+----")),
        (True, False),
    ),
    "C.2 and stays open for 60 s": (_open_ms(RunBreaker()), 60_000),
    "C.7 an answer is used again above a similarity of 0.85": (cache.SIMILARITY_MIN, 0.85),
    "C.8 decisions are cached for 1 h": (guard.cached_s, 3_600),
    "C.9 LLM calls, 1000 per hour": (
        [(cap.scope, cap.period, cap.name, cap.calls) for cap in CAPS if cap.calls is not None],
        [("total", "hour", "", 1_000)],
    ),
    "C.11 connections, 10": (http.CONNECTIONS, 10),
    "A.20 gold runs Qwen2.5-3B-Instruct-AWQ on a g5.xlarge": (RUNS_ON["Qwen2.5-3B-Instruct-AWQ"], "g5.xlarge"),
    "A.20 silver runs Qwen2.5-7B-Instruct on a g5.2xlarge": (RUNS_ON["Qwen2.5-7B-Instruct"], "g5.2xlarge"),
    "E.2 a g5.xlarge costs $1.006 an hour": (INSTANCES["g5.xlarge"], 1_006_000),
    "E.2 a m6i.xlarge costs $0.192 an hour": (INSTANCES["m6i.xlarge"], 192_000),
    "B.15 deepseek-chat": (_usd_per_million("deepseek-chat"), (0.14, 0.14)),
    "B.15 gpt-4o-mini": (_usd_per_million("gpt-4o-mini"), (0.15, 0.15)),
    "B.15 claude-3-haiku": (_usd_per_million("claude-3-haiku"), (0.25, 0.25)),
    "B.15 llama-3.1-70b": (_usd_per_million("llama-3.1-70b"), (0.59, 0.59)),
    "B.15 grok-beta": (_usd_per_million("grok-beta"), (5.0, 5.0)),
    "B.15 DeepSeek's model": (PROVIDERS["deepseek"].model, "deepseek-chat"),
}


@pytest.mark.parametrize("row", TABLE)
def test_it_is_as_the_spec_has_it(row: str) -> None:
    ours, specified = TABLE[row]
    assert ours == specified


async def test_c11_a_failed_request_is_repeated_after_1_2_and_4_s(chaos: Chaos) -> None:
    chaos.plan, naps = Plan({"error": 1.0}), Naps()
    async with asked(chaos.url, naps) as engine:
        with pytest.raises(EngineBusy):
            await engine.complete(asking())
    # Up to a quarter is added, so that not all come back at one moment.
    assert [1 <= naps.taken_s[0] <= 1.25, 2 <= naps.taken_s[1] <= 2.5, 4 <= naps.taken_s[2] <= 5] == [True] * 3
    assert (len(naps.taken_s), chaos.served["requests"]) == (3, 4)
