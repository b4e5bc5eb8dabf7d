"""Consensus: what the votes of several models come to (spec C.1 leaves it open).

- A vote is the action of an answer that validated. The weights of those who cast one are rescaled to sum to 1.
- The action with the most weight wins. Of two with as much, the one that has the heaviest single voter; of two such,
  the one whose heaviest voter sits further to the front.
- The content is that of the winning action's heaviest voter, of equally heavy ones the first.
- The confidence is the winners' part of the weight, each winner's weighed with its own confidence where the model tells
  one. A vote that was not waited for counts as one against: so that not waiting never looks surer than waiting.

Whose votes are still out is not waited for once they cannot change action or content any more. So the order in which
answers arrive changes nothing about what is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.agent import Answer

# Weights are written in decimal and summed in binary: 0.1 + 0.2 shall equal 0.3.
WEIGHT_UNIT = 1e-9


@dataclass(frozen=True, slots=True)
class Vote:
    """A valid vote. `seat` is the voter's place in the ensemble, and `confidence` its own, 1 where it tells none."""

    seat: int
    weight: float
    answer: Answer
    confidence: float = 1.0

    @property
    def rank(self) -> tuple[int, int]:
        """The heavier before the lighter, and of the same weight the seat further to the front."""
        return (-units(self.weight), self.seat)


@dataclass(frozen=True, slots=True)
class Consensus:
    """What votes came to."""

    answer: Answer
    voter: int
    confidence: float


def units(weight: float) -> int:
    """A weight as a whole number, so that sums do not depend on their order."""
    return round(weight / WEIGHT_UNIT)


def consensus(votes: Sequence[Vote], still_out: Sequence[float] = ()) -> Consensus:
    """What at least one vote comes to; `still_out` are the weights of those who are not waited for."""
    totals = _totals(votes)
    winner = min(totals, key=lambda action: (-totals[action], _heaviest(votes, action).rank))
    winners = sorted((vote for vote in votes if vote.answer.action == winner), key=lambda vote: vote.rank)
    mine = sum(units(vote.weight) * vote.confidence for vote in winners)
    everything = sum(totals.values()) + sum(map(units, still_out))
    return Consensus(winners[0].answer, winners[0].seat, min(1.0, mine / everything))


def settled(votes: Sequence[Vote], still_out: Sequence[tuple[int, float]]) -> bool:
    """Whether no votes of those still out (their seats and weights) can change the action or whose content it has."""
    if not votes:
        return False
    totals = _totals(votes)
    now = consensus(votes)
    out = sum(units(weight) for _, weight in still_out)
    rival = max((total for action, total in totals.items() if action != now.answer.action), default=0)
    heaviest = _heaviest(votes, now.answer.action).rank
    content_stands = all((-units(weight), seat) > heaviest for seat, weight in still_out)
    return content_stands and totals[now.answer.action] > rival + out


def _totals(votes: Sequence[Vote]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for vote in votes:
        totals[vote.answer.action] = totals.get(vote.answer.action, 0) + units(vote.weight)
    return totals


def _heaviest(votes: Sequence[Vote], action: str) -> Vote:
    return min((vote for vote in votes if vote.answer.action == action), key=lambda vote: vote.rank)
