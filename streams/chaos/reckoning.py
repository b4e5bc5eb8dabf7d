"""Reckoning: what became of every request, counted from the log alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from inference.court import NOT_APPROVED, REFUSED
from schemas import Event, fact_of
from schemas.stamps import time_ms

# A killed worker's partitions rest for its session of six seconds, and its successor starts, claims and reads first.
GRACE_MS = 20_000
#: Kept of each kind of failure, for whoever looks into it.
EXAMPLES_MAX = 5


@dataclass(slots=True)
class _Decision:
    requested_ms: int = 0
    deadline_ms: int = 0
    agent: str = ""
    proposals: dict[bytes, Any] = field(default_factory=dict)
    effects: dict[bytes, tuple[int, Any]] = field(default_factory=dict)
    rejections: list[str] = field(default_factory=list)
    expired: bool = False
    #: When it was first put to people, and until when they may answer; 0 when it was not.
    put_ms: int = 0
    until_ms: int = 0

    @property
    def answered_ms(self) -> int:
        """When it first took effect or was put to people, 0 when neither has happened."""
        effective = [at_ms for at_ms, _ in self.effects.values()]
        return min([*effective, self.put_ms] if self.put_ms else effective, default=0)

    @property
    def answers(self) -> int:
        """How often somebody other than the rules answered."""
        return sum(proposed.route != "rule" for proposed in self.proposals.values())

    @property
    def ended(self) -> bool:
        """Whether it has come to its end: by an effect, or without one."""
        return bool(self.effects) or self.impossible or self.declined

    @property
    def impossible(self) -> bool:
        """Whether there can be no effect, because nobody can answer for an unknown agent."""
        return any(reason.startswith("unknown_agent") for reason in self.rejections)

    @property
    def declined(self) -> bool:
        """Whether a person said no, or nobody said yes: that is an answer, though nothing may come of it."""
        return bool(self.put_ms) and any(reason.startswith((REFUSED, NOT_APPROVED)) for reason in self.rejections)

    def waits(self, now_ms: int) -> bool:
        """Whether it waits for a person, who still has time."""
        return not self.ended and now_ms <= self.until_ms + GRACE_MS


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What a run came to. Times in milliseconds."""

    published: int
    requests: int
    #: Requests that were acknowledged and are not on the log, or are there and neither ended nor known to decide.
    lost: int
    #: Decisions of more than one effect.
    duplicate_effective: int
    #: Decisions of known agents without any effect, that do not wait for a person either.
    unanswered: int
    #: Answered, but later than the deadline and GRACE_MS.
    late: int
    effective: int
    rejected_for_good: int
    expired: int
    #: Decisions that were put to people, and those of them that still wait.
    reviewed: int
    waiting: int
    #: Decisions that were answered more than once, and not by rules: work done again after a kill.
    answered_again: int
    by_route: Mapping[str, int]
    fallbacks: Mapping[str, int]
    by_agent: Mapping[str, int]
    p50_ms: float | None
    p99_ms: float | None
    examples: Mapping[str, list[str]]

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, nothing took effect twice, and nothing stayed without an answer."""
        return not (self.lost or self.duplicate_effective or self.unanswered)

    def as_object(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"holds": self.holds, **asdict(self)}


def reckon(events: Iterable[Event], published: Collection[str], known: Collection[str], now_ms: int) -> Reckoning:
    """Count what the log says by now.

    published: decisions asked for and acknowledged. known: those in decide's table.
    """
    decisions: dict[str, _Decision] = defaultdict(_Decision)
    for event in events:
        _take(decisions, event)
    asked = {name: one for name, one in decisions.items() if one.requested_ms}
    missing = [name for name in published if name not in asked]
    ended = {name for name, one in asked.items() if one.ended}
    lost = missing + [name for name in asked if name not in ended and name not in known]
    twice = [name for name, one in decisions.items() if len(one.effects) > 1]
    unanswered = [name for name, one in asked.items() if not (one.ended or one.waits(now_ms))]
    late = [n for n, one in asked.items() if one.answered_ms > max(one.deadline_ms, one.requested_ms) + GRACE_MS]
    firsts = [next(iter(one.proposals.values())) for one in asked.values() if one.proposals]
    effects = [min(one.effects.values(), key=lambda effect: effect[0])[1] for one in asked.values() if one.effects]
    took_ms = [one.answered_ms - one.requested_ms for one in asked.values() if one.answered_ms]
    failed = {"lost": lost, "duplicate_effective": twice, "unanswered": unanswered, "late": late}
    examples = {
        kind: [f"{name} {decisions[name].agent} {decisions[name].rejections}" for name in found[:EXAMPLES_MAX]]
        for kind, found in failed.items()
        if found
    }
    return Reckoning(
        published=len(published),
        requests=len(asked),
        lost=len(lost),
        duplicate_effective=len(twice),
        unanswered=len(unanswered),
        late=len(late),
        effective=len(effects),
        rejected_for_good=sum(one.impossible and not one.effects for one in asked.values()),
        expired=sum(one.expired for one in asked.values()),
        reviewed=sum(one.put_ms > 0 for one in asked.values()),
        waiting=sum(one.waits(now_ms) for one in asked.values()),
        answered_again=sum(one.answers > 1 for one in asked.values()),
        by_route=dict(Counter(effect.route for effect in effects).most_common()),
        fallbacks=dict(Counter(_kind(one.fallback_reason) for one in firsts if one.fallback_reason).most_common()),
        by_agent=dict(Counter(one.agent for one in asked.values()).most_common()),
        p50_ms=float(np.percentile(took_ms, 50)) if took_ms else None,
        p99_ms=float(np.percentile(took_ms, 99)) if took_ms else None,
        examples=examples,
    )


def _take(decisions: dict[str, _Decision], event: Event) -> None:
    fact: Any = fact_of(event)
    name = getattr(fact, "decision_id", "")
    if not name:
        return
    one, at_ms = decisions[name], time_ms(event.stamp)
    match event.WhichOneof("fact"):
        case "decision_requested":
            if not one.requested_ms or at_ms < one.requested_ms:
                one.requested_ms, one.deadline_ms, one.agent = at_ms, fact.deadline_ms, fact.agent
        case "decision_proposed":
            one.proposals.setdefault(event.id, fact)
        case "decision_effective":
            one.effects.setdefault(event.id, (at_ms, fact))
        case "decision_rejected":
            one.rejections.append(fact.reason)
        case "decision_expired":
            one.expired = True
        case "approval_requested":
            one.put_ms = min(one.put_ms or at_ms, at_ms)
            one.until_ms = max(one.until_ms, fact.deadline_ms)


def _kind(reason: str) -> str:
    return reason.partition(":")[0].partition(";")[0][:40]
