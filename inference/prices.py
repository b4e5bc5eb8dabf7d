"""What a decision costs, in whole micro-dollars: hosted models by the token, our own by the time they run."""

from __future__ import annotations

from collections.abc import Mapping

from schemas import PermanentError

_MILLION = 1_000_000
_HOUR_MS = 3_600_000

#: Micro-dollars per million tokens, prompt and completion alike (spec B.15, list prices).
HOSTED: Mapping[str, int] = {
    "deepseek-chat": 140_000,
    "gpt-4o-mini": 150_000,
    "claude-3-haiku": 250_000,
    "llama-3.1-70b": 590_000,
    "grok-beta": 5_000_000,
}

#: Micro-dollars per hour of an instance (spec E.2).
INSTANCES: Mapping[str, int] = {"m6i.xlarge": 192_000, "g5.xlarge": 1_006_000}

#: The instance that a model of our own would run on, of which a decision is charged all for as long as it runs.
RUNS_ON: Mapping[str, str] = {
    "smollm2-135m-instruct-q4_1": "m6i.xlarge",
    "scripted": "m6i.xlarge",
    "Qwen2.5-3B-Instruct-AWQ": "g5.xlarge",
    "Qwen2.5-7B-Instruct": "g5.xlarge",
}


class UnknownPrice(PermanentError):
    """A model whose price is in neither table."""

    reason = "unknown_price"


def cost_usd_micros(model: str, prompt_tokens: int, completion_tokens: int, duration_ms: int) -> int:
    """The price of one piece of work, rounded up, so that no work is free. Raises UnknownPrice."""
    if model in HOSTED:
        return max(1, _ceil_div((prompt_tokens + completion_tokens) * HOSTED[model], _MILLION))
    if model in RUNS_ON:
        return max(1, _ceil_div(duration_ms * INSTANCES[RUNS_ON[model]], _HOUR_MS))
    raise UnknownPrice(f"no price is known for {model!r}: add it to HOSTED or RUNS_ON in inference/prices.py")


def _ceil_div(number: int, divisor: int) -> int:
    return -(-number // divisor)
