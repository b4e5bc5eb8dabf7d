"""What the tests of engines share: prompts, and sleeping that takes no time but is remembered."""

from __future__ import annotations

import asyncio
from typing import Any

from inference.prompts import Prompt, conversation

CHOICE: dict[str, Any] = {
    "type": "object",
    "properties": {"action": {"enum": ["greet", "ignore"]}, "why": {"type": "string", "minLength": 3}},
    "required": ["action", "why"],
    "additionalProperties": False,
}
CHOSEN = '{"action":"greet","why":"aaa"}'


class Naps:
    """Sleeps in no time."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.taken_s.append(seconds)
        await asyncio.sleep(0)


def asking(question: str = "A stranger is at the gate.", *, allowed_ms: int = 20_000, **changes: Any) -> Prompt:
    turns = conversation("You guard a gate.", [("Hello!", {"action": "greet", "why": "He is polite."})], question)
    told = {"schema": CHOICE, "max_tokens": 40, "seed": 7, **changes}
    return Prompt(turns, allowed_ms=allowed_ms, **told)
