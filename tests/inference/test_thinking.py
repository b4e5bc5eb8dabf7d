"""Models that think before they answer: asked to think little or not at all, and given the room that it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from inference.agents import AGENTS
from inference.attempt import worst_usd_micros
from inference.bill import Bill
from inference.engines import OpenAI
from inference.engines.providers import PROVIDERS
from inference.prices import LISTED
from inference.prompts import Prompt
from inference.seats import DEFAULT_SEATS
from inference.thinking import LONG_TOKENS, NONE, SHORT_TOKENS, thinking_of, written_tokens_max
from tests.inference.providing import CHOSEN, Naps, asking

ANSWER_TOKENS = 20
#: How long such a model thinks about a small question, by the effort that is asked of it.
THOUGHTS = {"none": 0, "minimal": 60, "low": 1_000, None: 6_000}


@asynccontextmanager
async def thinker(*, knows_effort: bool = True, template: bool = False) -> AsyncIterator[tuple[str, list[Any]]]:
    """A server whose model thinks first, within the limit of all that it may write."""
    asked: list[Any] = []

    async def reply(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body)
        effort = body.get("reasoning_effort") if knows_effort else None
        off = template and body.get("chat_template_kwargs") == {"enable_thinking": False}
        thoughts = 0 if off else THOUGHTS[effort]
        limit = body.get("max_tokens") or body["max_completion_tokens"]
        whole = thoughts + ANSWER_TOKENS <= limit
        choice = {
            "message": {"content": CHOSEN} if whole else {},
            "finish_reason": "stop" if whole else "length",
        }
        total = 100 + min(limit, thoughts + ANSWER_TOKENS)
        usage = {"prompt_tokens": 100, "completion_tokens": ANSWER_TOKENS if whole else 0, "total_tokens": total}
        return web.json_response({"choices": [choice], "usage": usage})

    application = web.Application()
    application.router.add_post("/v1/chat/completions", reply)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", asked
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("model", "server"),
    [
        ("gemini-2.5-pro", {}),
        ("google/gemini-2.5-flash", {}),
        ("gpt-5", {}),
        ("gpt-5.1", {}),
        ("o4-mini", {}),
        ("openai/gpt-oss-20b", {}),
        ("grok-3-mini", {}),
        ("grok-4", {"knows_effort": False}),
        ("deepseek-reasoner", {"knows_effort": False}),
        ("qwq-32b", {"knows_effort": False}),
        ("Qwen/Qwen3-8B", {"knows_effort": False, "template": True}),
    ],
)
@pytest.mark.parametrize("max_tokens", [24, 128])
async def test_a_model_that_thinks_first_answers_all_the_same(model: str, server: Any, max_tokens: int) -> None:
    async with thinker(**server) as (url, asked):
        engine = OpenAI(model, url, sleep=Naps().sleep)
        try:
            prompt = asking(max_tokens=max_tokens)
            done = await engine.complete(prompt)
        finally:
            await engine.close()
    assert (done.text, done.finish_reason) == (CHOSEN, "stop")
    [body] = asked
    assert body["max_tokens"] == written_tokens_max(model, max_tokens)
    # What it thought is within what is reserved for one call.
    assert done.completion_tokens <= written_tokens_max(model, max_tokens)


async def test_thoughts_that_leave_no_room_are_an_answer_that_broke_off_at_its_price() -> None:
    async with thinker() as (url, _):
        engine = OpenAI("my-model", url, sleep=Naps().sleep)
        try:
            done = await engine.complete(asking(max_tokens=40))
        finally:
            await engine.close()
    assert (done.text, done.finish_reason, done.prompt_tokens, done.completion_tokens) == ("", "length", 100, 40)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o-mini", "deepseek-chat", "claude-3-haiku", "claude-4.1", "llama-3.1-70b", "grok-beta", "my-model",
        "gpt-5-chat-latest", "grok-4-fast-non-reasoning", "Qwen2.5-7B-Instruct", "qwen3-30b-a3b-instruct-2507",
        "smollm2-135m-instruct-q4_1", "gemini-2.0-flash", "mistral-large",
    ],
)  # fmt: skip
def test_other_models_are_asked_as_before(model: str) -> None:
    assert thinking_of(model) == NONE
    assert "reasoning_effort" not in OpenAI(model, "http://127.0.0.1:1/v1")._body(asking())


@pytest.mark.parametrize(
    ("model", "room_tokens"),
    [
        ("gemini-3-pro-preview", SHORT_TOKENS), ("gpt-5-mini", SHORT_TOKENS), ("o3", SHORT_TOKENS),
        ("o1-mini", LONG_TOKENS), ("gpt-5.1-codex", SHORT_TOKENS), ("kimi-k2-thinking", LONG_TOKENS),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", LONG_TOKENS), ("qwen3-235b-a22b-thinking-2507", LONG_TOKENS),
        ("grok-4-fast-reasoning", LONG_TOKENS), ("gpt-5-2025-08-07", SHORT_TOKENS),
    ],
)  # fmt: skip
def test_the_room_is_the_models(model: str, room_tokens: int) -> None:
    assert thinking_of(model).room_tokens == room_tokens


def test_a_model_with_a_temperature_of_its_own_is_asked_for_no_other() -> None:
    assert "temperature" not in OpenAI("o3", "http://127.0.0.1:1/v1")._body(asking())
    assert OpenAI("gpt-5.1", "http://127.0.0.1:1/v1")._body(asking())["temperature"] == 0.0


def test_the_room_is_reserved_and_counts_where_a_call_hangs() -> None:
    prompt, model = asking(max_tokens=24), "gemini-2.5-pro"
    engine = OpenAI(model, "http://127.0.0.1:1/v1", provider=PROVIDERS["gemini"])
    worst = LISTED.cost_usd_micros(model, prompt.tokens_max(), 24 + SHORT_TOKENS, 0)
    assert worst_usd_micros(engine, prompt, 5_000) == worst
    bill = Bill()
    assert bill.covers(model, prompt)


@pytest.mark.parametrize("seat", DEFAULT_SEATS)
def test_the_story_tellers_money_reaches_for_each_default_seat(seat: str) -> None:
    teller = AGENTS["story_teller"]
    prompt = Prompt(teller.prompt(teller.shown({})), teller.schema(("leave", "other")), teller.max_tokens, 1)
    engine = OpenAI(seat.partition(":")[2], "http://127.0.0.1:1/v1")
    assert worst_usd_micros(engine, prompt, teller.deadline_ms) <= teller.cost_cap_usd_micros
