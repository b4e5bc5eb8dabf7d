"""What a decision costs, in whole micro-dollars: hosted models by the token, our own by the time they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas import PermanentError
from schemas.stamps import HOUR_MS

_MILLION = 1_000_000
# No million tokens cost more; a greater number was meant in another unit.
_USD_MAX = 10_000
# Anthropic's price, at most, of a token that its cache is to keep, in prices of a prompt's token. Nobody asks more.
CACHE_WRITE_FACTOR = 2

#: Micro-dollars per million tokens, prompt and completion alike (spec B.15, list prices).
HOSTED: Mapping[str, int] = {
    "deepseek-chat": 140_000,
    "gpt-4o-mini": 150_000,
    "claude-3-haiku": 250_000,
    "llama-3.1-70b": 590_000,
    "grok-beta": 5_000_000,
}

#: Micro-dollars per million tokens of the prompt and of the completion: of the ensemble of spec A.4, which names no
#: price, the providers' list prices of 2025. claude-4.1 is what Anthropic lists as Claude Opus 4.1 (claude-opus-4-1):
#: $15 and $75 (docs.anthropic.com, "Pricing").
HOSTED_APART: Mapping[str, tuple[int, int]] = {
    "gpt-5.1": (1_250_000, 10_000_000),
    "claude-4.1": (15_000_000, 75_000_000),
    "gemini-2.5-pro": (1_250_000, 10_000_000),
}

#: Micro-dollars per hour of an instance (spec E.2). Silver's g5.2xlarge (A.20, C.14) has no price there, and only a sum
#: per month in E.9 ($870, which no row of section I reads); it has AWS's list price of the region and kind that E.2's
#: others have: on demand, Linux, us-east-1, $1.212 (aws.amazon.com/ec2/pricing/on-demand), of which E.9 is 718 hours.
INSTANCES: Mapping[str, int] = {"m6i.xlarge": 192_000, "g5.xlarge": 1_006_000, "g5.2xlarge": 1_212_000}

#: The instance that a model of our own would run on, of which a decision is charged all for as long as it runs.
RUNS_ON: Mapping[str, str] = {
    "smollm2-135m-instruct-q4_1": "m6i.xlarge",
    "scripted": "m6i.xlarge",
    "Qwen2.5-3B-Instruct-AWQ": "g5.xlarge",
    "Qwen2.5-7B-Instruct": "g5.2xlarge",
}


class UnknownPrice(PermanentError):
    """A model whose price is in no table, or a price that cannot be one."""

    reason = "unknown_price"


@dataclass(frozen=True)
class Prices:
    """The prices of models: those that a worker was told at its start, before the lists above, which are older.

    told: micro-dollars per million tokens by model, prompt and completion alike.
    """

    told: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, usd_per_million: Mapping[str, float]) -> Prices:
        """Prices in dollars per million tokens, as people write them. Raises UnknownPrice for what cannot be one."""
        for model, usd in usd_per_million.items():
            if not (0 <= usd < _USD_MAX):
                raise UnknownPrice(f"{usd!r} is no price of a million tokens of {model!r}: write dollars, such as 0.14")
        return cls({model: round(usd * _MILLION) for model, usd in usd_per_million.items()})

    def cost_usd_micros(
        self, model: str, prompt_tokens: int, completion_tokens: int, duration_ms: int, cache_written_tokens: int = 0
    ) -> int:
        """The price of one piece of work, rounded up, so that no work is free. Raises UnknownPrice.

        Tokens that were read from a provider's cache are prompt tokens: they cost no more, and mostly less.
        """
        apart = self.per_million(model)
        if apart is not None:
            read = prompt_tokens + CACHE_WRITE_FACTOR * cache_written_tokens
            return max(1, _ceil_div(read * apart[0] + completion_tokens * apart[1], _MILLION))
        if model in RUNS_ON:
            return max(1, _ceil_div(duration_ms * INSTANCES[RUNS_ON[model]], HOUR_MS))
        raise UnknownPrice(
            f"no price is known for {model!r}: put it into NORN_PRICES, in dollars per million tokens, or into a table"
            " of inference/prices.py"
        )

    def check(self, models: Iterable[str]) -> None:
        """Raises UnknownPrice when one of them has no price."""
        for model in models:
            self.cost_usd_micros(model, 0, 0, 0)

    def per_million(self, model: str) -> tuple[int, int] | None:
        """Micro-dollars per million tokens read and written; None for a model that is paid for by the time it runs."""
        alike = self.told.get(model, HOSTED.get(model))
        return (alike, alike) if alike is not None else HOSTED_APART.get(model)


#: The lists alone.
LISTED = Prices()
cost_usd_micros = LISTED.cost_usd_micros


def _ceil_div(number: int, divisor: int) -> int:
    return -(-number // divisor)
