"""Why a model stopped, in the words of all the servers there are, and what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

#: What a reason comes to. "told": the text is whole by the server's word; "untold": it does not say.
Ending = Literal["told", "untold", "length", "withheld", "failed"]

# OpenAI, TGI, Gemini, Mistral, Anthropic; in small letters, as Google writes them in capitals.
_TOLD = frozenset(
    {
        "stop",
        "eos",
        "eos_token",
        "end_turn",
        "stop_sequence",
        "tool_use",
        "tool_calls",
        "function_call",
        "end",
        "complete",
    }
)
_LENGTH = frozenset(
    {"length", "max_tokens", "max_output_tokens", "max_completion_tokens", "max_length", "model_length",
     "model_context_window_exceeded"}
)  # fmt: skip
_WITHHELD = frozenset(
    {"safety", "recitation", "prohibited_content", "blocklist", "spii", "refusal", "sensitive", "guardrail_intervened"}
)
_FAILED = frozenset({"error", "server_error", "network_error", "insufficient_system_resource", "abort", "cancelled"})


def ending_of(reason: Any) -> Ending:
    """What a server's reason comes to. A word that nobody knows is no reason to throw an answer away."""
    if isinstance(reason, Mapping):  # SGLang's {"type": "stop", "matched": 2}
        reason = reason.get("type")
    word = reason.lower() if isinstance(reason, str) else ""
    if word in _TOLD:
        return "told"
    if word in _LENGTH:
        return "length"
    # Google adds which filter it was: "content_filter: PROHIBITED_CONTENT".
    if word in _WITHHELD or word.startswith("content_filter"):
        return "withheld"
    return "failed" if word in _FAILED else "untold"


def text_of(content: Any) -> str | None:
    """What was written: a text, or those of several parts that are text; None where it is neither."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str)) if texts else None
