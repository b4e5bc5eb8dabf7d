"""Bill: the calls of models that one attempt at an answer makes, and what each has cost or may have cost.

A busy server is asked again, and a chain asks its next engine: so that one answer may take several calls. Each is noted
before it is made, because whoever makes it may be cancelled at any moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from inference.budget import Amount
from inference.prices import LISTED, Prices
from inference.thinking import written_tokens_max
from schemas import TemporaryError

if TYPE_CHECKING:
    from inference.engines.engine import Completion
    from inference.engines.usage import Usage
    from inference.prompts import Prompt


class TooDear(TemporaryError):
    """What was reserved does not cover another call, which is no failure of the engine's."""

    reason = "cost_cap"


def worst_of_call(model: str, prompt: Prompt, allowed_ms: int, prices: Prices) -> int:
    """The most micro-dollars that one call of a model may cost. Raises UnknownPrice."""
    return prices.cost_usd_micros(model, prompt.tokens_max(), written_tokens_max(model, prompt.max_tokens), allowed_ms)


@dataclass(eq=False)
class Call:
    """One call of a model.

    While nobody knows what became of it, its tokens are the most that it may have used: a provider charges for what its
    model has read and written, also when nobody waits for the answer any more, so that one who hangs would else pass
    every cap. A model of our own is paid for by its time, which is known however the call ends.
    """

    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    duration_ms: int = 0
    outcome: Literal["unknown", "counted", "answered", "rejected", "unmade"] = "unknown"
    cache_written_tokens: int = 0
    prices: Prices = LISTED

    def counted(self, usage: Usage) -> None:
        """The server told what it used, whatever else it said."""
        self.outcome, self.cache_written_tokens = "counted", usage.cache_written_tokens
        self.prompt_tokens, self.completion_tokens = usage.prompt_tokens, usage.completion_tokens

    def answered(self, done: Completion) -> Completion:
        """It came to this, which tells what it used."""
        self.outcome, self.model = "answered", done.model or self.model
        self.prompt_tokens = done.prompt_tokens - self.cache_written_tokens
        self.completion_tokens, self.duration_ms = done.completion_tokens, done.duration_ms
        return done

    def rejected(self) -> None:
        """The server answered with an error: providers charge for answers alone. It counts as a call all the same."""
        self.outcome, self.prompt_tokens, self.completion_tokens = "rejected", 0, 0

    def unmade(self) -> None:
        """It never left: there was no connection."""
        self.outcome = "unmade"

    @property
    def usd_micros(self) -> int:
        """What it has cost, or may have. Raises UnknownPrice."""
        if self.outcome == "rejected":
            return 0
        return self.prices.cost_usd_micros(
            self.model, self.prompt_tokens, self.completion_tokens, self.duration_ms, self.cache_written_tokens
        )


@dataclass(eq=False)
class Bill:
    """Calls in the order in which they were made. `limit` is what was reserved for all of them; None: nobody counts."""

    limit: Amount | None = None
    calls: list[Call] = field(default_factory=list)
    prices: Prices = LISTED

    @property
    def total(self) -> Amount:
        """What the calls so far have come to, or may have."""
        return Amount(len(self.calls), sum(call.usd_micros for call in self.calls))

    def covers(self, model: str, prompt: Prompt) -> bool:
        """Whether one more call may be made."""
        if self.limit is None:
            return True
        worst = worst_of_call(model, prompt, prompt.allowed_ms, self.prices)
        return Amount() == (self.total + Amount(1, worst)).beyond(self.limit)

    @contextmanager
    def call(self, model: str, prompt: Prompt) -> Iterator[Call]:
        """Note a call for as long as it is made. Raises TooDear instead when it is not covered."""
        if not self.covers(model, prompt):
            raise TooDear(f"what was reserved does not cover another call of {model}")
        call = Call(model, prices=self.prices)
        if self.prices.per_million(model) is not None:
            call.prompt_tokens = prompt.tokens_max()
            call.completion_tokens = written_tokens_max(model, prompt.max_tokens)
        self.calls.append(call)
        now_s = asyncio.get_running_loop().time
        begun_s = now_s()
        try:
            yield call
        finally:
            if call.outcome == "unmade":
                self.calls.remove(call)
            elif call.outcome != "answered":
                call.duration_ms = round((now_s() - begun_s) * 1000)
