"""Any server that speaks OpenAI's chat completions: DeepSeek, OpenAI, Groq, xAI, Google, `vllm serve`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from inference.engines.engine import Completion, EngineBusy, EngineRefused
from inference.engines.http import (
    CONNECTIONS,
    BadRequest,
    Json,
    JsonServer,
    Sleep,
    calls_max,
    may_carry_key,
    tokens,
)
from inference.engines.providers import COMPATIBLE, Provider, key_setting
from inference.prompts import Prompt, Turn, canonical

# Some servers read the seed into 32 bits with a sign.
SEED_MASK = 0x7FFF_FFFF
# What a server may refuse and the request still makes sense without: then it is left out, or asked for otherwise.
OPTIONAL = ("response_format", "temperature", "seed", "logprobs", "reasoning_effort")
LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
IN_WORDS = "Answer with one JSON object that follows this JSON schema, and with nothing else:"


class OpenAI:
    """One model of one server. What the server turns out not to know is not asked of it again."""

    slots = CONNECTIONS

    def __init__(
        self,
        model: str,
        url: str = "",
        *,
        provider: Provider = COMPATIBLE,
        name: str = "openai",
        key: str = "",
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`model` is the name it is priced under, `url` another address than the provider's.

        A key is not sent over plain http to another machine. Raises EngineRefused for a URL that cannot be one.
        """
        self.name, self.model = name, model
        url = url or provider.url
        headers = {"Authorization": f"Bearer {key}"} if key and may_carry_key(url) else {}
        self._server = JsonServer(name, model, url, headers, key=key, key_setting=key_setting(name), sleep=sleep)
        self._provider = provider
        self._limit: str = provider.limit
        self._schemas = provider.schemas
        self._unknown: set[str] = set() if provider.log_probabilities else {"logprobs"}

    async def start(self) -> None:
        """Nothing to make ready: the first request opens the connection."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Answer a prompt, asking again while the server is busy and there is time. Cancelling closes the request."""
        reply, call = await self._server.ask("/chat/completions", prompt, self._body, self._do_without)
        return call.answered(self._completion(reply, prompt, call.duration_ms))

    def calls(self, allowed_ms: int) -> tuple[str, ...]:
        """The model of each call that an answer may take at most."""
        return (self.model,) * calls_max(allowed_ms)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    def _body(self, prompt: Prompt) -> Json:
        optional = {
            "response_format": self._format(prompt.schema),
            "temperature": prompt.temperature or 0.0,
            "seed": prompt.seed & SEED_MASK,
            **({"logprobs": True} if len(_choices(prompt.schema)) > 1 else {}),
            **self._provider.more,
        }
        return {
            "model": self._provider.known_as.get(self.model, self.model),
            "messages": [{"role": turn.role, "content": turn.content} for turn in self._turns(prompt)],
            self._limit: prompt.max_tokens,
            "stream": False,
            **{name: value for name, value in optional.items() if name not in self._unknown},
        }

    def _format(self, schema: Mapping[str, Any]) -> Json:
        if not self._schemas:
            return {"type": "json_object"}
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}

    def _turns(self, prompt: Prompt) -> Sequence[Turn]:
        if self._schemas and "response_format" not in self._unknown:
            return prompt.turns
        return with_schema(prompt.turns, prompt.schema)

    def _do_without(self, refused: BadRequest) -> bool:
        """Leave out what the server does not know; false when that is nothing which could be left out."""
        field = refused.unsupported([*OPTIONAL, *LIMITS])
        if field == "response_format" and self._schemas:
            self._schemas = False
        elif field in LIMITS and field == self._limit and self._limit not in self._unknown:
            self._unknown.add(field)
            self._limit = LIMITS[field]
        elif field in OPTIONAL and field not in self._unknown:
            self._unknown.add(field)
        else:
            return False
        return True

    def _completion(self, reply: Json, prompt: Prompt, duration_ms: int) -> Completion:
        match reply.get("choices"):
            case [{"message": {"content": str(text)}, "finish_reason": "stop" | "length" as reason} as choice, *_]:
                pass
            case [{"finish_reason": "content_filter"}, *_] | [{"message": {"refusal": str()}}, *_]:
                raise EngineRefused(f"{self.name} will not answer this prompt: its own filter withheld the answer")
            case _:
                raise EngineBusy(f"{self.name} answered with JSON that is no chat completion")
        counts = reply.get("usage")
        return Completion(
            text=text,
            # Where a server does not say what it used, it may have used all that it could.
            prompt_tokens=tokens(counts, "prompt_tokens", prompt.tokens_max()),
            completion_tokens=tokens(counts, "completion_tokens", prompt.max_tokens),
            duration_ms=duration_ms,
            finish_reason=reason,
            confidence=_confidence(text, choice.get("logprobs"), _choices(prompt.schema)),
        )


def with_schema(turns: Sequence[Turn], schema: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The turns, with the schema told in words where the examples' system turn is."""
    words = f"{IN_WORDS}\n{canonical(schema)}"
    if turns and turns[0].role == "system":
        return (Turn("system", f"{turns[0].content}\n{words}"), *turns[1:])
    return (Turn("system", words), *turns)


def _choices(schema: Mapping[str, Any]) -> Sequence[str]:
    action = schema.get("properties", {}).get("action", {})
    choices: Sequence[str] = action.get("enum", ())
    return choices


def _confidence(text: str, given: Any, choices: Sequence[str]) -> float | None:
    """The probability of the tokens that the chosen action is written in, where the server tells it."""
    match given:
        case {"content": [*pieces]}:
            pass
        case _:
            return None
    found = text.find('"action"')
    places = [(text.find(f'"{choice}"', found + len('"action"')), choice) for choice in choices]
    place, chosen = min(((place, choice) for place, choice in places if place >= 0), default=(-1, ""))
    if found < 0 or place < 0:
        return None
    begin, end, read, total = place + 1, place + 1 + len(chosen), 0, 0.0
    for piece in pieces:
        match piece:
            case {"token": str(token), "logprob": float() | int() as log_probability}:
                if read < end and read + len(token) > begin:
                    total += min(0.0, float(log_probability))
                read += len(token)
            case _:
                return None
    return math.exp(total) if read == len(text) else None
