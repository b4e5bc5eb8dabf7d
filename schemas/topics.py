"""TOPICS: which facts go to which topic, with how many partitions, kept how long. The one routing table of the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from schemas.errors import EventRefused
from schemas.event import FACTS, fact_name

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Topic:
    """A topic: its name, the names of the facts it carries, its partitions and its retention (-1: for ever)."""

    name: str
    facts: tuple[str, ...]
    partitions: int
    retention_ms: int = -1


TIERS = ("gold", "silver", "bronze")

_PLAYERS = (
    "player_moved", "player_levelled", "player_scored", "item_gained", "item_lost", "gold_gained", "gold_spent",
    "health_changed", "player_said", "player_died", "objective_completed", "flag_set",
)  # fmt: skip
_WORLD = (
    "place_entered", "depth_reached", "clock_ticked", "schedule_due", "world_changed", "announced", "arc_started",
    "chapter_opened", "chapter_closed",
)  # fmt: skip
_DECIDED = (
    "decision_proposed", "decision_effective", "decision_expired", "decision_rejected", "decision_closed", "vote_cast",
    "consensus_reached", "models_insufficient", "answer_found_unsafe", "approval_requested", "approval_given",
    "action_completed",
)  # fmt: skip
_BUDGETS = ("budget_asked", "budget_reserved", "budget_refused", "budget_returned", "budget_settled")

#: The log is the truth, so facts are kept for ever; requests as long as an auditor may ask why (7 years, C.16).
TOPICS: Mapping[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("players.actions.v1", _PLAYERS, partitions=4),
        Topic("world.facts.v1", _WORLD, partitions=4),
        *(
            Topic(f"ai.requests.{tier}.v1", ("decision_requested",), partitions=2, retention_ms=2555 * DAY_MS)
            for tier in TIERS
        ),
        Topic("ai.decisions.v1", _DECIDED, partitions=2),
        Topic("costs.samples.v1", ("cost_sampled",), partitions=1),
        # One partition, so that one worker at a time is the writer of every budget.
        Topic("costs.budgets.v1", _BUDGETS, partitions=1),
        Topic("operations.facts.v1", ("worker_started", "worker_stopped"), partitions=1),
        Topic("dead.letters.v1", ("dead_lettered",), partitions=1),
    )
}

_BY_FACT: Mapping[str, str] = {
    name: topic.name for topic in TOPICS.values() for name in topic.facts if name != "decision_requested"
}
_UNROUTED = set(FACTS) - set(_BY_FACT) - {"decision_requested"}
assert not _UNROUTED, f"facts without a topic: {sorted(_UNROUTED)}"


def topic_of(fact: Message) -> str:
    """The topic a fact is written to. Raises UnknownFact, and EventRefused for a request to no known tier."""
    name = fact_name(fact)
    if name != "decision_requested":
        return _BY_FACT[name]
    tier: str = getattr(fact, "tier")  # noqa: B009 - a request alone has a tier, which Message does not know
    if tier not in TIERS:
        raise EventRefused(f"a request's tier is one of {', '.join(TIERS)}, not {tier!r}")
    return f"ai.requests.{tier}.v1"
