"""What does the worker cost the engine? The same prompts through both, in turn, at the concurrency that fills it.

Through the worker a request is decoded, routed, put into a prompt, asked, validated, judged safe and written as facts;
no two share a context, so that each is a call in full. The bare engine is given the finished prompts and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from selectors import SelectSelector
from statistics import median
from typing import Any, TypeVar

from benchmarks.decide import machine
from inference.agent import Agent
from inference.agents import AGENTS
from inference.attempt import Question, by_rules
from inference.batching import Batches
from inference.cache import Cache
from inference.engines import Completion, Engine, LlamaCpp, packaged_weights
from inference.prompts import Prompt, canonical
from inference.router import Router
from inference.validation import Refused
from inference.worker import Worker
from schemas import DecisionProposed, DecisionRequested, Event, NornError, decode, event_id
from schemas.stamps import pack

T = TypeVar("T")

AGENT = "chronicler"
#: Asked in full each time: it is calls that are measured.
ASKED: Mapping[str, Agent] = {AGENT: replace(AGENTS[AGENT], complexity=lambda context: 1.0)}
SERVICE_S = 0.005
SLOTS = 8
RUNS = 5
#: A run of the scripted engine takes a second and a half, one of llama.cpp five to ten.
REQUESTS = 2_400
LLAMACPP_REQUESTS = 10
LLAMACPP_RUNS = 5
# As many requests as the worker has in hand for an engine of eight slots.
IN_HAND = 64
_DEADLINE_MS = 600_000


class NotAnswered(NornError):
    """A request was not answered by the engine, so that its time says nothing about the engine's."""

    reason = "not_answered"


class Steady:
    """Takes the same time for every prompt, on the loop's clock and none of its processor."""

    name = model = "scripted"
    slots = SLOTS

    def __init__(self, text: str) -> None:
        self._done = Completion(text, 265, 33, round(SERVICE_S * 1000), "stop")

    async def start(self) -> None:
        """Nothing to make ready."""

    async def complete(self, prompt: Prompt) -> Completion:
        """The one answer."""
        with prompt.call(self.model) as call:
            await asyncio.sleep(SERVICE_S)
            return call.answered(self._done)

    async def close(self) -> None:
        """Nothing to give back."""


def measure() -> dict[str, Any]:
    """The share of the engine's throughput that the worker takes: of a steady engine, and of llama.cpp if installed."""
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        return runner.run(_measure())


def precise_loop() -> asyncio.AbstractEventLoop:
    """A loop whose timers fire on time: epoll rounds up to milliseconds, which an engine that answers does not."""
    return asyncio.SelectorEventLoop(SelectSelector())


async def _measure() -> dict[str, Any]:
    text = by_rules(_question(_event(0)))[0].json()
    found = await _compared(Steady(text), REQUESTS, RUNS)
    weights = packaged_weights()
    real = await _compared(LlamaCpp(weights), LLAMACPP_REQUESTS, LLAMACPP_RUNS) if weights is not None else None
    overheads = [found["overhead"], *([real["overhead"]] if real else [])]
    return {"overhead": max(overheads), "steady": found, "llamacpp": real, "machine": machine()}


async def _compared(engine: Engine, requests: int, runs: int) -> dict[str, Any]:
    """Both, run after run in turn, so that whatever else the machine does meets both."""
    await engine.start()
    try:
        # What compiles, loads and fills at first use is not what is asked.
        await _worked(engine, requests // 10 + 1, runs)
        pairs = [(await _bare(engine, requests, run), await _worked(engine, requests, run)) for run in range(runs)]
    finally:
        await engine.close()
    bare, worker = (median(rates) for rates in zip(*pairs, strict=True))
    return {
        # Of pairs, not of medians: a machine that slows down between two runs would else be taken for the worker.
        "overhead": round(median(1 - worker / bare for bare, worker in pairs), 4),
        "bare_per_s": round(bare, 2),
        "worker_per_s": round(worker, 2),
        "runs": [[round(rate, 2) for rate in pair] for pair in pairs],
        "requests": requests,
        "slots": engine.slots,
    }


async def _bare(engine: Engine, requests: int, run: int) -> float:
    """Prompts a second of the engine alone."""
    prompts = [_prompt(_event(run * requests + number)) for number in range(requests)]

    async def ask(prompt: Prompt) -> None:
        await engine.complete(prompt)

    return await _rate(prompts, ask, engine.slots)


async def _worked(engine: Engine, requests: int, run: int) -> float:
    """Requests a second through the worker, as bytes of the log to bytes of the log."""
    records = [_event(run * requests + number).SerializeToString() for number in range(requests)]
    worker = Worker(
        ASKED,
        # Its tier alone: of an engine that serves gold too some slots would be kept.
        {ASKED[AGENT].tier: engine},
        router=Router(Cache(None, now_ms=_now_ms)),
        batches=Batches(now_ms=_now_ms),
        now_ms=_now_ms,
    )
    written: list[bytes] = []

    async def ask(record: bytes) -> None:
        for fact in await worker.answer(decode(record)):
            if isinstance(fact, DecisionProposed) and fact.engine != engine.name and engine.name == "scripted":
                raise NotAnswered(f"{fact.route}: {fact.fallback_reason}")
            written.append(fact.SerializeToString())

    return await _rate(records, ask, max(IN_HAND, engine.slots))


async def _rate(work: Sequence[T], ask: Callable[[T], Awaitable[None]], at_once: int) -> float:
    left = iter(work)
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(_pump(left, ask))
    return len(work) / (time.perf_counter() - began_s)


async def _pump(left: Iterator[T], ask: Callable[[T], Awaitable[None]]) -> None:
    for one in left:
        await ask(one)


def _event(number: int) -> Event:
    """A request of the chronicler's whose context is like no other, though its prompt is."""
    at_ms = _now_ms()
    context = {"hero": "Astrid", "zone": "Dungeons of Doom 3", "depth": 3, "killer": "a jackal", "number": number}
    request = DecisionRequested(
        decision_id=f"{number:08x}-0000-0000-0000-000000000000",
        agent=AGENT,
        tier=ASKED[AGENT].tier,
        context=canonical(context),
        legal_actions=["chronicle"],
        deadline_ms=at_ms + _DEADLINE_MS,
        cost_cap_usd_micros=1_000_000,
    )
    event = Event(id=event_id(at_ms, number.to_bytes(10)), subject="astrid", stamp=pack(at_ms))
    event.decision_requested.CopyFrom(request)
    return event


def _question(event: Event) -> Question:
    question = Question.of(event.decision_requested, ASKED)
    assert not isinstance(question, Refused)  # the agent ships
    return question


def _prompt(event: Event) -> Prompt:
    prompt = _question(event).prompt()
    assert not isinstance(prompt, Refused)  # as above
    return prompt


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
