"""Chain: engines in the order in which they are asked, until one answers. When none does, the rules do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from inference.engines.engine import (
    ALLOWED_MS,
    Completion,
    EngineBusy,
    EngineRefused,
    QueueFull,
    calls_of,
    links_of,
    models_of,
)
from inference.guarded import BreakerOpen, Guarded
from inference.prompts import Prompt
from inference.slots import Pace
from schemas import NornError

# Of the time that is left an engine gets this share while others follow it: who asks first is who is wanted most.
TIME_SHARE = 0.6


class ChainBusy(EngineBusy):
    """None of the engines answered, each for its failure; some may answer later."""

    reason = "chain_busy"

    def __init__(self, text: str, failures: Sequence[NornError] = ()) -> None:
        super().__init__(text)
        self.failures = tuple(failures)


class ChainRefused(EngineRefused):
    """Every engine refused the prompt for good, each by its failure."""

    reason = "chain_refused"

    def __init__(self, text: str, failures: Sequence[NornError] = ()) -> None:
        super().__init__(text)
        self.failures = tuple(failures)


class Chain:
    """An engine made of others. One whose breaker is open, or that has no free slot in time, is passed over."""

    name = "chain"

    def __init__(self, engines: Sequence[Guarded], *, now_ms: Callable[[], int]) -> None:
        """Engines in the order in which they are asked, each behind breakers of its own."""
        if not engines:
            raise EngineRefused("a chain needs at least one engine")
        self.model = engines[0].model
        self.models = tuple(dict.fromkeys(model for engine in engines for model in models_of(engine)))
        self.links = tuple(link for engine in engines for link in links_of(engine))
        self.service = ", ".join(dict.fromkeys(engine.service for engine in engines))
        self.slots = max(engine.slots for engine in engines)
        self._engines = engines
        # Each has a pace of its own: that the first hangs says nothing about how soon the second answers.
        self._paces = [Pace() for _ in engines]
        self._slots = [asyncio.Semaphore(engine.slots) for engine in engines]
        self._now_ms = now_ms

    async def start(self) -> None:
        """Make the engines ready; one that cannot be is passed over. Raises EngineRefused when none can."""
        refusals: list[str] = []
        for engine in self._engines:
            try:
                await engine.start()
            except EngineRefused as refused:
                refusals.append(str(refused))
        if len(refusals) == len(self._engines):
            raise EngineRefused("; ".join(refusals))

    async def complete(self, prompt: Prompt) -> Completion:
        """The answer of the first engine that gives one, under its name. Raises ChainBusy and ChainRefused."""
        until_ms = self._now_ms() + (prompt.allowed_ms or ALLOWED_MS)
        failures: list[NornError] = []
        for number, engine in enumerate(self._engines):
            left_ms = until_ms - self._now_ms()
            if left_ms <= 0:
                break
            last = not any(_may_be_asked(other, prompt) for other in self._engines[number + 1 :])
            share_ms = max(1, int(left_ms if last else left_ms * TIME_SHARE))
            if engine.open_to(share_ms):
                failures.append(BreakerOpen(f"{engine.service} has failed too often of late"))
                continue
            try:
                done = await self._ask(number, replace(prompt, allowed_ms=share_ms))
            except NornError as failure:
                failures.append(failure)
            else:
                return replace(done, engine=done.engine or engine.name, model=done.model or engine.model)
        if len(failures) == 1:
            raise failures[0]
        said = "; ".join(str(failure) for failure in failures)
        if failures and all(isinstance(failure, EngineRefused) for failure in failures):
            raise ChainRefused(said, failures)
        raise ChainBusy(said or "there was no time to ask anybody", failures)

    def calls(self, allowed_ms: int) -> tuple[str, ...]:
        """The model of each call that an answer may take at most: every engine may be asked."""
        return tuple(model for engine in self._engines for model in calls_of(engine, allowed_ms))

    async def close(self) -> None:
        """Close all the engines, whatever becomes of one of them."""
        done = await asyncio.gather(*(engine.close() for engine in self._engines), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure

    async def _ask(self, number: int, prompt: Prompt) -> Completion:
        """Ask one engine within the prompt's time, of which waiting for a slot takes its part."""
        begun_ms = self._now_ms()
        try:
            async with asyncio.timeout(prompt.allowed_ms / 1000):
                await self._slots[number].acquire()
        except TimeoutError:
            raise QueueFull(f"{self._engines[number].name} had no free slot in time") from None
        try:
            left_ms = prompt.allowed_ms - (self._now_ms() - begun_ms)
            if left_ms <= 0:
                raise QueueFull(f"{self._engines[number].name} had no free slot in time")
            return await self._paced(number, replace(prompt, allowed_ms=left_ms))
        finally:
            self._slots[number].release()

    async def _paced(self, number: int, prompt: Prompt) -> Completion:
        """Ask one engine, unless it usually takes longer than there is left. Raises NoTime then."""
        pace = self._paces[number]
        pace.check(prompt.allowed_ms)
        begun_ms, made = self._now_ms(), len(prompt.bill.calls)
        try:
            return await self._engines[number].complete(prompt)
        finally:
            # An engine that made no call tells nothing about how long one takes.
            if len(prompt.bill.calls) > made:
                pace.took(max(0, self._now_ms() - begun_ms))


def _may_be_asked(engine: Guarded, prompt: Prompt) -> bool:
    """Whether time is to be left for an engine: it is not left alone, and the money reaches for one of its models."""
    return not engine.open and any(prompt.bill.covers(model, prompt) for model in engine.models)
