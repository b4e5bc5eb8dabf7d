"""Budget: what calls of models may cost. Worst cases are reserved before they are spent; real costs settle them.

One writer keeps this state and folds the budget's facts in their order (the reserve/settle pattern of payments: an
authorisation holds money that a capture then takes). What an ask has cost is the larger of what its holder returned and
what its cost samples add up to, so it does not matter which of them comes first, or whether the holder died before it
could return anything. A reservation that nobody settles lapses, so no crash leaves a phantom behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar, Literal

from pydantic import ConfigDict

from schemas import BudgetAsked, BudgetRefused, BudgetReserved, BudgetReturned, BudgetSettled, CostSampled
from schemas.stamps import HOUR_MS
from schemas.topics import DAY_MS

Scope = Literal["agent", "tier", "total"]
Period = Literal["hour", "day", "month"]
PERIODS: tuple[Period, ...] = ("hour", "day", "month")

#: Whose facts a budget's are: asks and verdicts alike go to the one partition of this key, in one order.
SUBJECT = "budget"
#: The source of the cost samples that are of calls of models; what machines and disks cost comes from others.
SOURCE = "ai_inference"

USD = 1_000_000
# A cost sample is published with its answer; one that comes this long after its reservation's end is still its own.
LAPSE_GRACE_MS = 5_000
# Nobody holds a reservation for longer, whatever the asker's clock says: its end may be hours ahead, or never.
HELD_MAX_MS = 600_000
# Late cost samples of a settled ask are recognised for this long: far longer than a worker needs to come back.
SETTLED_KEPT_MS = HOUR_MS

# The most that a fact's own fields hold: a sum past it could neither be stored nor told, and the budget would stop.
CALLS_MAX = (1 << 32) - 1
USD_MICROS_MAX = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that may be spent in each period by one agent, in one tier, or in all; None is no limit.

    name: which agent or tier; empty: each of them for itself.
    """

    scope: Scope
    period: Period
    name: str = ""
    usd_micros: int | None = None
    calls: int | None = None
    # A limit that is misspelt in the settings must not pass for none.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def binds(self, agent: str, tier: str) -> bool:
        """Whether it limits this agent's calls in this tier."""
        return self.scope == "total" or self.name in ("", agent if self.scope == "agent" else tier)

    def __str__(self) -> str:
        return f"{' '.join(filter(None, (self.scope, self.name)))} per {self.period}"


#: Calls an hour as spec C.9; dollars a month as the monthly budget of E.6 (600), a day as a thirtieth of it. Half of a
#: day's money is the most for one agent, so that one that runs wild leaves something for the others.
CAPS: tuple[Cap, ...] = (
    Cap("total", "hour", calls=1_000),
    Cap("total", "day", usd_micros=20 * USD),
    Cap("total", "month", usd_micros=600 * USD),
    Cap("tier", "day", "gold", usd_micros=10 * USD),
    Cap("tier", "day", "silver", usd_micros=15 * USD),
    Cap("tier", "day", "bronze", usd_micros=15 * USD),
    Cap("agent", "day", usd_micros=10 * USD),
)


@dataclass(frozen=True, slots=True)
class Amount:
    """Calls, and micro-dollars; sums stop at the most that a fact can hold."""

    calls: int = 0
    usd_micros: int = 0

    def __add__(self, other: Amount) -> Amount:
        calls, usd_micros = self.calls + other.calls, self.usd_micros + other.usd_micros
        return Amount(min(calls, CALLS_MAX), min(usd_micros, USD_MICROS_MAX))

    def beyond(self, other: Amount) -> Amount:
        """What of this is more than the other."""
        return Amount(max(0, self.calls - other.calls), max(0, self.usd_micros - other.usd_micros))

    def larger(self, other: Amount) -> Amount:
        """The larger of both, for calls and for money."""
        return Amount(max(self.calls, other.calls), max(self.usd_micros, other.usd_micros))


