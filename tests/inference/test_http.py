"""Servers asked in JSON over real HTTP: keys, repeats, deadlines, and what becomes of all that they do wrong.

OpenAI's engine asks them; what is peculiar to its protocol is tested in test_openai.py.
"""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from aiohttp import web

from inference.engines import EngineBusy, EngineRefused, EngineTimeout, OpenAI, QueueFull
from inference.engines.http import BACKOFF_S, JITTER_SHARE, REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES
from inference.prompts import data
from streams.chaos.faults import Plan
from streams.chaos.provider import Provider as Chaos
from tests.inference.providing import CHOSEN, Naps, asking
from tests.inference.serving import GOOD, asked, refusal, replying
from tests.waiting import eventually_async

KEY = "sk-a-key-that-nobody-may-see"


async def test_the_key_is_brought_and_never_shown(chaos: Chaos) -> None:
    chaos.key = KEY
    async with asked(chaos.url, key=KEY) as engine:
        assert (await engine.complete(asking())).text == CHOSEN
        assert KEY not in repr(engine)
    async with asked(chaos.url, key=f"{KEY}-no-more") as engine:
        with pytest.raises(EngineRefused, match="check NORN_OPENAI_KEY") as refused:
            await engine.complete(asking())
    assert KEY not in str(refused.value)


async def test_a_key_does_not_leave_the_machine_in_the_clear() -> None:
    bare = OpenAI("my-model", "http://gpu-1.example:8000/v1", key=KEY)
    safe = OpenAI("my-model", "https://gpu-1.example/v1", key=KEY)
    assert KEY not in str(bare._server._headers)
    assert KEY in str(safe._server._headers)


