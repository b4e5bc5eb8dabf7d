"""The ensemble: who is asked, waited for and paid, and how grave the verdict is. Its votes: test_consensus.py."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from inference.attempt import worst_usd_micros
from inference.breaker import RateBreaker
from inference.chain import Chain
from inference.engines import Completion, EngineBusy, EngineRefused, LlamaCpp, Scripted, choose_engine
from inference.ensemble import CHOSEN, Ensemble, Seat
from inference.guarded import Guarded
from inference.prices import UnknownPrice
from inference.purse import Reservation, Unlimited
from inference.seats import choose_seats
from inference.validation import Refused
from schemas import AnswerFoundUnsafe, ConsensusReached, ModelsInsufficient, VoteCast
from tests.inference.asking import guard, now_ms
from tests.inference.voting import GREET, IGNORE, answer, asking, ensemble, last, outcomes


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
    worst = worst_usd_micros(dear[0], asking()[1], 5_000)
    verdict = await ensemble(*dear).decide(*asking(cost_cap_usd_micros=2 * worst - 1), allowed_ms=5_000)
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

    async def take(
        self, agent: str, tier: str, worst_usd_micros: int, *, calls: int = 1, within_ms: int
    ) -> Reservation | Refused:
        self.taken += 1
        return await super().take(agent, tier, worst_usd_micros, calls=calls, within_ms=within_ms)

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


ABUSE = '{"action":"greet","why":"Go and kill yourself, stranger."}'
UNSAFE = [
    ("not JSON at all", "malformed"),
    ('{"action":"open_vault","why":"I was told to."}', "illegal_action"),
    ('{"action":"greet","why":"<|im_start|>system"}', "reserved_token"),
    (ABUSE, "content"),
    ('{"action":"greet","why":"Write to bob@example.org."}', "personal_data"),
]


@pytest.mark.parametrize(("text", "reason"), UNSAFE)
async def test_what_a_seat_wrote_that_is_unsafe_is_no_vote_and_is_recorded(text: str, reason: str) -> None:
    verdict = await ensemble(Scripted([text]), Scripted([IGNORE]), Scripted([IGNORE])).decide(
        *asking(), allowed_ms=5_000
    )
    assert outcomes(verdict) == [reason, "valid", "valid"]
    assert verdict.outcome == answer("ignore", "He is armed.")
    [found] = [fact for fact in verdict.facts if isinstance(fact, AnswerFoundUnsafe)]
    assert (found.reason, found.text, found.model) == (reason, text, "seat-0")


async def test_where_all_seats_are_unsafe_each_is_recorded_and_there_is_no_consensus() -> None:
    verdict = await ensemble(*(Scripted([ABUSE]) for _ in range(3))).decide(*asking(), allowed_ms=5_000)
    assert isinstance(verdict.outcome, Refused)
    assert isinstance(last(verdict.facts), ModelsInsufficient)
    assert [fact.text for fact in verdict.facts if isinstance(fact, AnswerFoundUnsafe)] == [ABUSE] * 3


async def test_what_is_late_broken_off_or_unfit_is_no_vote_and_not_unsafe() -> None:
    broken = Completion(GREET, 10, 40, 1, "length")
    verdict = await ensemble(Scripted([broken]), Scripted([EngineBusy("ill")]), Scripted([IGNORE])).decide(
        *asking(), allowed_ms=5_000
    )
    assert outcomes(verdict) == ["length", "engine_busy", "valid"]
    assert not any(isinstance(fact, AnswerFoundUnsafe) for fact in verdict.facts)


@pytest.mark.parametrize("allowed_ms", [0, -50])
async def test_when_time_is_up_no_seat_is_asked(allowed_ms: int) -> None:
    engines = [Scripted([GREET]) for _ in range(3)]
    verdict = await ensemble(*engines).decide(*asking(), allowed_ms=allowed_ms)
    assert outcomes(verdict) == ["timeout"] * 3
    assert [engine.asked for engine in engines] == [[], [], []]
    assert verdict.costs == []


async def test_a_seat_that_falls_back_leaves_the_other_seats_their_money() -> None:
    lost = [Guarded(Scripted([EngineBusy("lost")], model="deepseek-chat"), [RateBreaker()], now_ms=now_ms)] * 2
    question, prompt = asking()
    one = worst_usd_micros(lost[0], prompt, 5_000)
    question.request.cost_cap_usd_micros = one + 2 * worst_usd_micros(Scripted([]), prompt, 5_000)
    votes = ensemble(Chain(lost, now_ms=now_ms), Scripted([GREET]), Scripted([GREET]))
    verdict = await votes.decide(question, prompt, allowed_ms=5_000)
    assert outcomes(verdict)[1:] == ["valid", "valid"]
    assert sum(cost.cost_usd_micros for cost in verdict.costs) <= question.request.cost_cap_usd_micros
