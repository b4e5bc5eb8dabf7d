"""Every token that is billed is counted, in whatever words the server tells of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.attempt import Attempt, by_engine
from inference.budget import Amount, Cap
from inference.engines import Anthropic, Engine, OpenAI
from inference.engines.usage import TOKENS_MAX, Usage, usage_of
from inference.prices import HOSTED, HOSTED_APART, LISTED
from inference.slots import Slots, Urgency
from inference.validation import Refused
from tests.inference.asking import NOW_MS, now_ms
from tests.inference.providing import Naps
from tests.inference.serving import replying
from tests.inference.test_bill import Budgeted, Settled
from tests.inference.voting import GREET
from tests.inference.voting import asking as question_and_prompt

GEMINI = "gemini-2.5-pro"
COUNTS = st.integers(0, 100_000)


def read(**counts: Any) -> Usage | None:
    return usage_of(counts, prompt_max=1_000, completion_max=40)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}, Usage(100, 20)),
        # Google tells of thoughts in the total alone.
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 5_120}, Usage(100, 5_020)),
        # OpenAI counts them in; xAI, and some who translate for Google, beside.
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 300,
                "total_tokens": 400,
                "completion_tokens_details": {"reasoning_tokens": 280},
            },
            Usage(100, 300),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 400,
                "completion_tokens_details": {"reasoning_tokens": 280},
            },
            Usage(100, 300),
        ),
        (
            {"prompt_tokens": 21, "completion_tokens": 0, "completion_tokens_details": {"reasoning_tokens": 60}},
            Usage(21, 60),
        ),
        ({"prompt_tokens": 21, "completion_tokens": 10, "reasoning_tokens": 60}, Usage(21, 70)),
        # Of OpenAI's and DeepSeek's prompts what was cached is a part.
        (
            {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 90}},
            Usage(100, 20),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "prompt_cache_hit_tokens": 90,
                "prompt_cache_miss_tokens": 10,
            },
            Usage(100, 20),
        ),
        # Of Anthropic's it is not.
        (
            {
                "input_tokens": 10,
                "output_tokens": 20,
                "cache_read_input_tokens": 500,
                "cache_creation_input_tokens": 300,
            },
            Usage(510, 20, 300),
        ),
        # A kind that nobody knows costs what the dearest does.
        ({"prompt_tokens": 100, "completion_tokens": 20, "citation_tokens": 7}, Usage(100, 27)),
        # Who does not count one side may have used all of it, and a model has read something.
        ({"completion_tokens": 20}, Usage(1_000, 20)),
        ({"prompt_tokens": 100}, Usage(100, 40)),
        ({"prompt_tokens": 0, "completion_tokens": 20}, Usage(1_000, 20)),
    ],
)
def test_what_servers_say_they_used(counts: Any, usage: Usage) -> None:
    assert read(**counts) == usage


@pytest.mark.parametrize(
    "counts",
    [
        None,
        [],
        {},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": True},
        {"prompt_tokens": TOKENS_MAX + 1},
    ],
)
def test_what_counts_nothing_is_no_usage(counts: Any) -> None:
    assert usage_of(counts, prompt_max=1_000, completion_max=40) is None


@given(prompt=st.integers(1, 100_000), completion=COUNTS, total=COUNTS, reasoning=COUNTS, cached=COUNTS)
def test_never_less_is_counted_than_any_of_the_numbers_says(
    prompt: int, completion: int, total: int, reasoning: int, cached: int
) -> None:
    usage = read(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        completion_tokens_details={"reasoning_tokens": reasoning},
        prompt_tokens_details={"cached_tokens": cached},
    )
    assert usage is not None
    assert usage.read_tokens == prompt
    assert usage.completion_tokens >= max(completion, reasoning)
    assert usage.read_tokens + usage.completion_tokens >= total


@pytest.mark.parametrize("model", [*HOSTED, *HOSTED_APART])
def test_no_token_is_dearer_than_a_written_one_but_one_that_a_cache_is_to_keep(model: str) -> None:
    [read_one, written, kept] = [
        LISTED.cost_usd_micros(model, *counts) for counts in [(10**6, 0, 0), (0, 10**6, 0), (0, 0, 0, 10**6)]
    ]
    assert read_one <= written
    assert kept == 2 * read_one


async def attempted(engine: Engine, purse: Any, cap: int = 1_000_000) -> Attempt:
    question, prompt = question_and_prompt(cost_cap_usd_micros=cap)
    turn = Slots(1).turn(Urgency.of("gold", NOW_MS))
    try:
        return await by_engine(engine, question, prompt, slots=turn, allowed_ms=20_000, now_ms=now_ms, purse=purse)
    finally:
        await engine.close()


def completion(usage: Any, text: Any = GREET, reason: str = "stop", **message: Any) -> Any:
    return {"choices": [{"message": {"content": text, **message}, "finish_reason": reason}], "usage": usage}


async def test_thoughts_are_paid_for_and_count_towards_the_cap() -> None:
    thought = {"prompt_tokens": 1_040, "completion_tokens": 1_000, "total_tokens": 21_840}
    purse = Budgeted(Cap("total", "hour", usd_micros=100_000))
    async with replying(completion(thought)) as (url, bodies):
        first = await attempted(OpenAI(GEMINI, f"{url}/v1", sleep=Naps().sleep), purse)
        second = await attempted(OpenAI(GEMINI, f"{url}/v1", sleep=Naps().sleep), purse)
    [cost] = first.costs
    assert cost.cost_usd_micros == LISTED.cost_usd_micros(GEMINI, 1_040, 20_800, 0) == purse.used().usd_micros
    assert (cost.prompt_tokens, cost.completion_tokens) == (1_040, 20_800)
    assert isinstance(second.outcome, Refused)
    assert second.outcome.reason == "budget"
    assert len(bodies) == 1


USED = {"prompt_tokens": 90, "completion_tokens": 7, "total_tokens": 97}
PAID = LISTED.cost_usd_micros("gpt-4o-mini", 90, 7, 0)
KNOWN: dict[str, Any] = {
    "withheld": completion(USED, None, "content_filter"),
    "refused": completion(USED, None, refusal="I will not."),
    "broken off": completion(USED, "", "length"),
    "nothing": completion(USED, ""),
    "no content": completion(USED, None),
    "no choice": {"choices": [], "usage": USED},
    "an error inside": {"error": {"message": "it broke while it answered"}, "usage": USED},
    "nonsense": completion(USED, "As you wish."),
}


@pytest.mark.parametrize("reply", KNOWN.values(), ids=KNOWN.keys())
async def test_what_came_to_nothing_costs_what_the_server_says(reply: Any) -> None:
    purse = Settled()
    async with replying(reply) as (url, _):
        attempt = await attempted(OpenAI("gpt-4o-mini", f"{url}/v1", sleep=Naps().sleep), purse)
    assert isinstance(attempt.outcome, Refused)
    assert purse.spent == Amount(1, PAID)
    assert [(cost.prompt_tokens, cost.completion_tokens) for cost in attempt.costs] == [(90, 7)]


@pytest.mark.parametrize("reply", [{**reply, "usage": None} for reply in KNOWN.values()], ids=KNOWN.keys())
async def test_and_where_it_does_not_say_the_most_that_it_may_have_cost(reply: Any) -> None:
    purse = Settled()
    _, prompt = question_and_prompt()
    async with replying(reply) as (url, _):
        await attempted(OpenAI("gpt-4o-mini", f"{url}/v1", sleep=Naps().sleep), purse)
    worst = LISTED.cost_usd_micros("gpt-4o-mini", prompt.tokens_max(), prompt.max_tokens, 0)
    assert purse.spent == Amount(1, worst)


async def test_what_anthropics_cache_gave_and_took_is_paid_for() -> None:
    model, usage = "claude-4.1", {
        "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 200,
    }  # fmt: skip
    content = [{"type": "text", "text": GREET}]
    for reply in ({"stop_reason": "end_turn", "content": content}, {"stop_reason": "refusal", "content": []}):
        purse = Settled()
        async with replying({**reply, "usage": usage}, path="/v1/messages") as (url, _):
            attempt = await attempted(Anthropic(model, f"{url}/v1", sleep=Naps().sleep), purse)
        assert purse.spent == Amount(1, (110 + 2 * 200) * 15 + 5 * 75)
        assert [(cost.prompt_tokens, cost.completion_tokens) for cost in attempt.costs] == [(310, 5)]
