"""SeatCall: one seat's call in an ensemble, which can be told that its answer is no longer needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from inference.attempt import Attempt
from inference.engines.engine import Completion, Engine, EngineBusy, calls_of, models_of, service_of
from inference.prompts import Prompt
from inference.validation import Refused
from schemas import CostSampled

NOT_NEEDED = Refused("not_needed", "its vote could not have changed the result")


class NotNeeded(EngineBusy):
    """The caller has what it wanted."""

    reason = "not_needed"


class SeatCall:
    """An engine for one call, and the task in which the call is made.

    When it is told to stop, its engine fails instead of its task, so that what it has cost is still counted.
    """

    def __init__(self, engine: Engine, now_ms: Callable[[], int]) -> None:
        """`engine` is the seat's."""
        self.name, self.model, self.slots = engine.name, engine.model, engine.slots
        self.models, self.service = models_of(engine), service_of(engine)
        self._engine = engine
        self._now_ms = now_ms
        self._begun_ms = now_ms()
        self._ended_ms: int | None = None
        self._work: asyncio.Task[Completion] | None = None
        self._stopped = False
        self._polled: Attempt | None = None
        self._poll_closed = False

    def begin(self, attempt: Coroutine[Any, Any, Attempt]) -> None:
        """Make the call, which asks this engine."""
        self.task = asyncio.create_task(self._timed(attempt))

    async def start(self) -> None:
        """Nothing to make ready: the seat's engine has been started."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Ask the seat's engine. Raises NotNeeded when it is stopped meanwhile."""
        self._work = asyncio.ensure_future(self._engine.complete(prompt))
        try:
            return await self._work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._stopped and task is not None and not task.cancelling():
                raise NotNeeded(NOT_NEEDED.detail) from None
            raise

    def calls(self, allowed_ms: int) -> tuple[str, ...]:
        """The model of each call that an answer may take at most."""
        return calls_of(self._engine, allowed_ms)

    async def close(self) -> None:
        """Nothing to close: the seat's engine goes on."""

    def stop(self) -> None:
        """Its answer is no longer needed."""
        if self.task.done():
            return
        self._stopped = True
        if self._work is not None and not self._work.done():
            self._work.cancel()
        elif self._work is None:
            self.task.cancel()

    def close_poll(self) -> None:
        """The result is known: what this call comes to from now on is no vote."""
        self._polled, self._poll_closed = self.attempt, True

    @property
    def attempt(self) -> Attempt | None:
        """What came of the call while votes were taken; None when nothing did."""
        if self._poll_closed:
            return self._polled
        return self.task.result() if self.task.done() and not self.task.cancelled() else None

    @property
    def costs(self) -> tuple[CostSampled, ...]:
        """What the call has cost, whether or not it was needed."""
        return self.task.result().costs if self.task.done() and not self.task.cancelled() else ()

    @property
    def latency_ms(self) -> int:
        """How long it took, or was let run."""
        return max(0, (self._now_ms() if self._ended_ms is None else self._ended_ms) - self._begun_ms)

    async def _timed(self, attempt: Coroutine[Any, Any, Attempt]) -> Attempt:
        try:
            return await attempt
        finally:
            self._ended_ms = self._now_ms()
