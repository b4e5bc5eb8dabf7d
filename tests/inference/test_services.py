"""A service is known by its address, and only its own failures are held against it. Real servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from inference.chain import Chain
from inference.engines import Engine, EngineBusy, EngineTimeout, PromptRefused, choose_engine
from inference.ensemble import Ensemble
from inference.prices import Prices
from inference.seats import choose_seats
from schemas import AnswerFoundUnsafe, CostSampled, DecisionProposed, PlayerSaid
from streams.chaos.provider import started
from tests.inference.asking import asked, happened, now_ms, worker
from tests.inference.providing import CHOSEN, asking
from tests.inference.serving import GOOD, refusal, replying
from tests.inference.voting import GREET, outcomes
from tests.inference.voting import asking as voted_on

DEAD = "http://127.0.0.1:9"
PRICES = Prices.of({"m": 0.01})
# Shorter than a server's first repeat, so that each ask is one call.
SHORT_MS = 900
NO_COUNT = {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}


@asynccontextmanager
async def chosen(line: str) -> AsyncIterator[Engine]:
    engine = choose_engine(line)
    assert engine is not None
    try:
        yield engine
    finally:
        await engine.close()


async def test_of_two_servers_with_one_name_the_second_answers_all_when_the_first_is_dead() -> None:
    async with replying(GOOD) as (url, bodies), chosen(f"openai:m@{DEAD}/v1, openai:m@{url}/v1") as chain:
        for _ in range(12):
            assert (await chain.complete(asking(allowed_ms=SHORT_MS))).text == CHOSEN
    assert len(bodies) == 12


async def test_a_server_that_hangs_does_not_make_the_next_one_look_slow() -> None:
    async with hanging() as ill, replying(GOOD) as (well, bodies):
        async with chosen(f"openai:m@{ill}/v1, openai:m@{well}/v1") as chain:
            for allowed_ms in (*[800] * 6, *[250] * 3):
                assert (await chain.complete(asking(allowed_ms=allowed_ms))).text == CHOSEN
    assert len(bodies) == 9


async def test_seats_of_one_model_at_two_servers_have_a_breaker_each() -> None:
    voted = {"choices": [{"message": {"content": GREET}, "finish_reason": "stop"}]}
    async with replying(voted) as (url, _):
        seats = choose_seats(f"1 * openai:m@{DEAD}/v1 + 1 * openai:m@{url}/v1 + 1 * openai:m@{url}/v1/")
        votes = Ensemble(seats, now_ms=now_ms, prices=PRICES)
        try:
            verdicts = [await votes.decide(*voted_on(), allowed_ms=SHORT_MS) for _ in range(8)]
        finally:
            await votes.close()
    assert [outcomes(verdict)[1:] for verdict in verdicts] == [["valid", "valid"]] * 8
    assert outcomes(verdicts[-1])[0] == "breaker_open"


def failing(status: int, message: str, **more: Any) -> web.Response:
    return web.json_response({"error": {"message": message, **more}}, status=status)


def stopped(reason: Any, content: Any = None, **message: Any) -> Mapping[str, Any]:
    choice = {"message": {"content": content, **message}, "finish_reason": reason}
    return {"choices": [choice], "usage": NO_COUNT}


#: What servers say of a prompt that is at fault itself, as they were seen to say it.
AT_FAULT: Mapping[str, Any] = {
    "openai, withheld": stopped("content_filter"),
    "openai, refusal": stopped("stop", refusal="I'm sorry, I can't help with that."),
    "gemini, withheld": stopped("content_filter: PROHIBITED_CONTENT"),
    "gemini, in its own words": stopped("SAFETY"),
    "nothing": stopped("stop", ""),
    "openai, invalid_prompt": refusal(400, "Invalid prompt: your prompt was flagged", code="invalid_prompt"),
    "openai, context": refusal(400, "the maximum context length is 8192 tokens", code="context_length_exceeded"),
    "openai, too large": refusal(429, "Request too large for gpt-4o on tokens per min: Limit 30000"),
    "azure": failing(
        400, "The response was filtered", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}
    ),
    "xai": web.json_response(
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Content violates usage guidelines. Team: t, API key ID: k, Failed check: SAFETY_CHECK_TYPE_BIO",
        },
        status=403,
    ),
    "deepseek": failing(400, "Content Exists Risk", type="invalid_request_error"),
    "groq": failing(400, "Failed to generate JSON", code="json_validate_failed", failed_generation="{"),
    "anthropic, too long": failing(400, "prompt is too long: 210000 tokens > 200000 maximum"),
    "llama.cpp": failing(500, "Context size has been exceeded.", type="server_error", code=500),
    "llama.cpp, by its type": failing(400, "the request exceeds it", type="exceed_context_size_error"),
    "llama.cpp, with status 200": {"error": {"code": 400, "message": "the request exceeds the available context size"}},
    "openrouter": {"error": {"code": 403, "message": "Input requires moderation", "metadata": {}}},
    "vllm": web.json_response({"object": "error", "message": "the input is 9000 tokens", "code": 400}, status=400),
    "too large": web.Response(status=413, text="<html>413</html>"),
    "422": web.json_response({"detail": [{"loc": ["body"], "input": "billing, API key, quota"}]}, status=422),
}  # fmt: skip


@pytest.mark.parametrize("reply", AT_FAULT.values(), ids=AT_FAULT.keys())
async def test_prompts_that_are_at_fault_themselves_shut_out_nobody_else(reply: Any) -> None:
    async with replying(*[reply] * 6, GOOD) as (url, bodies), chosen(f"openai:m@{url}/v1") as chain:
        for _ in range(6):
            with pytest.raises(PromptRefused):
                await chain.complete(asking(allowed_ms=SHORT_MS))
        assert (await chain.complete(asking())).text == CHOSEN
    assert len(bodies) == 7


async def test_a_filtered_prompt_shuts_no_seat_of_the_ensemble_out() -> None:
    withheld, voted = stopped("content_filter"), {"choices": [{"message": {"content": GREET}, "finish_reason": "stop"}]}
    async with replying(*[withheld] * 6, voted) as (ill, _), replying(voted) as (well, _):
        seats = choose_seats(f"1 * openai:m@{ill}/v1 + 1 * openai:m@{well}/v1")
        votes = Ensemble(seats, now_ms=now_ms, prices=PRICES)
        try:
            verdicts = [await votes.decide(*voted_on(), allowed_ms=SHORT_MS) for _ in range(7)]
        finally:
            await votes.close()
    assert [outcomes(verdict)[0] for verdict in verdicts] == ["withheld"] * 6 + ["valid"]


async def test_a_prompt_that_never_leaves_is_no_failure_of_the_server() -> None:
    async with replying(GOOD) as (url, _), chosen(f"openai:m@{url}/v1") as chain:
        for _ in range(6):
            with pytest.raises(PromptRefused, match="reserved token"):
                await chain.complete(asking("<|im_start|>system"))
        assert (await chain.complete(asking())).text == CHOSEN


#: What no other prompt would change.
OURS: Mapping[str, Any] = {
    "key": refusal(401, "Incorrect API key provided"),
    "gemini": web.json_response([{"error": {"code": 400, "message": "API key not valid."}}], status=400),
    "anthropic": failing(400, "Your credit balance is too low to access the Anthropic API."),
    "xai": refusal(403, "Access to the chat endpoint is denied"),
    "groq": refusal(400, "The model `m` has been decommissioned", code="model_decommissioned"),
    "model": refusal(404, "The model `m` does not exist", code="model_not_found"),
    "failed": {"choices": [{"message": {"content": ""}, "finish_reason": "insufficient_system_resource"}]},
    "inside": {"error": {"code": 502, "message": "Provider returned error"}},
}


@pytest.mark.parametrize("reply", OURS.values(), ids=OURS.keys())
async def test_what_would_fail_for_everybody_opens_the_breaker(reply: Any) -> None:
    async with replying(reply) as (url, bodies), chosen(f"openai:m@{url}/v1") as chain:
        for _ in range(8):
            with pytest.raises(Exception, match=r"answered|failed too often"):
                await chain.complete(asking(allowed_ms=SHORT_MS))
    assert len(bodies) == 5


@asynccontextmanager
async def hanging() -> AsyncIterator[str]:
    """A server that never answers."""
    never = asyncio.Event()

    async def reply(request: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    application = web.Application()
    application.router.add_post("/v1/chat/completions", reply)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_callers_in_a_hurry_do_not_shut_out_those_who_wait() -> None:
    with started() as slow:
        slow.latency_s = 0.4
        async with chosen(f"openai:m@{slow.url}/v1") as chain:
            hurried = [chain.complete(asking(allowed_ms=200)) for _ in range(6)]
            failures = await asyncio.gather(*hurried, return_exceptions=True)
            assert all(isinstance(failure, EngineTimeout) for failure in failures)
            assert (await chain.complete(asking(allowed_ms=5_000))).text == CHOSEN
            # Who waits no longer than those before him is not asked for in vain.
            with pytest.raises(EngineBusy, match=r"failed too often|usually takes"):
                await chain.complete(asking(allowed_ms=200))
            assert (await chain.complete(asking(allowed_ms=5_000))).text == CHOSEN


async def test_a_server_that_hangs_is_left_alone_by_those_who_waited_as_long() -> None:
    async with hanging() as url, chosen(f"openai:m@{url}/v1") as chain:
        assert isinstance(chain, Chain)
        for _ in range(5):
            with pytest.raises(EngineTimeout):
                await chain.complete(asking(allowed_ms=300))
        with pytest.raises(EngineBusy, match=r"failed too often|usually takes"):
            await chain.complete(asking(allowed_ms=300))
        with pytest.raises(EngineTimeout):
            await chain.complete(asking(allowed_ms=600))


async def test_a_player_whose_prompts_are_filtered_gets_the_fallback_and_the_next_one_the_models_answer() -> None:
    answered = {"choices": [{"message": {"content": GREET}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9}}
    async with replying(*[stopped("content_filter")] * 6, answered) as (url, _), chosen(f"openai:m@{url}/v1") as chain:
        one = worker(chain, prices=PRICES)
        proposals = []
        for number in range(7):
            facts = await one.answer(asked(happened(PlayerSaid(text=f"Let me in, {number}!"), number=number)))
            proposals += [fact for fact in facts if isinstance(fact, DecisionProposed)]
            assert not any(isinstance(fact, AnswerFoundUnsafe) for fact in facts)
            assert sum(isinstance(fact, CostSampled) for fact in facts) == 1
    assert [proposal.action for proposal in proposals] == ["ignore"] * 6 + ["greet"]
    assert proposals[0].fallback_reason.startswith("withheld")
