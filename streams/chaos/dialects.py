"""How OpenAI's and Anthropic's servers read a request and write an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from streams.chaos.instances import smallest

Json = Mapping[str, Any]
# English has about this many characters to a token; nothing here depends on more than that counts grow with texts.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Answered:
    """What a model says: its text, whether it broke off, and the tokens on both sides."""

    text: str
    whole: bool
    prompt_tokens: int

    @property
    def completion_tokens(self) -> int:
        """The tokens of the text."""
        return tokens(self.text)


class Dialect(Protocol):
    """One server's way to speak."""

    def key(self, headers: Mapping[str, str]) -> str:
        """The key that a request brings."""

    def schema(self, body: Json) -> Json | None:
        """The JSON schema that the answer is to follow, or None."""

    def reply(self, body: Json, answered: Answered) -> Json:
        """The body of a good answer."""

    def error(self, status: int, message: str, parameter: str | None = None) -> Json:
        """The body of an error."""


class OpenAI:
    """Chat completions; `structured` servers know response_format json_schema, the others json_object alone."""

    def __init__(self, *, structured: bool = True) -> None:
        self.structured = structured

    def key(self, headers: Mapping[str, str]) -> str:
        """The bearer's token."""
        return headers.get("Authorization", "").removeprefix("Bearer ")

    def schema(self, body: Json) -> Json | None:
        """That of response_format, else the last one that stands on a line of its own in the messages."""
        wanted = body.get("response_format") or {}
        if wanted.get("type") == "json_schema":
            given: Json = wanted["json_schema"]["schema"]
            return given
        return _schema_in(body) if wanted.get("type") == "json_object" else None

    def lacks(self, body: Json) -> bool:
        """Whether the request wants what this server has not got."""
        return not self.structured and (body.get("response_format") or {}).get("type") == "json_schema"

    def reply(self, body: Json, answered: Answered) -> Json:
        """A chat completion, with log probabilities where they are asked for."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answered.text},
            "finish_reason": "stop" if answered.whole else "length",
            "logprobs": {"content": _log_probabilities(answered.text)} if body.get("logprobs") else None,
        }
        usage = {"prompt_tokens": answered.prompt_tokens, "completion_tokens": answered.completion_tokens}
        return {
            "id": "chatcmpl-chaos",
            "object": "chat.completion",
            "model": body.get("model"),
            "choices": [choice],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        }

    def error(self, status: int, message: str, parameter: str | None = None) -> Json:
        """An error object that names the parameter at fault, if one is."""
        return {"error": {"message": message, "type": "chaos", "param": parameter, "code": status}}


class Anthropic:
    """Messages; structure is had by making the model call a tool."""

    def key(self, headers: Mapping[str, str]) -> str:
        """The x-api-key."""
        return headers.get("x-api-key", "")

    def schema(self, body: Json) -> Json | None:
        """That of the tool which the model must call."""
        chosen = (body.get("tool_choice") or {}).get("name")
        for tool in body.get("tools") or ():
            if tool.get("name") == chosen:
                given: Json = tool["input_schema"]
                return given
        return None

    def reply(self, body: Json, answered: Answered) -> Json:
        """A message: a tool's call where one was asked for and the text is JSON, else text."""
        content: list[Json] = [{"type": "text", "text": answered.text}]
        reason = "end_turn"
        if self.schema(body) is not None:
            try:
                called = json.loads(answered.text)
            except json.JSONDecodeError:
                called = None
            if isinstance(called, dict):
                name = body["tool_choice"]["name"]
                content, reason = [{"type": "tool_use", "id": "toolu_chaos", "name": name, "input": called}], "tool_use"
        return {
            "id": "msg_chaos",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": content,
            "stop_reason": reason if answered.whole else "max_tokens",
            "usage": {"input_tokens": answered.prompt_tokens, "output_tokens": answered.completion_tokens},
        }

    def error(self, status: int, message: str, parameter: str | None = None) -> Json:
        """An error's envelope."""
        return {"type": "error", "error": {"type": f"chaos_{status}", "message": message}}


def answered(dialect: Dialect, body: Json) -> Answered:
    """The good answer to a request: the smallest instance of its schema, or a word where there is none."""
    schema = dialect.schema(body)
    text = "yes" if schema is None else json.dumps(smallest(schema), ensure_ascii=False, separators=(",", ":"))
    asked = json.dumps(body.get("messages"), ensure_ascii=False) + str(body.get("system", ""))
    return Answered(text, True, tokens(asked))


def tokens(text: str) -> int:
    """About how many tokens a text has."""
    return max(1, len(text) // CHARACTERS_PER_TOKEN)


def _schema_in(body: Json) -> Json | None:
    lines = [line for message in body.get("messages") or () for line in str(message.get("content")).splitlines()]
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(found, dict) and "properties" in found:
            return found
    return None


def _log_probabilities(text: str) -> list[Json]:
    pieces = [text[start : start + CHARACTERS_PER_TOKEN] for start in range(0, len(text), CHARACTERS_PER_TOKEN)]
    return [{"token": piece, "logprob": -0.01, "bytes": list(piece.encode()), "top_logprobs": []} for piece in pieces]
