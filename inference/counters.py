"""Counters: what a worker has done since it began, for metrics to show."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from inference.proposing import Draft
from inference.validation import Refused
from schemas import DecisionProposed

#: Upper bounds of what is spread over time: from what nobody notices to the longest deadline.
BOUNDS_MS = (1, 2, 5, 10, 16, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)


@dataclass
class Spread:
    """How milliseconds spread: how many were at most each bound, and beyond the last."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    total_ms: int = 0

    def add(self, elapsed_ms: int) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS_MS, elapsed_ms)] += 1
        self.total_ms += elapsed_ms


@dataclass
class Counters:
    """Answers by agent, tier and route, why lesser routes answered, what calls took and cost, and what needed none.

    saved_calls: requests answered, not for want of a model, without a call of their own. batch_sizes: how many calls,
    of those that had waited for others, answered so many requests.
    """

    decisions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    unsafe: Counter[str] = field(default_factory=Counter)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    prompt_tokens: Counter[str] = field(default_factory=Counter)
    completion_tokens: Counter[str] = field(default_factory=Counter)
    cost_usd_micros: Counter[tuple[str, str]] = field(default_factory=Counter)
    waited: Spread = field(default_factory=Spread)
    latency: Spread = field(default_factory=Spread)
    batch_sizes: Counter[int] = field(default_factory=Counter)
    saved_calls: int = 0
    expired: int = 0
    rejected: int = 0
    repeated: int = 0

    @property
    def routes(self) -> Counter[str]:
        """Answers by route alone."""
        routes: Counter[str] = Counter()
        for (_, _, route), count in self.decisions.items():
            routes[route] += count
        return routes

    def count(
        self, proposal: DecisionProposed, draft: Draft, tier: str, fault: Refused | None, together: int = 0
    ) -> None:
        """Count an answered request. `together`: how many its call was made for; 0 where it waited for no others."""
        self.decisions[proposal.agent, tier, proposal.route] += 1
        self.latency.add(proposal.latency_ms)
        if fault is not None:
            self.fallbacks[fault.reason] += 1
        elif not draft.costs:
            self.saved_calls += 1
        if proposal.safety:
            self.unsafe[proposal.safety.partition(":")[0]] += 1
        for cost in draft.costs:
            self.calls[cost.model, tier] += cost.calls
            self.prompt_tokens[cost.model] += cost.prompt_tokens
            self.completion_tokens[cost.model] += cost.completion_tokens
            self.cost_usd_micros[cost.model, tier] += cost.cost_usd_micros
        if draft.costs:
            self.waited.add(draft.waited_ms)
            if together:
                self.batch_sizes[together] += 1
