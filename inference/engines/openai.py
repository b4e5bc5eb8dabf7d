"""Any server that speaks OpenAI's chat completions: DeepSeek, OpenAI, Groq, xAI, Google, `vllm serve`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from inference.engines.endings import ending_of, text_of
from inference.engines.engine import Completion, EngineBusy, PromptRefused
from inference.engines.failures import BadRequest, Withheld
from inference.engines.http import (
    CONNECTIONS,
    Json,
    JsonServer,
    Sleep,
    calls_max,
    may_carry_key,
)
from inference.engines.providers import COMPATIBLE, Provider, key_setting
from inference.engines.usage import usage_of
from inference.prompts import Prompt, Turn, canonical
from inference.thinking import thinking_of, written_tokens_max

# Some servers read the seed into 32 bits with a sign.
SEED_MASK = 0x7FFF_FFFF
# What a server may refuse and the request still makes sense without: then it is left out, or asked for otherwise.
OPTIONAL = ("response_format", "temperature", "seed", "logprobs", "reasoning_effort", "chat_template_kwargs")
# Left out first, so that the answer is at least held to JSON.
SCHEMAS = "json_schema"
LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
IN_WORDS = "Answer with one JSON object that follows this JSON schema, and with nothing else:"


class OpenAI:
    """One model of one server. What it refuses of an agent's requests is left out of that agent's for a while."""

    slots = CONNECTIONS

    def __init__(
        self,
        model: str,
        url: str = "",
        *,
        provider: Provider = COMPATIBLE,
        name: str = "openai",
        key: str = "",
        key_from: str = "",
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`model` is the name it is priced under, `url` another address than the provider's.

        `key_from` is the setting that holds the key, where that is not the provider's. A key is not sent over plain
        http to another machine. Raises EngineRefused for a URL that cannot be one.
        """
        self.name, self.model = name, model
        url = url or provider.url
        headers = {"Authorization": f"Bearer {key}"} if key and may_carry_key(url) else {}
        self._server = JsonServer(
            name, model, url, headers, key=key, key_setting=key_from or key_setting(name), sleep=sleep
        )
        self.service = self._server.address
        self._provider = provider
        unknown = [*([] if provider.schemas else [SCHEMAS]), *([] if provider.log_probabilities else ["logprobs"])]
        self._unknown = frozenset(unknown)
        self._thinking = thinking_of(model)

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

    def _body(self, prompt: Prompt, left_out: frozenset[str] = frozenset()) -> Json:
        left_out |= self._unknown
        optional = {
            "response_format": _format(prompt.schema, left_out),
            **({"temperature": prompt.temperature or 0.0} if self._thinking.temperature else {}),
            "seed": prompt.seed & SEED_MASK,
            **({"logprobs": True} if len(_choices(prompt.schema)) > 1 else {}),
            **self._thinking.more,
        }
        return {
            "model": self._provider.known_as.get(self.model, self.model),
            "messages": [{"role": turn.role, "content": turn.content} for turn in _turns(prompt, left_out)],
            self._limit(left_out): written_tokens_max(self.model, prompt.max_tokens),
            "stream": False,
            **{name: value for name, value in optional.items() if name not in left_out},
        }

    def _limit(self, left_out: frozenset[str]) -> str:
        limit: str = self._provider.limit
        return LIMITS[limit] if limit in left_out else limit

    def _do_without(self, refused: BadRequest, left_out: frozenset[str]) -> str:
        """The field that the server does not know; "" when that is nothing which could be left out."""
        left_out |= self._unknown
        # One name of the limit stands for the other, so only the first may be left out.
        limits = set() if self._provider.limit in left_out else {self._provider.limit}
        field = refused.unsupported([name for name in (*OPTIONAL, *limits) if name not in left_out])
        return SCHEMAS if field == "response_format" and SCHEMAS not in left_out else field

    def _completion(self, reply: Json, prompt: Prompt, duration_ms: int) -> Completion:
        match reply.get("choices"):
            case [{"message": {**message}} as choice, *_]:
                ending, text = ending_of(choice.get("finish_reason")), text_of(message.get("content"))
            case _:
                raise EngineBusy(f"{self.name} answered with JSON that is no chat completion")
        if ending == "withheld" or (isinstance(message.get("refusal"), str) and message["refusal"]):
            raise Withheld(f"{self.name} will not answer this prompt: its own filter withheld the answer")
        if ending == "failed":
            raise EngineBusy(f"{self.name} answered with a failure: it broke off by {choice['finish_reason']!r}")
        limit = written_tokens_max(self.model, prompt.max_tokens)
        usage = usage_of(reply.get("usage"), prompt_max=prompt.tokens_max(), completion_max=limit)
        # A server that gives no reason stops at the limit all the same.
        if ending == "untold" and usage is not None and usage.completion_tokens >= limit:
            ending = "length"
        if not text and ending != "length":
            if text is None:
                raise EngineBusy(f"{self.name} answered with JSON that is no chat completion")
            raise PromptRefused(f"{self.name} answered with nothing")
        return Completion(
            text=text or "",
            # Where a server does not say what it used, it may have used all that it could.
            prompt_tokens=usage.read_tokens if usage is not None else prompt.tokens_max(),
            completion_tokens=usage.completion_tokens if usage is not None else limit,
            duration_ms=duration_ms,
            finish_reason="length" if ending == "length" else "stop",
            confidence=_confidence(text or "", choice.get("logprobs"), _choices(prompt.schema)),
        )


def _format(schema: Mapping[str, Any], left_out: frozenset[str]) -> Json:
    if SCHEMAS in left_out:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _turns(prompt: Prompt, left_out: frozenset[str]) -> Sequence[Turn]:
    if {SCHEMAS, "response_format"} & left_out:
        return with_schema(prompt.turns, prompt.schema)
    return prompt.turns


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
    # Thoughts that stand before an answer may name actions too.
    found = text.find('"action"', text.rfind("</think>") + 1)
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
