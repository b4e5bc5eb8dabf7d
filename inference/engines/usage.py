"""The tokens that a call used, as the server reports them. A side that it does not report counts as the most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# No answer takes more; a count beyond it is made up.
TOKENS_MAX = 10_000_000
# Counts that are parts of others, or sums; any other kind of tokens is billed besides.
_PARTS = frozenset(
    {
        "prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens", "reasoning_tokens",
        "cached_tokens", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens",
        "cache_read_input_tokens", "cache_creation_input_tokens",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Usage:
    """The tokens of one call, by their price.

    completion_tokens: also the thoughts, and what else is billed under no name, at the dearest of a model's prices.
    cache_written_tokens: of the prompt, those that the provider's cache is to keep, which are not in `prompt_tokens`.
    """

    prompt_tokens: int
    completion_tokens: int
    cache_written_tokens: int = 0

    @property
    def read_tokens(self) -> int:
        """All of the prompt."""
        return self.prompt_tokens + self.cache_written_tokens


def usage_of(counts: Any, *, prompt_max: int, completion_max: int) -> Usage | None:
    """The usage that a reply reports, in OpenAI's words or Anthropic's; None where it reports none.

    Of a prompt or an answer that it does not count, the most that it can be is counted. A model has read something, so
    a prompt of 0 tokens is one that was not counted.
    """
    if not isinstance(counts, Mapping) or not any(_count(counts, name) for name in counts):
        return None
    prompt = _count(counts, "prompt_tokens")
    # Anthropic counts what its cache gave or took beside the rest of the prompt; in OpenAI's words it is a part of it.
    beside = 0
    if prompt is None and (prompt := _count(counts, "input_tokens")) is not None:
        beside = (_count(counts, "cache_read_input_tokens") or 0) + (_count(counts, "cache_creation_input_tokens") or 0)
    read = (prompt or 0) + beside or prompt_max
    written = _count(counts, "completion_tokens", "output_tokens")
    completion = _with_hidden(counts, read, completion_max if written is None else written)
    kept = min(read, _count(counts, "cache_creation_input_tokens") or 0)
    return Usage(read - kept, completion, kept)


def _with_hidden(counts: Mapping[str, Any], read: int, written: int) -> int:
    """The tokens written, with those that a total or another name tells of besides."""
    details = next(
        (counts[name] for name in ("completion_tokens_details", "output_tokens_details") if name in counts), None
    )
    thought = (_count(details, "reasoning_tokens") if isinstance(details, Mapping) else None) or _count(
        counts, "reasoning_tokens"
    )
    # Thoughts are a part of what was written, except where they are more than all of it.
    with_thoughts = written + thought if thought is not None and thought > written else written
    total = _count(counts, "total_tokens")
    if total is not None:
        return max(with_thoughts, total - read)
    others = (_count(counts, name) or 0 for name in counts if name.endswith("_tokens") and name not in _PARTS)
    return with_thoughts + sum(others)


def _count(counts: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        count = counts.get(name)
        if type(count) is int and 0 <= count <= TOKENS_MAX:
            return count
    return None
