"""The tally of a stretch of the world's time: who decided what, how, at what cost, and what was left undone. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: The four tiers by which a decision may be answered, cheapest first (spec C.7).
ROUTES = ("rule", "cache", "batch", "full")
# An answer's way through the log and its judgement take some hundred milliseconds on a busy machine; the default of
# one that nobody answered is given when its deadline has passed, by a sweep that looks a few times a second.
GRACE_MS = 5_000
# The clock ticks about once a second; a gap of this many real milliseconds means that it stood still.
TICK_GAP_MAX_MS = 15_000


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, as the log tells of it; 0 for a time that has not come."""

    decision_id: str
    agent: str
    tier: str
    requested_ms: int
    deadline_ms: int
    route: str
    fallback_reason: str
    effects: int
    effective_ms: int

    @property
    def in_time(self) -> bool:
        """Whether something took effect by the deadline, or by a default right after it."""
        return 0 < self.effective_ms <= self.deadline_ms + GRACE_MS


@dataclass(frozen=True, slots=True)
class Cost:
    """What an agent's calls of models came to."""

    agent: str
    cost_usd_micros: int
    calls: int


@dataclass(frozen=True, slots=True)
class Due:
    """A schedule and a world time at which it was due."""

    schedule: str
    due_ms: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What the decisions of a stretch of time come to."""

    decisions: int
    #: How many decisions of each agent took effect.
    by_agent: Mapping[str, int]
    #: The share of each route among all decisions, and among each agent's.
    tier_shares: Mapping[str, float]
    tier_shares_by_agent: Mapping[str, Mapping[str, float]]
    llm_calls: int
    cost_by_agent: Mapping[str, int]
    fallbacks: Mapping[str, int]
    #: Decisions of which nothing took effect by their deadline, not even the default.
    unanswered: int
    duplicate_effective: int
    answer_p50_ms: int | None
    answer_p99_ms: int | None

    @property
    def agents_run(self) -> int:
        """How many agents had a decision take effect."""
        return len(self.by_agent)

    @property
    def llm_calls_saved(self) -> float:
        """The share of decisions that needed no call of their own: one call each would be 0."""
        return 1.0 - self.llm_calls / self.decisions if self.decisions else 0.0


def tally(decisions: Sequence[Decision], costs: Iterable[Cost]) -> Tally:
    """Add up a stretch of time."""
    paid = list(costs)
    routes: dict[str, Counter[str]] = defaultdict(Counter)
    for one in decisions:
        routes[one.agent][one.route or "none"] += 1
    taken_ms = sorted(one.effective_ms - one.requested_ms for one in decisions if one.effective_ms)
    return Tally(
        decisions=len(decisions),
        by_agent=dict(sorted(Counter(one.agent for one in decisions if one.effects).items())),
        tier_shares=_shares(sum(routes.values(), Counter())),
        tier_shares_by_agent={agent: _shares(counted) for agent, counted in sorted(routes.items())},
        llm_calls=sum(cost.calls for cost in paid),
        cost_by_agent={cost.agent: cost.cost_usd_micros for cost in paid},
        fallbacks=dict(Counter(_kind(one.fallback_reason) for one in decisions if one.fallback_reason).most_common()),
        unanswered=sum(not one.in_time for one in decisions),
        duplicate_effective=sum(one.effects > 1 for one in decisions),
        answer_p50_ms=_percentile(taken_ms, 0.50),
        answer_p99_ms=_percentile(taken_ms, 0.99),
    )


def standstills(told_ms: Sequence[int], expected: Iterable[Due], told: Iterable[Due], answered: set[str]) -> list[str]:
    """Where the world stood still: the clock between two ticks, or a schedule that led to nothing.

    told_ms: when each tick was told, ascending. expected: what was due by the clock. told: what the log was told of.
    answered: the schedules of which at least one decision took effect.
    """
    gaps = [
        f"the clock stood still for {(later - before) / 1000:.0f} s"
        for before, later in pairwise(told_ms)
        if later - before > TICK_GAP_MAX_MS
    ]
    known = set(told)
    missed = [f"{due.schedule} was not told of at {due.due_ms}" for due in expected if due not in known]
    idle = [f"nothing came of {schedule}" for schedule in sorted({due.schedule for due in known} - answered)]
    return gaps + missed + idle


def _kind(fallback_reason: str) -> str:
    return fallback_reason.partition(":")[0][:40]


def _shares(counted: Mapping[str, int]) -> dict[str, float]:
    total = sum(counted.values())
    known = {route: round(counted.get(route, 0) / total, 4) if total else 0.0 for route in ROUTES}
    return known | ({"none": round(counted["none"] / total, 4)} if counted.get("none") else {})


def _percentile(ascending: Sequence[int], share: float) -> int | None:
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))] if ascending else None
