"""An engine that says what it is told to: for tests, and to play a model that an attacker commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from inference.engines.engine import Completion, EngineBusy
from inference.prompts import Prompt

#: What a script may say to a prompt: a text, a whole completion, or an error to raise.
Reply = str | Completion | Exception
Script = Callable[[Prompt], Reply]


class Scripted:
    """Answers from a function, or from a list in order; keeps the prompts it was asked, and how many it aborted."""

    name = "scripted"

    def __init__(
        self,
        script: Script | Iterable[Reply],
        *,
        model: str = "scripted",
        slots: int = 8,
        wait: asyncio.Event | None = None,
    ) -> None:
        """With `wait`, no prompt is answered before that event is set."""
        self.model = model
        self.slots = slots
        self.asked: list[Prompt] = []
        self.aborted = 0
        self._script = script if callable(script) else _in_order(script)
        self._wait = wait

    async def start(self) -> None:
        """Nothing to make ready."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Say what the script says; a token is counted for every word."""
        with prompt.call(self.model) as call:
            self.asked.append(prompt)
            return call.answered(await self._said(prompt))

    async def _said(self, prompt: Prompt) -> Completion:
        if self._wait is not None:
            try:
                await self._wait.wait()
            except asyncio.CancelledError:
                self.aborted += 1
                raise
        reply = self._script(prompt)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Completion):
            return reply
        words = sum(len(turn.content.split()) for turn in prompt.turns)
        return Completion(reply, words, len(reply.split()), duration_ms=1, finish_reason="stop")

    async def close(self) -> None:
        """Nothing to give back."""


def _in_order(replies: Iterable[Reply]) -> Script:
    left = iter(replies)
    return lambda prompt: next(left, EngineBusy("the script is at its end"))
