"""Consensus: what votes come to, whatever the order in which they arrive and whoever casts none."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agent import Answer
from inference.consensus import Vote, consensus, settled
from inference.engines import Completion, EngineBusy, EngineRefused, QueueFull, Scripted
from inference.engines.scripted import Reply
from inference.prompts import Prompt
from inference.validation import Refused
from schemas import ConsensusReached, ModelsInsufficient, VoteCast
from tests.inference.voting import GREET, IGNORE, WEIGHTS, answer, asking, decided, ensemble, last, outcomes


async def test_the_heavier_action_wins_with_its_share_and_every_vote_is_told() -> None:
    verdict = await decided(GREET, IGNORE, GREET)
    assert verdict.outcome == answer("greet", "He smiles.")
    assert verdict.confidence == pytest.approx(0.6)
    question, _ = asking()
    decision = {"decision_id": question.request.decision_id, "agent": "guard"}
    assert outcomes(verdict) == ["valid"] * 3
    [first, *_] = verdict.facts
    assert first == VoteCast(**decision, model="seat-0", action="greet", weight=0.4, tokens=9, outcome="valid")
    assert last(verdict.facts) == ConsensusReached(
        **decision, action="greet", confidence=verdict.confidence, impact="low", valid_votes=3
    )
    assert len(verdict.costs) == 3
    assert (verdict.engine, verdict.model, verdict.text) == ("scripted", "scripted", GREET)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("The answer is yes.", "malformed"),
        ('{"action":"burn","why":"I was told to."}', "illegal_action"),
        (Completion(GREET, 9, 9, 9, "length"), "length"),
        (EngineBusy("it broke"), "engine_busy"),
        (EngineRefused("no key"), "engine_refused"),
        (QueueFull("full"), "queue_full"),
        (ZeroDivisionError("a bug"), "engine_failed"),
    ],
)
async def test_who_gives_no_valid_answer_casts_no_vote_and_the_others_weights_are_rescaled(
    bad: Reply, reason: str
) -> None:
    verdict = await decided(GREET, bad, IGNORE)
    assert outcomes(verdict) == ["valid", reason, "valid"]
    assert verdict.outcome == answer("greet", "He smiles.")
    assert verdict.confidence == pytest.approx(0.4 / 0.6)


async def test_fewer_than_two_valid_answers_are_too_few() -> None:
    verdict = await decided(GREET, "no", EngineBusy("no"))
    assert isinstance(verdict.outcome, Refused)
    assert verdict.outcome.reason == "models_insufficient"
    fact = last(verdict.facts)
    assert isinstance(fact, ModelsInsufficient)
    assert (fact.valid_votes, fact.needed) == (1, 2)
    assert fact.detail.startswith("at least 2 models are needed for consensus: seat-0: valid; seat-1: malformed")
    assert len(verdict.costs) == 3


async def test_one_seat_alone_is_single_model_mode() -> None:
    verdict = await decided(IGNORE, weights=(1.0,))
    assert verdict.outcome == answer("ignore", "He is armed.")
    assert verdict.confidence == 1


@pytest.mark.parametrize(
    ("votes", "weights", "winner"),
    [
        ((IGNORE, GREET, GREET), (0.4, 0.2, 0.2), "ignore"),
        ((GREET, IGNORE), (0.5, 0.5), "greet"),
        ((IGNORE, GREET), (0.5, 0.5), "ignore"),
        ((GREET, IGNORE, IGNORE), (0.3, 0.1, 0.2), "greet"),
    ],
)
async def test_of_equals_the_heaviest_voter_wins_and_then_the_seat_in_front(
    votes: tuple[str, ...], weights: tuple[float, ...], winner: str
) -> None:
    verdict = await decided(*votes, weights=weights)
    assert isinstance(verdict.outcome, Answer)
    assert verdict.outcome.action == winner


async def test_a_model_that_tells_how_sure_it_is_is_believed() -> None:
    unsure = Completion(GREET, 10, 10, 10, "stop", confidence=0.5)
    verdict = await decided(unsure, IGNORE, GREET)
    assert verdict.outcome == answer("greet", "He smiles.")
    assert verdict.confidence == pytest.approx(0.4)
    assert [fact.confidence for fact in verdict.facts if isinstance(fact, VoteCast)] == [0.5, 0.0, 0.0]


# Weights as people write them, so that ties are frequent.
BALLOTS = st.lists(
    st.tuples(
        st.sampled_from([0.1, 0.2, 0.3, 0.4, 1.0]),
        st.sampled_from(["a", "b", "c", ""]),
        st.sampled_from([0.3, 0.7, 1.0]),
    ),
    min_size=1,
    max_size=6,
)


def cast(ballots: Sequence[tuple[float, str, float]]) -> list[Vote]:
    return [
        Vote(seat, weight, answer(action, f"seat {seat}"), confidence)
        for seat, (weight, action, confidence) in enumerate(ballots)
        if action
    ]


def counted(votes: Sequence[Vote]) -> Answer:
    """The rule once more, in whole tenths."""
    totals: Counter[str] = Counter()
    for vote in votes:
        totals[vote.answer.action] += round(vote.weight * 10)
    leading = [vote for vote in votes if totals[vote.answer.action] == max(totals.values())]
    return min(leading, key=lambda vote: (-vote.weight, vote.seat)).answer


@given(BALLOTS, st.randoms())
def test_any_order_of_arrival_gives_the_same_verdict(ballots: list[tuple[float, str, float]], random: Any) -> None:
    votes = cast(ballots)
    if votes:
        found = consensus(votes)
        random.shuffle(votes)
        assert consensus(votes) == found
        assert found.answer == counted(votes)


@given(BALLOTS, st.sampled_from([0.5, 2.0, 10.0]))
def test_weights_are_rescaled(ballots: list[tuple[float, str, float]], factor: float) -> None:
    votes = cast(ballots)
    if votes:
        found, scaled = consensus(votes), consensus([replace(vote, weight=vote.weight * factor) for vote in votes])
        assert (scaled.answer, scaled.voter) == (found.answer, found.voter)
        assert scaled.confidence == pytest.approx(found.confidence)
        certain = consensus([replace(vote, confidence=1.0) for vote in votes])
        shares = [vote.weight for vote in votes if vote.answer.action == found.answer.action]
        assert certain.confidence == pytest.approx(sum(shares) / sum(vote.weight for vote in votes))
        assert 0 < found.confidence <= certain.confidence <= 1


@given(BALLOTS, st.data())
def test_early_exit_never_changes_the_result_nor_looks_surer(
    ballots: list[tuple[float, str, float]], data: st.DataObject
) -> None:
    arrived = data.draw(st.sets(st.integers(0, len(ballots) - 1)))
    votes = cast(ballots)
    now = [vote for vote in votes if vote.seat in arrived]
    out = [(seat, weight) for seat, (weight, _, _) in enumerate(ballots) if seat not in arrived]
    if settled(now, out):
        early, late = consensus(now, [weight for _, weight in out]), consensus(votes)
        assert (early.answer, early.voter) == (late.answer, late.voter)
        assert early.confidence <= late.confidence + 1e-9


@given(BALLOTS)
def test_when_all_have_voted_it_is_settled(ballots: list[tuple[float, str, float]]) -> None:
    votes = cast(ballots)
    leaders = {vote.answer.action for vote in votes}
    if len(leaders) == 1:
        assert settled(votes, [])


class Turns:
    """Lets engines answer one after the other, in an order of choice."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = list(order)
        self._gates = [asyncio.Event() for _ in order]

    def engine(self, seat: int, reply: Reply) -> Scripted:
        def said(prompt: Prompt) -> Reply:
            place = self._order.index(seat)
            if place + 1 < len(self._order):
                self._gates[self._order[place + 1]].set()
            return reply

        return Scripted(said, wait=self._gates[seat])

    def begin(self) -> None:
        self._gates[self._order[0]].set()


REPLIES = st.sampled_from([GREET, IGNORE, "no", EngineBusy("no")])


@given(st.lists(REPLIES, min_size=3, max_size=3), st.permutations(WEIGHTS))
def test_the_order_of_arrival_changes_nothing_about_the_decision(replies: list[Reply], weights: list[float]) -> None:
    async def decided_in(order: Sequence[int]) -> Any:
        turns = Turns(order)
        votes = ensemble(*(turns.engine(seat, reply) for seat, reply in enumerate(replies)), weights=weights)
        turns.begin()
        verdict = await votes.decide(*asking(), allowed_ms=60_000)
        assert len(outcomes(verdict)) == 3
        return verdict.outcome if isinstance(verdict.outcome, Answer) else verdict.outcome.reason

    async def all_orders() -> list[Any]:
        return [await decided_in(order) for order in permutations(range(3))]

    found = asyncio.run(all_orders())
    assert all(outcome == found[0] for outcome in found)
