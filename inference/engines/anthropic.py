"""Anthropic's messages: structure is had by making the model call a tool whose input has the schema."""

from __future__ import annotations

import asyncio
from typing import Any

from inference.engines.endings import ending_of
from inference.engines.engine import Completion, EngineBusy
from inference.engines.failures import BadRequest, Withheld
from inference.engines.http import (
    CONNECTIONS,
    Json,
    JsonServer,
    Sleep,
    calls_max,
    may_carry_key,
)
from inference.engines.providers import PROVIDERS, Provider, key_setting
from inference.engines.usage import usage_of
from inference.prompts import Prompt, canonical

API_VERSION = "2023-06-01"
TOOL = "answer"
# What the model reads about the tool: without a word on it, it may think that another one would do.
TOOL_PURPOSE = "Gives the answer. Call it once, with the whole answer."


class Anthropic:
    """One of Anthropic's models. It takes no seed, so that the same prompt may have two answers."""

    slots = CONNECTIONS

    def __init__(
        self,
        model: str,
        url: str = "",
        *,
        provider: Provider = PROVIDERS["anthropic"],
        name: str = "anthropic",
        key: str = "",
        key_from: str = "",
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """As OpenAI's."""
        self.name, self.model = name, model
        url = url or provider.url
        headers = {"anthropic-version": API_VERSION} | ({"x-api-key": key} if key and may_carry_key(url) else {})
        self._server = JsonServer(
            name, model, url, headers, key=key, key_setting=key_from or key_setting(name), sleep=sleep
        )
        self.service = self._server.address
        self._provider = provider

    async def start(self) -> None:
        """Nothing to make ready: the first request opens the connection."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Answer a prompt, asking again while the server is busy and there is time. Cancelling closes the request."""
        reply, call = await self._server.ask("/messages", prompt, self._body, self._do_without)
        return call.answered(self._completion(reply, prompt, call.duration_ms))

    def calls(self, allowed_ms: int) -> tuple[str, ...]:
        """The model of each call that an answer may take at most."""
        return (self.model,) * calls_max(allowed_ms)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    def _body(self, prompt: Prompt, left_out: frozenset[str] = frozenset()) -> Json:
        system = "\n".join(turn.content for turn in prompt.turns if turn.role == "system")
        return {
            "model": self._provider.known_as.get(self.model, self.model),
            "max_tokens": prompt.max_tokens,
            **({} if "temperature" in left_out else {"temperature": prompt.temperature or 0.0}),
            **({"system": system} if system else {}),
            "messages": [
                {"role": turn.role, "content": turn.content} for turn in prompt.turns if turn.role != "system"
            ],
            "tools": [{"name": TOOL, "description": TOOL_PURPOSE, "input_schema": prompt.schema}],
            "tool_choice": {"type": "tool", "name": TOOL, "disable_parallel_tool_use": True},
        }

    def _do_without(self, refused: BadRequest, left_out: frozenset[str]) -> str:
        """The temperature, where the model takes none; "" when that is not what was refused."""
        return refused.unsupported({"temperature"} - left_out)

    def _completion(self, reply: Json, prompt: Prompt, duration_ms: int) -> Completion:
        ending, content = ending_of(reply.get("stop_reason")), reply.get("content")
        if ending == "withheld":
            raise Withheld(f"{self.name} will not answer this prompt: its own filter withheld the answer")
        text = _text(content) if isinstance(content, list) else ""
        if ending == "failed" or (not text and ending != "length"):
            raise EngineBusy(f"{self.name} answered with JSON that is no message")
        usage = usage_of(reply.get("usage"), prompt_max=prompt.tokens_max(), completion_max=prompt.max_tokens)
        return Completion(
            text=text,
            # Where a server does not say what it used, it may have used all that it could.
            prompt_tokens=usage.read_tokens if usage is not None else prompt.tokens_max(),
            completion_tokens=usage.completion_tokens if usage is not None else prompt.max_tokens,
            duration_ms=duration_ms,
            finish_reason="length" if ending == "length" else "stop",
        )


def _text(content: list[Any]) -> str:
    """The tool's input as JSON; else what was said instead of calling it, which validation will judge."""
    said = ""
    for block in content:
        match block:
            case {"type": "tool_use", "name": "answer", "input": dict(given)}:
                return canonical(given)
            case {"type": "text", "text": str(text)}:
                said += text
    return said
