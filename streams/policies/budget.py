"""Budget: the one writer that reserves, refuses and settles what calls of models may cost (inference/budget.py).

Its hours, days and months are real ones, by what the events' stamps agree on (inference/budget_time.py): money does not
run as fast as a world's clock may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import partial
from typing import Any

from google.protobuf.message import Message

from inference.budget import CAPS, SOURCE, SUBJECT, Amount, Budget, Cap, Held, ask, passed, returned, sampled
from inference.budget_time import BudgetTime, heard
from schemas import BudgetAsked, BudgetReturned, ClockTicked, CostSampled, Event
from schemas.stamps import time_ms
from streams.policy import Policy, Reaction, State


def _react(caps: Sequence[Cap], state: State, event: Event) -> Reaction:
    before, stamp_ms = _budget(state), time_ms(event.stamp)
    time = heard(_time(state.get("time")), event.origin, stamp_ms)
    at_ms = time.now_ms
    facts: Sequence[Message] = ()
    if event.HasField("budget_asked"):
        after, verdict = ask(before, caps, event.budget_asked, at_ms, asked_ms=stamp_ms)
        facts = [verdict]
    elif event.HasField("budget_returned"):
        after, settled = returned(before, event.budget_returned)
        facts = [settled] if settled is not None else []
    elif event.HasField("cost_sampled"):
        # What machines and disks cost is no call of a model.
        called = event.cost_sampled.source == SOURCE
        after = sampled(before, event.cost_sampled, at_ms) if called else before
    else:
        after, facts = passed(before, at_ms)
    return _kept(state, before, after, time), [(SUBJECT, fact) for fact in facts]


def _budget(state: State) -> Budget:
    return Budget(
        _asks(state.get("asks", {})),
        {(scope, period, start_ms): Amount(*amount) for scope, period, start_ms, amount in state.get("spent", ())},
    )


def _time(kept: Any) -> BudgetTime:
    if kept is None or isinstance(kept, BudgetTime):
        return kept or BudgetTime()
    return BudgetTime(kept["now_ms"], tuple((writer, stamp_ms) for writer, stamp_ms in kept["latest"]))


def _asks(kept: Mapping[str, Any]) -> Mapping[str, Held]:
    """As they are, or read from what was stored; to read thousands for every event would take longer than all else."""
    if isinstance(next(iter(kept.values()), None), Held):
        return kept
    return {ask_id: _held(row) for ask_id, row in kept.items()}


def _held(row: Mapping[str, Any]) -> Held:
    amounts = {name: Amount(**row[name]) for name in ("reserved", "sampled", "settled") if row[name] is not None}
    return Held(row["agent"], row["tier"], row["asked_ms"], row["until_ms"], **amounts)


def _kept(state: State, before: Budget, after: Budget, time: BudgetTime) -> State:
    # All but sums are stored as JSON objects of the same fields (orjson writes dataclasses as such).
    kept = {**state, "time": time}
    if after.asks is not before.asks:
        kept["asks"] = after.asks
    if after.spent is not before.spent:
        kept["spent"] = [(*key, astuple(amount)) for key, amount in after.spent.items()]
    return kept


def budget_of(caps: Sequence[Cap]) -> Policy:
    """The policy under these caps."""
    return Policy(
        name="budget",
        reads=(BudgetAsked, BudgetReturned, CostSampled, ClockTicked),
        react=partial(_react, tuple(caps)),
    )


budget = budget_of(CAPS)