@dataclass(frozen=True, slots=True)
class Held:
    """An ask: what was reserved for it, what is known to have been spent of it, and whether it is settled."""

    agent: str
    tier: str
    asked_ms: int
    until_ms: int
    reserved: Amount
    sampled: Amount = Amount()
    settled: Amount | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """The state: every ask that is held or was settled lately, and what each scope has spent in each period."""

    asks: Mapping[str, Held] = field(default_factory=dict)
    spent: Mapping[tuple[str, Period, int], Amount] = field(default_factory=dict)

    @property
    def in_flight(self) -> Amount:
        """What is reserved and not yet settled."""
        return _total(held.reserved for held in self.asks.values() if held.settled is None)

    def used(self, cap: Cap, agent: str, tier: str, at_ms: int) -> Amount:
        """What counts against a cap in the period of a time: spent, and reserved."""
        scope, start_ms = _scope(cap.scope, agent, tier), period_start_ms(cap.period, at_ms)
        reserved = (
            held.reserved
            for held in self.asks.values()
            if held.settled is None
            and (cap.scope == "total" or (held.agent == agent if cap.scope == "agent" else held.tier == tier))
            and period_start_ms(cap.period, held.asked_ms) == start_ms
        )
        return self.spent.get((scope, cap.period, start_ms), Amount()) + _total(reserved)


def ask(
    budget: Budget, caps: Sequence[Cap], asked: BudgetAsked, at_ms: int, *, asked_ms: int | None = None
) -> tuple[Budget, BudgetReserved | BudgetRefused]:
    """Reserve what is asked for, or refuse it and name the cap; asking again under one id is answered the same.

    `at_ms` is the budget's time, and `asked_ms` the asker's where that is another: for how long it wants to hold what
    it asks for is told by its own clock.
    """
    known = budget.asks.get(asked.ask_id)
    worst = Amount(asked.calls, asked.usd_micros)
    if known is not None:
        if known.settled is None and known.reserved == worst:
            return budget, _reserved(asked, known.until_ms)
        return budget, _refused(asked, "none", "this ask has been used before: ask anew under another id")
    for cap in caps:
        if cap.binds(asked.agent, asked.tier):
            would_be = budget.used(cap, asked.agent, asked.tier, at_ms) + worst
            if cap.calls is not None and would_be.calls > cap.calls:
                return budget, _refused(asked, str(cap), f"{would_be.calls} calls of {cap.calls}")
            if cap.usd_micros is not None and would_be.usd_micros > cap.usd_micros:
                return budget, _refused(asked, str(cap), f"{would_be.usd_micros} micro-dollars of {cap.usd_micros}")
    wanted_ms = asked.until_ms - (at_ms if asked_ms is None else asked_ms)
    held = Held(asked.agent, asked.tier, at_ms, at_ms + min(wanted_ms, HELD_MAX_MS), worst)
    return replace(budget, asks={**budget.asks, asked.ask_id: held}), _reserved(asked, held.until_ms)


def returned(budget: Budget, fact: BudgetReturned) -> tuple[Budget, BudgetSettled | None]:
    """A holder is done with its ask: what it has spent is spent, the rest is free again."""
    held = budget.asks.get(fact.ask_id)
    if held is None:
        return budget, None
    if held.settled is not None:
        more = Amount(fact.calls, fact.usd_micros).beyond(held.settled)
        return _spend(budget, fact.ask_id, held, held.settled + more, more), None
    return _settle(budget, fact.ask_id, held, Amount(fact.calls, fact.usd_micros).larger(held.sampled), "returned")


def sampled(budget: Budget, fact: CostSampled, at_ms: int) -> Budget:
    """Money that has been spent: under an ask it is part of what was reserved; without one it counts at once."""
    amount = Amount(max(1, fact.calls), fact.cost_usd_micros)
    held = budget.asks.get(fact.ask_id) if fact.ask_id else None
    if held is None:
        return replace(budget, spent=_counted(budget.spent, fact.agent, fact.tier, at_ms, amount))
    held = replace(held, sampled=held.sampled + amount)
    if held.settled is None:
        return replace(budget, asks={**budget.asks, fact.ask_id: held})
    more = held.sampled.beyond(held.settled)
    return _spend(budget, fact.ask_id, held, held.settled + more, more)


