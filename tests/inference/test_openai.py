"""OpenAI's chat completions, over real HTTP: what is asked of a server, and what is made of its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from inference.engines import EngineBusy, EngineRefused, OpenAI
from inference.engines.openai import IN_WORDS
from inference.engines.providers import COMPATIBLE, PROVIDERS, Provider
from inference.prompts import Prompt, Turn, canonical
from streams.chaos.faults import Plan
from streams.chaos.provider import Provider as Chaos
from streams.chaos.provider import started
from tests.inference.providing import CHOICE, CHOSEN, asking
from tests.inference.serving import GOOD, asked, refusal, replying


async def test_an_answer_follows_the_schema_and_tells_what_it_took(chaos: Chaos) -> None:
    async with asked(chaos.url) as engine:
        done = await engine.complete(asking())
    assert (done.text, done.finish_reason) == (CHOSEN, "stop")
    assert done.prompt_tokens > 0
    assert done.completion_tokens > 0
    assert done.confidence is not None
    assert 0.9 < done.confidence < 1


async def test_all_that_bounds_and_repeats_an_answer_is_asked_for(chaos: Chaos) -> None:
    async with asked(chaos.url) as engine:
        await engine.complete(asking(seed=0xFFFF_FFFF))
        await engine.complete(asking(temperature=0.9, schema={"type": "object", "properties": {}}))
    first, second = chaos.asked
    assert first["messages"] == [{"role": turn.role, "content": turn.content} for turn in asking().turns]
    del first["messages"]
    assert first == {
        "model": "my-model",
        "max_tokens": 40,
        "stream": False,
        "temperature": 0.0,
        "seed": 0x7FFF_FFFF,
        "logprobs": True,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": CHOICE, "strict": True}},
    }
    assert second["temperature"] == 0.9
    assert "logprobs" not in second


async def test_an_answer_that_broke_off_says_so_if_the_server_does(chaos: Chaos) -> None:
    chaos.plan = Plan({"length": 1.0})
    async with asked(chaos.url) as engine:
        assert (await engine.complete(asking())).finish_reason == "length"


async def test_prose_and_half_an_answer_are_handed_on_to_validation(chaos: Chaos) -> None:
    async with asked(chaos.url) as engine:
        for fault in ("prose", "truncated"):
            chaos.plan = Plan({fault: 1.0})
            done = await engine.complete(asking())
            assert done.finish_reason == "stop"
            with pytest.raises(json.JSONDecodeError):
                json.loads(done.text)


async def test_a_server_without_json_schemas_is_told_of_it_in_words() -> None:
    with started(Chaos(structured=False)) as chaos:
        async with asked(chaos.url) as engine:
            assert [(await engine.complete(asking())).text for _ in range(2)] == [CHOSEN, CHOSEN]
        async with asked(chaos.url, provider=PROVIDERS["deepseek"]) as known:
            assert (await known.complete(asking())).text == CHOSEN
    assert chaos.served == {"requests": 4, "refused": 1, "answered": 3}
    assert [body["response_format"]["type"] for body in chaos.asked] == ["json_schema", *["json_object"] * 3]
    system = chaos.asked[-1]["messages"][0]["content"]
    assert system == f"You guard a gate.\n{IN_WORDS}\n{canonical(CHOICE)}"


@pytest.mark.parametrize(
    ("response", "field", "instead"),
    [
        (
            refusal(400, "Unsupported parameter: 'max_tokens'", "max_tokens"),
            "max_tokens",
            {"max_completion_tokens": 40},
        ),
        (refusal(400, "Unsupported value", "temperature", "unsupported_value"), "temperature", {}),
        (refusal(400, "`logprobs` is not supported with this model"), "logprobs", {}),
        (refusal(422, "json: unknown field seed"), "seed", {}),
    ],
)
async def test_what_a_server_does_not_know_is_not_asked_of_it_again(
    response: web.Response, field: str, instead: dict[str, Any]
) -> None:
    async with replying(response, GOOD) as (url, bodies), asked(url) as engine:
        assert (await engine.complete(asking())).text == CHOSEN
        assert (await engine.complete(asking())).text == CHOSEN
    assert [field in body for body in bodies] == [True, False, False]
    assert instead.items() <= bodies[-1].items()


async def test_a_server_that_refuses_everything_is_not_asked_for_ever() -> None:
    async with replying(refusal(400, "temperature, seed, logprobs, max_tokens: not supported")) as (url, bodies):
        async with asked(url) as engine:
            with pytest.raises(EngineRefused):
                await engine.complete(asking())
    assert len(bodies) < 10


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": True}, {"prompt_tokens": 1e99}])
async def test_who_does_not_say_what_was_used_may_have_used_it_all(usage: Any) -> None:
    async with replying({**GOOD, "usage": usage}) as (url, _), asked(url) as engine:
        done = await engine.complete(asking())
    assert (done.prompt_tokens, done.completion_tokens) == (asking().tokens_max(), 40)


@pytest.mark.parametrize(
    "choices",
    [
        None,
        [],
        [7],
        [{"message": {"content": None}, "finish_reason": "stop"}],
        [{"message": {"content": ["yes"]}, "finish_reason": "stop"}],
        {"message": {"content": "yes"}, "finish_reason": "stop"},
    ],
)
async def test_choices_of_another_shape_are_no_answer(choices: Any) -> None:
    async with replying({"choices": choices}) as (url, _), asked(url) as engine:
        with pytest.raises(EngineBusy, match="no chat completion"):
            await engine.complete(asking())


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": ""}, "finish_reason": "content_filter"},
        {"message": {"content": None, "refusal": "I will not"}, "finish_reason": "stop"},
    ],
)
async def test_a_model_that_will_not_is_not_asked_again(choice: Any) -> None:
    async with replying({"choices": [choice]}) as (url, _), asked(url) as engine:
        with pytest.raises(EngineRefused, match="filter"):
            await engine.complete(asking())


def told(*pieces: tuple[str, Any]) -> Any:
    return {"content": [{"token": token, "logprob": probability} for token, probability in pieces]}


@pytest.mark.parametrize(
    ("log_probabilities", "confidence"),
    [
        (told(('{"action":"', -9.0), ("gr", -0.5), ("eet", -0.25), ('","why":"aaa"}', -9.0)), 0.4724),
        (told(('{"action":"', -9.0), ("gr", -0.5), ("eet", 3.0), ('","why":"aaa"}', -9.0)), 0.6065),
        (told(('{"action":"', -9.0), ("greet", -0.5)), None),
        (told((CHOSEN, "certain")), None),
        ({"content": "no list"}, None),
        (None, None),
    ],
)
async def test_confidence_is_that_of_the_chosen_action(log_probabilities: Any, confidence: float | None) -> None:
    choice = {"message": {"content": CHOSEN}, "finish_reason": "stop", "logprobs": log_probabilities}
    async with replying({"choices": [choice]}) as (url, _), asked(url) as engine:
        done = await engine.complete(asking())
    assert done.confidence == (None if confidence is None else pytest.approx(confidence, abs=1e-4))


def test_a_model_is_called_what_its_provider_calls_it() -> None:
    provider = Provider(url="http://127.0.0.1:9/v1", model="ours", known_as={"ours": "theirs"})
    engine = OpenAI("ours", provider=provider)
    assert engine.model == "ours"
    assert engine._body(asking())["model"] == "theirs"
    assert COMPATIBLE.known_as == {}


def test_a_prompt_without_a_system_turn_is_given_one_for_the_schema() -> None:
    prompt = Prompt((Turn("user", "Well?"),), CHOICE, 40, 1)
    body = OpenAI("m", "http://127.0.0.1:9/v1", provider=PROVIDERS["groq"])._body(prompt)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
