"""What a server refused once of one agent: left out of that agent's requests, if that helped, and for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from inference.bill import Bill, TooDear
from inference.budget import Amount
from inference.engines import Anthropic, PromptRefused
from inference.engines.lessons import KEPT_S, LESSONS_MAX, Lessons, subject_of
from inference.prices import Prices
from inference.prompts import Prompt, conversation
from tests.inference.providing import CHOICE, CHOSEN, Naps, asking
from tests.inference.serving import GOOD, asked, refusal

Body = dict[str, Any]


def of(agent: str, **changes: Any) -> Prompt:
    told = {"schema": CHOICE, "max_tokens": 40, "seed": 7, "allowed_ms": 20_000, **changes}
    return Prompt(conversation(agent, [], "A stranger is at the gate."), **told)


@asynccontextmanager
async def judging(
    judge: Callable[[Body], web.Response | None], path: str = "/v1/chat/completions", good: Any = GOOD
) -> AsyncIterator[tuple[str, list[Body]]]:
    """A server that answers what `judge` has nothing against."""
    bodies: list[Body] = []

    async def reply(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return judge(bodies[-1]) or web.json_response(good)

    application = web.Application()
    application.router.add_post(path, reply)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", bodies
    finally:
        await runner.cleanup()


def system(body: Body) -> str:
    first: str = body["messages"][0]["content"]
    return first


def no_schema_of_the_odd_one(body: Body) -> web.Response | None:
    if system(body).startswith("odd") and body.get("response_format", {}).get("type") == "json_schema":
        return refusal(400, "Invalid schema for response_format 'answer': 'minLength' is not permitted")
    return None


async def test_a_schema_that_is_refused_is_that_agents_alone() -> None:
    async with judging(no_schema_of_the_odd_one) as (url, bodies), asked(url) as engine:
        for agent in ("odd", "other", "odd", "other"):
            assert (await engine.complete(of(agent))).text == CHOSEN
    formats = [(system(body).split("\n")[0], body["response_format"]["type"]) for body in bodies]
    assert formats == [
        ("odd", "json_schema"), ("odd", "json_object"), ("other", "json_schema"), ("odd", "json_object"),
        ("other", "json_schema"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [
        "messages.1: the words 'set the temperature, unsupported' are not permitted",
        "the seed of all evil is an unknown topic",
    ],
)
async def test_a_field_that_is_mentioned_in_passing_is_asked_for_again(message: str) -> None:
    def judge(body: Body) -> web.Response | None:
        return refusal(400, message) if "evil" in str(body["messages"]) else None

    async with judging(judge) as (url, bodies), asked(url) as engine:
        with pytest.raises(PromptRefused):
            await engine.complete(asking("evil"))
        assert (await engine.complete(asking())).text == CHOSEN
        assert (await engine.complete(asking())).text == CHOSEN
    assert all({"temperature", "seed"} <= body.keys() for body in bodies[-2:])


async def test_one_refusal_that_was_an_accident_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [refusal(400, "Unsupported value", "temperature")]
    async with judging(lambda body: refused.pop() if refused else None) as (url, bodies), asked(url) as engine:
        await engine.complete(of("guard"))
        await engine.complete(of("guard"))
        engine._server._lessons._until_s = dict.fromkeys(engine._server._lessons._until_s, 0.0)
        await engine.complete(of("guard"))
    assert ["temperature" in body for body in bodies] == [True, False, False, True]


async def test_what_did_not_help_is_not_learned() -> None:
    def judge(body: Body) -> web.Response | None:
        return refusal(400, "temperature is not supported") if len(body["messages"]) > 2 else None

    async with judging(judge) as (url, bodies), asked(url) as engine:
        with pytest.raises(PromptRefused):
            await engine.complete(asking())
        prompt = asking()
        assert (await engine.complete(Prompt(prompt.turns[:2], CHOICE, 40, 7))).text == CHOSEN
    assert ["temperature" in body for body in bodies] == [True, False, True]


async def test_where_the_money_reaches_for_one_call_alone_the_next_request_is_answered() -> None:
    def judge(body: Body) -> web.Response | None:
        return refusal(400, "Unsupported value", "temperature") if "temperature" in body else None

    prices = Prices.of({"my-model": 0.1})
    async with judging(judge) as (url, bodies), asked(url) as engine:
        with pytest.raises(TooDear):
            await engine.complete(of("guard", bill=Bill(Amount(1, 1_000_000), prices=prices)))
        done = await engine.complete(of("guard", bill=Bill(Amount(1, 1_000_000), prices=prices)))
    assert done.text == CHOSEN
    assert ["temperature" in body for body in bodies] == [True, False]


async def test_a_nested_field_is_known_by_the_one_that_holds_it() -> None:
    def judge(body: Body) -> web.Response | None:
        wanted = body.get("response_format", {}).get("type")
        return refusal(400, "no", "response_format.json_schema.schema") if wanted == "json_schema" else None

    async with judging(judge) as (url, bodies), asked(url) as engine:
        assert (await engine.complete(of("guard"))).text == CHOSEN
    assert [body["response_format"]["type"] for body in bodies] == ["json_schema", "json_object"]


async def test_a_server_that_speaks_of_the_schema_and_not_of_its_field_is_understood() -> None:
    def judge(body: Body) -> web.Response | None:
        said = "The provided JSON schema contains features not supported by xgrammar."
        return refusal(400, said) if body.get("response_format", {}).get("type") == "json_schema" else None

    async with judging(judge) as (url, _), asked(url) as engine:
        assert (await engine.complete(of("guard"))).text == CHOSEN


async def test_anthropics_model_without_a_temperature_is_that_agents_lesson_too() -> None:
    def judge(body: Body) -> web.Response | None:
        odd = body["system"] == "odd" and "temperature" in body
        return refusal(400, "`temperature` is deprecated for this model.") if odd else None

    good = {"stop_reason": "end_turn", "content": [{"type": "text", "text": CHOSEN}]}
    async with judging(judge, "/v1/messages", good) as (url, bodies):
        engine = Anthropic("claude-4.1", f"{url}/v1", sleep=Naps().sleep)
        try:
            for agent in ("odd", "other", "odd"):
                assert (await engine.complete(of(agent))).text == CHOSEN
        finally:
            await engine.close()
    assert [(body["system"], "temperature" in body) for body in bodies] == [
        ("odd", True), ("odd", False), ("other", True), ("odd", False),
    ]  # fmt: skip


def test_lessons_are_one_agents_for_a_while_and_not_without_end() -> None:
    lessons = Lessons()
    lessons.learn("guard", ["seed", "temperature"], 100.0)
    assert lessons.left_out("guard", 100.0 + KEPT_S - 1) == {"seed", "temperature"}
    assert lessons.left_out("guard", 100.0 + KEPT_S) == frozenset()
    assert lessons.left_out("other", 100.0) == frozenset()
    for number in range(LESSONS_MAX + 1):
        lessons.learn(f"agent {number}", ["seed"], 100.0)
    assert lessons.left_out("guard", 100.0) == frozenset()
    assert lessons.left_out(f"agent {LESSONS_MAX}", 100.0) == {"seed"}


def test_an_agents_requests_are_known_by_its_system_turn() -> None:
    assert subject_of(of("guard")) == subject_of(of("guard", schema={}, max_tokens=1)) != subject_of(of("other"))
