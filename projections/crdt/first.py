"""First: the values of the first event, by (stamp, region, values): what was decided once stays decided."""

from __future__ import annotations

from typing import Any

from projections.aggregates import ArgMin
from projections.crdt.crdt import State
from projections.crdt.latest import Latest


class First(Latest):
    """`First(DecisionProposed, "action")`: a later answer to the same question changes nothing.

    The mirror of Latest: the least (stamp, region, values) wins, and what has seen no event yet gives way.
    """

    def joined(self, ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The lesser of (stamp, values)."""
        return min(ours, theirs) if ours and theirs else ours or theirs

    def value(self, name: str, state: State) -> dict[str, Any]:
        """The fields of the least (stamp, region, values), or nothing known yet."""
        return self._named(min(self._said(state), default=None))

    def aggregates(self, name: str) -> tuple[ArgMin, ...]:
        """One ArgMin over (stamp, region, values)."""
        return (ArgMin(name, self.facts[0], self.fields),)
