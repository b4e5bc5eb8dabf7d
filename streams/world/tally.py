"""The tally of a stretch of the world's time: who decided what, how, at what cost, and what was left undone. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from inference.batching import ENOUGH

#: The four tiers by which a decision may be answered, cheapest first (spec C.7).
ROUTES = ("rule", "cache", "batch", "full")
#: Those by which a decision needs no call of its own, or shares one.
SAVING = frozenset(ROUTES) - {"full"}
# An answer's way through the log and its judgement take some hundred milliseconds on a busy machine; the default of
# one that nobody answered is given when its deadline has passed, by a sweep that looks a few times a second.
GRACE_MS = 5_000
# The clock ticks about once a second; a gap of this many real milliseconds means that it stood still.
TICK_GAP_MAX_MS = 15_000


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, as the log tells of it; 0 for a time that has not come.

    route: by which it was decided. proposed: by which it was first proposed; empty where nobody did. calls: of a model,
    made for it. together: for how many requests, where it had waited for others that are alike; else 0. put_ms: when it
    was put to people, who may answer until until_ms. declined_ms: when one of them had said no, or nobody yes.
    """

    decision_id: str
    agent: str
    tier: str
    requested_ms: int
    deadline_ms: int
    route: str
    fallback_reason: str
    effects: int
    effective_ms: int
    proposed: str
    calls: int = 0
    together: int = 0
    put_ms: int = 0
    until_ms: int = 0
    declined_ms: int = 0

    @property
    def saved(self) -> bool:
        """Whether it was answered as wanted and without a call of its own."""
        return self.proposed in SAVING and not self.fallback_reason and not self.calls

    @property
    def answered_ms(self) -> int:
        """When it took effect, or was put to people; 0 when neither has happened."""
        return self.put_ms or self.effective_ms

    def waits(self, now_ms: int) -> bool:
        """Whether it waits for a person, who still has time."""
        return bool(self.put_ms) and not (self.effective_ms or self.declined_ms) and now_ms <= self.until_ms + GRACE_MS

    def answered(self, now_ms: int) -> bool:
        """Whether something took effect by the deadline, or by a default right after it.

        Where a person has to agree: whether it was put to people by then, and came to its end while they had time.
        """
        if not 0 < self.answered_ms <= self.deadline_ms + GRACE_MS:
            return False
        ended_ms = self.effective_ms or self.declined_ms or now_ms
        return not self.put_ms or ended_ms <= self.until_ms + GRACE_MS


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
    #: Decisions that wanted a call and for which none was made: it failed before, another's failed, or nobody answered.
    llm_calls_missed: int
    cost_by_agent: Mapping[str, int]
    #: Decisions that a lesser route answered than was wanted, by why.
    fallbacks_by_reason: Mapping[str, int]
    #: How many requests were answered by each call that had waited for others, in no order.
    batch_sizes: Sequence[int]
    #: How many decisions of each agent wait for a person who still has time.
    waiting_by_agent: Mapping[str, int]
    #: Decisions of which nothing took effect by their deadline, not even the default, and which do not wait either.
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
        """The share of calls that the rules, the cache and batches saved: one call for each decision would be 0.

        A fallback has saved nothing: it counts as the call that was made for it, or else would have been.
        """
        return 1.0 - (self.llm_calls + self.llm_calls_missed) / self.decisions if self.decisions else 0.0

    @property
    def fallbacks(self) -> int:
        """How many decisions a lesser route answered than was wanted."""
        return sum(self.fallbacks_by_reason.values())

    @property
    def batch_size_mean(self) -> float | None:
        """How many requests a call answered, of those calls that had waited for others, be it in vain."""
        return sum(self.batch_sizes) / len(self.batch_sizes) if self.batch_sizes else None

    @property
    def batches_of_enough(self) -> int:
        """How many calls answered at least as many requests as wait for each other to save what they are to save."""
        return sum(size >= ENOUGH for size in self.batch_sizes)


def tally(decisions: Sequence[Decision], costs: Iterable[Cost], now_ms: int) -> Tally:
    """Add up a stretch of time, as it stands by now."""
    paid = list(costs)
    routes: dict[str, Counter[str]] = defaultdict(Counter)
    for one in decisions:
        routes[one.agent][one.route or "none"] += 1
    taken_ms = sorted(one.answered_ms - one.requested_ms for one in decisions if one.answered_ms)
    return Tally(
        decisions=len(decisions),
        by_agent=dict(sorted(Counter(one.agent for one in decisions if one.effects).items())),
        tier_shares=_shares(sum(routes.values(), Counter())),
        tier_shares_by_agent={agent: _shares(counted) for agent, counted in sorted(routes.items())},
        llm_calls=sum(cost.calls for cost in paid),
        llm_calls_missed=sum(not one.saved and not one.calls for one in decisions),
        cost_by_agent={cost.agent: cost.cost_usd_micros for cost in paid},
        fallbacks_by_reason=dict(
            Counter(_kind(one.fallback_reason) for one in decisions if one.fallback_reason).most_common()
        ),
        # A call is paid for by one of those that it answers.
        batch_sizes=[one.together for one in decisions if one.together and one.calls],
        waiting_by_agent=dict(sorted(Counter(one.agent for one in decisions if one.waits(now_ms)).items())),
        unanswered=sum(not one.answered(now_ms) for one in decisions),
        duplicate_effective=sum(one.effects > 1 for one in decisions),
        answer_p50_ms=_percentile(taken_ms, 0.50),
        answer_p99_ms=_percentile(taken_ms, 0.99),
    )


def standstills(told_ms: Sequence[int], expected: Iterable[Due], told: Iterable[Due], answered: set[str]) -> list[str]:
    """Where the world stood still: the clock between two ticks, or a schedule that led to nothing.

    told_ms: when each tick was told, ascending. expected: what was due by the clock. told: what the log was told of.
    answered: the schedules of which at least one decision took effect, or waits for a person.
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
    return re.split("[:;]", fallback_reason, maxsplit=1)[0][:40]


def _shares(counted: Mapping[str, int]) -> dict[str, float]:
    total = sum(counted.values())
    known = {route: round(counted.get(route, 0) / total, 4) if total else 0.0 for route in ROUTES}
    return known | ({"none": round(counted["none"] / total, 4)} if counted.get("none") else {})


def _percentile(ascending: Sequence[int], share: float) -> int | None:
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))] if ascending else None
