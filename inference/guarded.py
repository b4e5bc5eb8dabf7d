"""Guarded: an engine behind breakers and a time limit of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from inference.bill import TooDear
from inference.breaker import Breaker, Permit
from inference.engines.engine import (
    ALLOWED_MS,
    Completion,
    Engine,
    EngineBusy,
    EngineTimeout,
    PromptRefused,
    QueueFull,
    calls_of,
    models_of,
    service_of,
)
from inference.patience import Patience, Turn
from inference.prompts import Prompt
from inference.slots import NoTime

# Its own limit comes before the caller's: otherwise a model that hangs looks like a caller who has changed his mind.
LIMIT_SHARE = 0.95

#: How a call ended, as far as it says anything about whom it was made to.
Ending = Literal["answered", "late", "failed", "nothing"]


class BreakerOpen(EngineBusy):
    """The engine has failed too often of late and is left alone for a while."""

    reason = "breaker_open"


# These say nothing about the service: its queue is full, the money or the time is short, or the prompt is at fault.
_NOT_ITS_FAULT = (QueueFull, TooDear, NoTime, PromptRefused, BreakerOpen, asyncio.CancelledError)


class Guarded:
    """An engine that is not asked while one of its breakers is open, and is given up on in time."""

    def __init__(self, engine: Engine, breakers: Sequence[Breaker], *, now_ms: Callable[[], int]) -> None:
        """Several engines of one model share its breaker, and all of one service share the service's."""
        self.name, self.model, self.models = engine.name, engine.model, models_of(engine)
        self.service = service_of(engine)
        self.slots = engine.slots
        self._engine = engine
        self._breakers = breakers
        self._patience = Patience()
        self._now_ms = now_ms

    @property
    def open(self) -> bool:
        """Whether nobody would be let through now, however long he waits."""
        now_ms = self._now_ms()
        return any(breaker.state(now_ms) == "open" for breaker in self._breakers)

    def open_to(self, allowed_ms: int) -> bool:
        """Whether a caller who waits so long would not be let through now."""
        return self.open or self._patience.state(self._now_ms(), _limit_ms(allowed_ms)) == "open"

    async def start(self) -> None:
        """Make the engine ready. Raises EngineRefused."""
        await self._engine.start()

    async def complete(self, prompt: Prompt) -> Completion:
        """Answer a prompt. Raises BreakerOpen, EngineTimeout, and what the engine raises."""
        allowed_ms = _limit_ms(prompt.allowed_ms)
        permits, turn = self._let_through(allowed_ms)
        ending: Ending = "failed"
        try:
            async with asyncio.timeout(allowed_ms / 1000):
                done = await self._engine.complete(replace(prompt, allowed_ms=allowed_ms))
            ending = "answered"
            return done
        except TimeoutError:
            ending = "late"
            raise EngineTimeout(f"no answer from {self.name} in time") from None
        except BaseException as error:
            ending = _ending(error)
            raise
        finally:
            self._ended(permits, turn, ending, allowed_ms)

    def calls(self, allowed_ms: int) -> tuple[str, ...]:
        """The model of each call that an answer may take at most."""
        return calls_of(self._engine, allowed_ms)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()

    def _let_through(self, allowed_ms: int) -> tuple[list[tuple[Breaker, Permit]], Turn]:
        now_ms = self._now_ms()
        permits: list[tuple[Breaker, Permit]] = []
        for breaker in self._breakers:
            permit = breaker.begin(now_ms)
            if permit is None:
                break
            permits.append((breaker, permit))
        turn = self._patience.begin(now_ms, allowed_ms) if len(permits) == len(self._breakers) else None
        if turn is None:
            for breaker, permit in permits:
                breaker.end(permit, now_ms, ok=None)
            raise BreakerOpen(f"{self.service} has failed too often of late and is left alone for a while")
        return permits, turn

    def _ended(self, permits: Sequence[tuple[Breaker, Permit]], turn: Turn, ending: Ending, allowed_ms: int) -> None:
        now_ms = self._now_ms()
        # A caller who gave up may have been impatient, so these breakers learn nothing; `Patience` does.
        ok = {"answered": True, "failed": False}.get(ending)
        for breaker, permit in permits:
            breaker.end(permit, now_ms, ok=ok)
        match ending:
            case "answered":
                turn.answered(now_ms)
            case "late":
                turn.late(now_ms, allowed_ms)
            case "failed":
                turn.failed(now_ms)
            case "nothing":
                turn.dropped()


def _limit_ms(allowed_ms: int) -> int:
    return max(1, int((allowed_ms or ALLOWED_MS) * LIMIT_SHARE))


def _ending(error: BaseException) -> Ending:
    """The ending that an error stands for; of several, as a chain raises them together, the gravest."""
    several: Sequence[BaseException] | None = getattr(error, "failures", None)
    if several is not None:
        endings = {_ending(one) for one in several}
        return "failed" if "failed" in endings else "late" if "late" in endings else "nothing"
    if isinstance(error, _NOT_ITS_FAULT):
        return "nothing"
    return "late" if isinstance(error, EngineTimeout) else "failed"
