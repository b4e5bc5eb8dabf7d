"""The ensemble: what votes come to, whatever the order in which they arrive and whoever casts none."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from inference.agent import Agent, Answer
from inference.attempt import Question
from inference.consensus import Vote, consensus, settled
from inference.engines import (
    Completion,
    Engine,
    EngineBusy,
    EngineRefused,
    LlamaCpp,
    QueueFull,
    Scripted,
    choose_engine,
)
from inference.engines.scripted import Reply
from inference.ensemble import CHOSEN, Ensemble, Seat, Verdict
from inference.prices import UnknownPrice
from inference.prompts import Prompt
from inference.purse import Reservation, Unlimited
from inference.seats import choose_seats
from inference.validation import Refused
from schemas import ConsensusReached, DecisionRequested, ModelsInsufficient, PlayerSaid, VoteCast
from tests.inference.asking import Order, asked, guard, happened, now_ms

WEIGHTS = (0.4, 0.4, 0.2)
GREET, IGNORE = '{"action":"greet","why":"He smiles."}', '{"action":"ignore","why":"He is armed."}'


def answer(action: str, why: str = "") -> Answer:
    return Answer(action, Order(action=action, why=why))


def asking(agent: Agent = guard, **changes: Any) -> tuple[Question, Prompt]:
    request = asked(happened(PlayerSaid(text="Let me in!"))).decision_requested
    request.MergeFrom(DecisionRequested(**changes))
    question = Question(agent, {"heard": "Let me in!"}, request)
    prompt = question.prompt()
    assert isinstance(prompt, Prompt)
    return question, prompt


def seated(*engines: Engine, weights: Sequence[float] = WEIGHTS) -> list[Seat]:
    return [
        Seat(name=f"seat-{number}", weight=weight, engine=engine)
        for number, (engine, weight) in enumerate(zip(engines, weights, strict=False))
    ]


def ensemble(*engines: Engine, weights: Sequence[float] = WEIGHTS, **more: Any) -> Ensemble:
    return Ensemble(seated(*engines, weights=weights), now_ms=now_ms, **more)


async def decided(*replies: Reply, weights: Sequence[float] = WEIGHTS) -> Verdict:
    engines = [Scripted([reply]) for reply in replies]
    return await ensemble(*engines, weights=weights).decide(*asking(), allowed_ms=5_000)


def outcomes(verdict: Verdict) -> list[str]:
    return [fact.outcome for fact in verdict.facts if isinstance(fact, VoteCast)]


def last(facts: Sequence[Message]) -> Message:
    return facts[-1]


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


async def test_who_cannot_change_the_result_is_not_waited_for_but_paid_for() -> None:
    slow = Scripted([IGNORE], wait=asyncio.Event())
    verdict = await ensemble(Scripted([GREET]), Scripted([GREET]), slow).decide(*asking(), allowed_ms=5_000)
    assert verdict.outcome == answer("greet", "He smiles.")
    assert outcomes(verdict) == ["valid", "valid", "not_needed"]
    assert verdict.confidence == pytest.approx(0.8)
    fact = last(verdict.facts)
    assert isinstance(fact, ConsensusReached)
    assert (fact.early_exit, fact.valid_votes) == (True, 2)
    assert slow.aborted == 1
    assert len(verdict.costs) == 3


async def test_a_vote_that_may_decide_is_waited_for_until_its_time_is_up() -> None:
    slow = Scripted([GREET], wait=asyncio.Event())
    verdict = await ensemble(slow, Scripted([IGNORE]), Scripted([GREET])).decide(*asking(), allowed_ms=60)
    assert outcomes(verdict) == ["timeout", "valid", "valid"]
    assert verdict.outcome == answer("ignore", "He is armed.")


async def test_a_model_that_keeps_failing_is_left_alone() -> None:
    ill = Scripted(lambda prompt: EngineBusy("ill"), model="gpt-4o-mini")
    votes = ensemble(ill, Scripted(lambda prompt: GREET), Scripted(lambda prompt: GREET))
    verdicts = [await votes.decide(*asking(), allowed_ms=5_000) for _ in range(6)]
    assert [outcomes(verdict)[0] for verdict in verdicts] == ["engine_busy"] * 5 + ["breaker_open"]
    assert len(ill.asked) == 5
    assert len(verdicts[-1].costs) == 2


async def test_with_too_few_left_to_ask_nobody_is_asked() -> None:
    dear = [Scripted([GREET], model="grok-beta") for _ in range(3)]
    verdict = await ensemble(*dear).decide(*asking(cost_cap_usd_micros=700), allowed_ms=5_000)
    assert outcomes(verdict) == ["not_needed", "cost_cap", "cost_cap"]
    assert all(engine.asked == [] for engine in dear)
    assert verdict.costs == []


async def test_the_answers_together_cost_no_more_than_the_request_allows() -> None:
    question, prompt = asking(cost_cap_usd_micros=600)
    engines = [Scripted(lambda prompt: GREET) for _ in range(3)]
    verdict = await ensemble(*engines, weights=(0.2, 0.4, 0.4)).decide(question, prompt, allowed_ms=5_000)
    assert outcomes(verdict) == ["cost_cap", "valid", "valid"]


async def test_the_agent_may_call_a_decision_graver_for_the_action_that_was_chosen() -> None:
    stern = replace(guard, impact=lambda context: "high" if context.get(CHOSEN) == "greet" else "low")
    engines = [Scripted([GREET]), Scripted([GREET]), Scripted([GREET])]
    verdict = await ensemble(*engines).decide(*asking(stern), allowed_ms=5_000)
    assert verdict.impact == "high"
    fact = last(verdict.facts)
    assert isinstance(fact, ConsensusReached)
    assert fact.impact == "high"


@pytest.mark.parametrize(("told", "impact"), [("medium", "medium"), ("grave!", "low")])
async def test_an_agent_that_cannot_read_its_context_leaves_the_requests_impact(told: str, impact: str) -> None:
    puzzled = replace(guard, impact=lambda context: context["nothing"])
    verdict = await ensemble(Scripted([GREET]), Scripted([GREET])).decide(
        *asking(puzzled, impact=told), allowed_ms=5_000
    )
    assert verdict.impact == impact


async def test_cancelling_cancels_every_call() -> None:
    never = asyncio.Event()
    engines = [Scripted([GREET], wait=never) for _ in range(3)]
    deciding = asyncio.create_task(ensemble(*engines).decide(*asking(), allowed_ms=5_000))
    while not all(engine.asked for engine in engines):
        await asyncio.sleep(0)
    deciding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deciding
    assert [engine.aborted for engine in engines] == [1, 1, 1]


async def test_seats_of_one_engine_wait_for_its_slots_and_draw_apart() -> None:
    one = Scripted(lambda prompt: GREET, slots=1)
    seats = [Seat(name=f"draw {n}", weight=1, engine=one, draw=n, temperature=0.9 if n else None) for n in range(3)]
    verdict = await Ensemble(seats, now_ms=now_ms).decide(*asking(), allowed_ms=5_000)
    assert verdict.outcome == answer("greet", "He smiles.")
    [first, second, *_] = one.asked
    assert (first.temperature, second.temperature) == (None, 0.9)
    assert second.seed == (first.seed + 1) & 0xFFFF_FFFF


class Counting(Unlimited):
    """A purse that counts what is taken and what is settled."""

    def __init__(self) -> None:
        self.taken = 0
        self.calls: list[int] = []

    async def take(self, agent: str, tier: str, worst_usd_micros: int, *, within_ms: int) -> Reservation | Refused:
        self.taken += 1
        return await super().take(agent, tier, worst_usd_micros, within_ms=within_ms)

    def settle(self, reservation: Reservation, spent_usd_micros: int, calls: int) -> None:
        self.calls.append(calls)


async def test_what_is_reserved_is_settled_for_the_calls_that_are_not_needed_too() -> None:
    purse = Counting()
    slow = Scripted([IGNORE], wait=asyncio.Event())
    await ensemble(Scripted([GREET]), Scripted([GREET]), slow, purse=purse).decide(*asking(), allowed_ms=5_000)
    assert (purse.taken, sorted(purse.calls)) == (3, [1, 1, 1])


class Absent(Scripted):
    """An engine that cannot be started."""

    async def start(self) -> None:
        raise EngineRefused("no key")


async def test_an_ensemble_starts_with_as_many_as_it_needs() -> None:
    await ensemble(Absent([]), Scripted([]), Scripted([])).start()
    with pytest.raises(EngineRefused, match="no key"):
        await ensemble(Absent([]), Absent([]), Scripted([])).start()


@pytest.mark.parametrize("weights", [(0.0, 1.0), (-1.0, 1.0)])
def test_a_seat_without_weight_is_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(EngineRefused, match="weight above 0"):
        ensemble(Scripted([]), Scripted([]), weights=weights)


def test_seats_without_a_name_of_their_own_or_without_a_price_are_refused() -> None:
    with pytest.raises(EngineRefused, match="same name"):
        Ensemble([Seat(name="a", weight=1, engine=Scripted([]))] * 2, now_ms=now_ms)
    with pytest.raises(UnknownPrice):
        ensemble(Scripted([], model="mystery"))
    with pytest.raises(EngineRefused):
        Ensemble([], now_ms=now_ms)


async def test_a_real_model_votes_with_itself() -> None:
    engine = choose_engine()
    assert isinstance(engine, LlamaCpp)
    question, prompt = asking()
    question.request.cost_cap_usd_micros = 1_000_000
    votes = Ensemble(choose_seats(local=engine), now_ms=now_ms)
    await votes.start()
    try:
        verdict = await votes.decide(question, replace(prompt, max_tokens=60), allowed_ms=5_000)
    finally:
        await votes.close()
    assert all(outcome in ("valid", "not_needed", "timeout", "length", "malformed") for outcome in outcomes(verdict))
    names = [fact.model for fact in verdict.facts if isinstance(fact, VoteCast)]
    assert names == [f"{engine.model} #{draw}" for draw in (1, 2, 3)]
    assert len(verdict.costs) >= 2


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
