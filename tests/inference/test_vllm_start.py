"""Starting and losing vLLM, without vLLM: one process at a time, whoever gives up waiting (the rest: tests/vllm)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from inference.engines.engine import EngineBusy, EngineRefused
from inference.engines.vllm import Vllm
from inference.prompts import Prompt, conversation

CHOICE = {"type": "object", "properties": {"action": {"enum": ["greet", "attack"]}}, "required": ["action"]}


class Dead(Exception):
    """What vLLM raises when its process is gone."""


class Process:
    """In place of AsyncLLM: waits to be told that it is dead."""

    def __init__(self) -> None:
        self.died = asyncio.Event()
        self.shut_down = 0

    async def generate(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        await self.died.wait()
        raise Dead
        yield

    def shutdown(self) -> None:
        self.shut_down += 1


class Slow(Vllm):
    """Starts when `go` is set."""

    def __init__(self) -> None:
        super().__init__("model")
        self.go = asyncio.Event()
        self.processes: list[Process] = []
        self.fails = False
        self.begun = 0

    async def _start(self) -> None:
        self.begun += 1
        await self.go.wait()
        if self.fails:
            raise EngineRefused("no memory")
        self.processes.append(Process())
        self._engine = self.processes[-1]

    def _tokens(self, prompt: Prompt) -> list[int]:
        return [1]


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is imported from vLLM, by name alone."""
    vllm, sampling, errors = ModuleType("vllm"), ModuleType("vllm.sampling_params"), ModuleType("vllm.exceptions")
    for module in (vllm, sampling):
        module.SamplingParams = module.TokensPrompt = module.StructuredOutputsParams = lambda **_: None  # type: ignore[attr-defined]
    sampling.RequestOutputKind = type("Kind", (), {"FINAL_ONLY": 0})  # type: ignore[attr-defined]
    errors.EngineDeadError = Dead  # type: ignore[attr-defined]
    for name, module in {
        "vllm": vllm, "vllm.sampling_params": sampling, "vllm.v1": ModuleType("vllm.v1"),
        "vllm.v1.engine": ModuleType("vllm.v1.engine"), "vllm.v1.engine.exceptions": errors,
    }.items():  # fmt: skip
        monkeypatch.setitem(sys.modules, name, module)


def asked() -> Prompt:
    return Prompt(conversation("You decide.", [], "Now."), CHOICE, 8, seed=1, temperature=0.0)


async def test_prompts_that_give_up_waiting_for_a_start_do_not_start_another_process() -> None:
    engine = Slow()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await engine.start()
    engine.go.set()
    await engine.start()
    assert (engine.begun, len(engine.processes)) == (1, 1)


async def test_a_start_that_failed_is_tried_again() -> None:
    engine = Slow()
    engine.go.set()
    engine.fails = True
    with pytest.raises(EngineRefused):
        await engine.start()
    engine.fails = False
    await engine.start()
    assert len(engine.processes) == 1


async def test_closing_while_it_starts_leaves_no_process_behind() -> None:
    engine = Slow()
    starting = asyncio.create_task(engine.start())
    await asyncio.sleep(0)
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)
    engine.go.set()
    await asyncio.gather(starting, closing)
    assert [one.shut_down for one in engine.processes] == [1]
    assert engine.running is None


async def test_a_late_word_of_an_old_process_death_does_not_lose_the_new_one() -> None:
    engine = Slow()
    engine.go.set()
    await engine.start()
    [old] = engine.processes
    early = asyncio.create_task(engine.complete(asked()))
    await asyncio.sleep(0)
    # The first to hear of it has let go of the old process, and a new one runs.
    engine._engine = None
    await engine.start()
    old.died.set()
    with pytest.raises(EngineBusy):
        await early
    assert engine.running is engine.processes[1]
    engine.processes[1].died.set()
    with pytest.raises(EngineBusy):
        await engine.complete(asked())
    assert engine.running is None
    assert engine.processes[1].shut_down == 1
