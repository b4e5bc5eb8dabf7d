"""PROVIDERS: whose models can be rented, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Where a provider's API is, and what it knows.

    model: the one asked where nobody names another, under the name it is priced by. known_as: what the API calls a
    model that we know by another name. schemas: whether it holds a model to a JSON schema; else it only holds it to
    JSON, and the prompt tells of the schema. log_probabilities: whether it says how sure the model was. limit: its name
    for the most tokens that a model may write.
    """

    url: str
    model: str
    api: Literal["openai", "anthropic"] = "openai"
    known_as: Mapping[str, str] = field(default_factory=dict)
    schemas: bool = True
    log_probabilities: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"


#: Spec B.15, and Google for the ensemble of A.4.
PROVIDERS: Mapping[str, Provider] = {
    "deepseek": Provider(url="https://api.deepseek.com/v1", model="deepseek-chat", schemas=False),
    "openai": Provider(url="https://api.openai.com/v1", model="gpt-4o-mini", limit="max_completion_tokens"),
    "anthropic": Provider(
        url="https://api.anthropic.com/v1",
        model="claude-3-haiku",
        api="anthropic",
        known_as={"claude-3-haiku": "claude-3-haiku-20240307", "claude-4.1": "claude-opus-4-1"},
    ),
    "groq": Provider(
        url="https://api.groq.com/openai/v1",
        model="llama-3.1-70b",
        known_as={"llama-3.1-70b": "llama-3.1-70b-versatile"},
        schemas=False,
        log_probabilities=False,
    ),
    "xai": Provider(url="https://api.x.ai/v1", model="grok-beta"),
    "gemini": Provider(
        url="https://generativelanguage.googleapis.com/v1beta/openai",
        model="gemini-2.5-pro",
        log_probabilities=False,
    ),
}

#: A server of one's own, or anybody's that speaks OpenAI's chat completions, as `vllm serve` does.
COMPATIBLE = Provider(url="", model="")


#: The setting that holds the keys of servers elsewhere, by their hosts.
HOST_KEYS = "NORN_KEYS"


def key_setting(name: str) -> str:
    """The setting that holds a provider's key."""
    return f"NORN_{name.upper()}_KEY"