def passed(budget: Budget, now_ms: int) -> tuple[Budget, list[BudgetSettled]]:
    """Time has passed: asks that nobody has settled lapse, and what is too old to matter is forgotten."""
    settled: list[BudgetSettled] = []
    for ask_id, held in budget.asks.items():
        if held.settled is None and held.until_ms + LAPSE_GRACE_MS <= now_ms:
            budget, fact = _settle(budget, ask_id, held, held.sampled, "lapsed")
            settled.append(fact)
    asks = {ask_id: held for ask_id, held in budget.asks.items() if _matters(held, now_ms)}
    # A clock that went back must not forget what a later period has spent.
    spent = {key: amount for key, amount in budget.spent.items() if key[2] >= period_start_ms(key[1], now_ms)}
    return Budget(
        budget.asks if len(asks) == len(budget.asks) else asks,
        budget.spent if len(spent) == len(budget.spent) else spent,
    ), settled


def _matters(held: Held, now_ms: int) -> bool:
    return held.settled is None or held.until_ms + SETTLED_KEPT_MS > now_ms


def period_start_ms(period: Period, at_ms: int) -> int:
    """When the hour, the day or the month (UTC) of a time began."""
    if period == "month":
        return _month_start_ms(at_ms // DAY_MS)
    return at_ms - at_ms % (HOUR_MS if period == "hour" else DAY_MS)


@lru_cache(maxsize=64)
def _month_start_ms(days: int) -> int:
    """When the month of a day since 1970 began; an ask asks it of every other ask, nearly all of them of one day."""
    at = datetime.fromtimestamp(days * DAY_MS // 1000, UTC).replace(day=1)
    return int(at.timestamp()) * 1000


def _settle(budget: Budget, ask_id: str, held: Held, spent: Amount, reason: str) -> tuple[Budget, BudgetSettled]:
    fact = BudgetSettled(
        ask_id=ask_id,
        agent=held.agent,
        tier=held.tier,
        calls=spent.calls,
        usd_micros=spent.usd_micros,
        reason=reason,
    )
    return _spend(budget, ask_id, held, spent, spent), fact


def _spend(budget: Budget, ask_id: str, held: Held, settled: Amount, more: Amount) -> Budget:
    return Budget(
        {**budget.asks, ask_id: replace(held, settled=settled)},
        _counted(budget.spent, held.agent, held.tier, held.asked_ms, more),
    )


def _counted(
    spent: Mapping[tuple[str, Period, int], Amount], agent: str, tier: str, at_ms: int, amount: Amount
) -> Mapping[tuple[str, Period, int], Amount]:
    if amount == Amount():
        return spent
    keys = {(scope, period, period_start_ms(period, at_ms)) for scope in _scopes(agent, tier) for period in PERIODS}
    return {**spent, **{key: spent.get(key, Amount()) + amount for key in keys}}


def _scopes(agent: str, tier: str) -> Iterator[str]:
    yield _scope("agent", agent, tier)
    yield _scope("tier", agent, tier)
    yield _scope("total", agent, tier)


def _scope(scope: Scope, agent: str, tier: str) -> str:
    return {"agent": f"agent {agent}", "tier": f"tier {tier}", "total": "total"}[scope]


def _total(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, Amount())


def _reserved(asked: BudgetAsked, until_ms: int) -> BudgetReserved:
    return BudgetReserved(
        ask_id=asked.ask_id,
        holder=asked.holder,
        agent=asked.agent,
        tier=asked.tier,
        calls=asked.calls,
        usd_micros=asked.usd_micros,
        until_ms=until_ms,
    )


def _refused(asked: BudgetAsked, cap: str, detail: str) -> BudgetRefused:
    return BudgetRefused(
        ask_id=asked.ask_id, holder=asked.holder, agent=asked.agent, tier=asked.tier, cap=cap, detail=detail
    )