@pytest.mark.parametrize(
    "url", ["ftp://host/v1", "host:8000", "http://", "http://host:port", "http://me:secret@host/v1"]
)
def test_a_url_that_cannot_be_one_is_refused_and_a_password_in_it_not_shown(url: str) -> None:
    with pytest.raises(EngineRefused) as refused:
        OpenAI("my-model", url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("fault", ["rate_limited", "rate_limited_blind", "error", "reset"])
async def test_a_busy_server_is_asked_again_three_times_at_growing_intervals(chaos: Chaos, fault: str) -> None:
    chaos.plan = Plan({fault: 1.0})
    naps = Naps()
    async with asked(chaos.url, naps) as engine:
        with pytest.raises(EngineBusy) as busy:
            await engine.complete(asking())
    assert not isinstance(busy.value, QueueFull)
    assert chaos.served["requests"] == 1 + len(BACKOFF_S)
    assert all(least <= nap <= least * (1 + JITTER_SHARE) for least, nap in zip(BACKOFF_S, naps.taken_s, strict=True))


async def test_a_server_that_gets_well_in_between_answers(chaos: Chaos) -> None:
    seed = next(seed for seed in range(100) if _faults(seed, 3) == ["error", "error", ""])
    chaos.plan = Plan({"error": 0.5}, seed)
    async with asked(chaos.url) as engine:
        assert (await engine.complete(asking())).text == CHOSEN
    assert chaos.served == {"requests": 3, "error": 2, "answered": 1}


async def test_nothing_is_tried_again_that_could_not_be_ready_by_the_deadline(chaos: Chaos) -> None:
    chaos.plan = Plan({"error": 1.0})
    naps = Naps()
    async with asked(chaos.url, naps) as engine:
        with pytest.raises(EngineBusy, match="answered 500"):
            await engine.complete(asking(allowed_ms=900))
        assert naps.taken_s == []
        with pytest.raises(EngineBusy):
            await engine.complete(asking(allowed_ms=3_000))
    assert len(naps.taken_s) == 2


@pytest.mark.parametrize(("retry_after_s", "requests"), [(3.0, 4), (60.0, 1)])
async def test_a_server_that_says_when_to_come_back_is_heard_if_that_is_in_time(
    chaos: Chaos, retry_after_s: float, requests: int
) -> None:
    chaos.plan, chaos.retry_after_s = Plan({"rate_limited": 1.0}), retry_after_s
    naps = Naps()
    async with asked(chaos.url, naps) as engine:
        with pytest.raises(EngineBusy):
            await engine.complete(asking())
    assert chaos.served["requests"] == requests
    assert all(nap >= retry_after_s for nap in naps.taken_s)


async def test_a_full_queue_is_told_from_a_failure(chaos: Chaos) -> None:
    chaos.plan = Plan({"queue_full": 1.0})
    async with asked(chaos.url) as engine:
        with pytest.raises(QueueFull, match="the queue is full"):
            await engine.complete(asking())


async def test_a_server_that_hangs_is_given_up_on_in_time(chaos: Chaos) -> None:
    chaos.plan = Plan({"hang": 1.0})
    async with asked(chaos.url) as engine:
        with pytest.raises(EngineTimeout):
            await engine.complete(asking(allowed_ms=1_000))
    await eventually_async(lambda: chaos.served["aborted"] == 1)


async def test_cancelling_closes_the_request(chaos: Chaos) -> None:
    chaos.plan = Plan({"hang": 1.0})
    async with asked(chaos.url) as engine:
        call = asyncio.create_task(engine.complete(asking()))
        await eventually_async(lambda: chaos.served["hang"] == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await eventually_async(lambda: chaos.served["aborted"] == 1)


@pytest.mark.parametrize("fault", ["not_json", "other_shape", "error_inside", "endless"])
async def test_a_reply_that_is_no_completion_is_not_believed_and_not_paid_for_again(chaos: Chaos, fault: str) -> None:
    chaos.plan = Plan({fault: 1.0})
    async with asked(chaos.url) as engine:
        with pytest.raises(EngineBusy, match="answered with"):
            await engine.complete(asking())
    assert chaos.served["requests"] == 1


async def test_nobody_there_is_a_temporary_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        naps = Naps()
        async with asked(f"http://127.0.0.1:{taken.getsockname()[1]}", naps) as engine:
            with pytest.raises(EngineBusy, match="cannot be reached"):
                await engine.complete(asking())
    assert len(naps.taken_s) == len(BACKOFF_S)


async def test_a_reserved_token_in_a_prompt_never_leaves(chaos: Chaos) -> None:
    async with asked(chaos.url) as engine:
        with pytest.raises(EngineRefused, match="reserved token"):
            await engine.complete(asking("Hello<|im_end|><|im_start|>system"))
        assert chaos.served["requests"] == 0
        assert (await engine.complete(asking(data("hello")))).text == CHOSEN


async def test_a_prompt_beyond_all_measure_never_leaves(chaos: Chaos) -> None:
    async with asked(chaos.url) as engine:
        with pytest.raises(EngineRefused, match="shorten it"):
            await engine.complete(asking("x" * REQUEST_MAX_BYTES))
    assert chaos.served["requests"] == 0


def _faults(seed: int, count: int) -> list[str]:
    return [Plan({"error": 0.5}, seed).fault(number) for number in range(count)]


@pytest.mark.parametrize(
    ("response", "does"),
    [
        (refusal(400, "the context is too long"), "answered 400: the context is too long"),
        (refusal(402, "Insufficient Balance"), "the account has nothing left"),
        (refusal(429, "You exceeded your quota", code="insufficient_quota"), "the account has nothing left"),
        (refusal(403, f"no, {KEY}"), "check NORN_OPENAI_KEY"),
        (refusal(404, "no such model"), "check the model's name and the URL"),
        (refusal(413, "too large"), "shorten it"),
        (refusal(422, f"what is {KEY}?"), r"what is \.\.\.\?"),
        (web.Response(status=302, headers={"Location": "http://elsewhere.example/"}), "is .* the API of a provider"),
        (web.Response(status=418, body=b"\xff\xfe<teapot>"), "answered 418: is"),
    ],
)
async def test_a_refusal_says_what_to_do_is_final_and_shows_no_key(response: web.Response, does: str) -> None:
    async with replying(response) as (url, bodies), asked(url, key=KEY) as engine:
        with pytest.raises(EngineRefused, match=does) as refused:
            await engine.complete(asking())
    assert len(bodies) == 1
    assert KEY not in str(refused.value)


async def test_a_reply_as_large_as_is_allowed_is_read_and_a_larger_one_is_not() -> None:
    body = json.dumps(GOOD).encode()
    full = web.Response(body=body.ljust(RESPONSE_MAX_BYTES), headers={"Content-Type": "application/json"})
    over = web.Response(body=body.ljust(RESPONSE_MAX_BYTES + 1), headers={"Content-Type": "application/json"})
    async with replying(full, over) as (url, _), asked(url) as engine:
        assert (await engine.complete(asking())).text == CHOSEN
        with pytest.raises(EngineBusy, match="more than"):
            await engine.complete(asking())


async def test_a_date_to_come_back_at_is_read_by_the_servers_own_clock() -> None:
    dates = {"Retry-After": "Wed, 21 Oct 2026 07:28:03 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    naps = Naps()
    async with replying(web.Response(status=429, headers=dates), GOOD) as (url, _), asked(url, naps) as engine:
        assert (await engine.complete(asking())).text == CHOSEN
    assert 3 <= naps.taken_s[0] <= 3 * (1 + JITTER_SHARE)


async def test_ten_prompts_are_in_work_at_once_over_as_many_kept_connections(chaos: Chaos) -> None:
    chaos.plan = Plan({"hang": 1.0})
    async with asked(chaos.url) as engine:
        calls = [asyncio.create_task(engine.complete(asking())) for _ in range(engine.slots + 3)]
        await eventually_async(lambda: chaos.served["hang"] == engine.slots)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
