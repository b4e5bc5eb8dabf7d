"""Guarded: an engine behind breakers and a time limit of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from inference.bill import TooDear
from inference.breaker import Breaker, Permit
from inference.engines.engine import (
    ALLOWED_MS,
    Completion,
    Engine,
    EngineBusy,
    EngineTimeout,
    QueueFull,
    calls_of,
    models_of,
)
from inference.prompts import Prompt

# Its own limit comes before the caller's: otherwise a model that hangs looks like a caller who has changed his mind.
LIMIT_SHARE = 0.95


class BreakerOpen(EngineBusy):
    """The engine has failed too often of late and is left alone for a while."""

    reason = "breaker_open"


class Guarded:
    """An engine that is not asked while one of its breakers is open, and is given up on in time."""

    def __init__(self, engine: Engine, breakers: Sequence[Breaker], *, now_ms: Callable[[], int]) -> None:
        """Several engines of one model share its breaker, and all of one service share the service's."""
        self.name, self.model, self.models = engine.name, engine.model, models_of(engine)
        self.slots = engine.slots
        self._engine = engine
        self._breakers = breakers
        self._now_ms = now_ms

    @property
    def open(self) -> bool:
        """Whether it would not be asked now, because a breaker is open."""
        now_ms = self._now_ms()
        return any(breaker.state(now_ms) == "open" for breaker in self._breakers)

    async def start(self) -> None:
        """Make the engine ready. Raises EngineRefused."""
        await self._engine.start()

    async def complete(self, prompt: Prompt) -> Completion:
        """Answer a prompt. Raises BreakerOpen, EngineTimeout, and what the engine raises."""
        permits = self._permits()
        allowed_ms = max(1, int((prompt.allowed_ms or ALLOWED_MS) * LIMIT_SHARE))
        ok: bool | None = False
        try:
            async with asyncio.timeout(allowed_ms / 1000):
                done = await self._engine.complete(replace(prompt, allowed_ms=allowed_ms))
            ok = True
            return done
        except TimeoutError:
            raise EngineTimeout(f"no answer from {self.name} in time") from None
        except (asyncio.CancelledError, QueueFull, TooDear):
            ok = None
            raise
        finally:
            now_ms = self._now_ms()
            for breaker, permit in permits:
                breaker.end(permit, now_ms, ok=ok)

    def calls(self, allowed_ms: int) -> tuple[str, ...]:
        """The model of each call that an answer may take at most."""
        return calls_of(self._engine, allowed_ms)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()

    def _permits(self) -> list[tuple[Breaker, Permit]]:
        now_ms = self._now_ms()
        permits: list[tuple[Breaker, Permit]] = []
        for breaker in self._breakers:
            permit = breaker.begin(now_ms)
            if permit is None:
                for other, given in permits:
                    other.end(given, now_ms, ok=None)
                raise BreakerOpen(f"{self.name} has failed too often of late and is left alone for a while")
            permits.append((breaker, permit))
        return permits
