"""The worker's four routes: by rules, from the cache, in one call with others, alone or by vote; and what is unsafe."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message

from inference.agent import Agent, Answer, Context
from inference.attempt import Question
from inference.batching import Batches
from inference.complexity import FULL_MIN
from inference.engines import Completion, Scripted
from inference.ensemble import Ensemble, Seat
from inference.validation import Refused
from schemas import AnswerFoundUnsafe, CostSampled, DecisionProposed, DecisionRequested, Event
from tests.inference.asking import NOW_MS, Order, answer_all, guard, happened, names, now_ms, worker

OPEN = '{"action":"open","why":"They are friends."}'
SHUT = '{"action":"shut","why":"It is late."}'


def _shows(context: Context) -> Mapping[str, Any]:
    return {"crowd": context["crowd"], "hour": context["hour"]}


#: Decides by the crowd and the hour alone, and by rule when nobody is there.
keeper = replace(
    guard,
    name="keeper",
    legal_actions=lambda context: ("open", "shut"),
    prompt=lambda context: guard.prompt({"heard": f"{context['crowd']} at {context['hour']}"}),
    check=lambda context, answer: "the gate stays shut" if context.get("shut") and answer.action == "open" else "",
    rules=lambda context: Answer("shut", Order(action="shut", why="Nobody is there.")),
    default=lambda context: Answer("shut", Order(action="shut", why="By default.")),
    signature=_shows,
    blurs=("hour",),
    complexity=lambda context: context["hard"],
    impact=lambda context: "high",
)
AGENTS: Mapping[str, Agent] = {
    "keeper": keeper,
    "council": replace(keeper, name="council", ensemble=True, impact=lambda context: "medium"),
}


def asked(number: int, *, agent: str = "keeper", within_ms: int = 5_000, **context: object) -> Event:
    made = DecisionRequested(
        decision_id=f"{agent}-{number}",
        agent=agent,
        tier="gold",
        context=orjson.dumps({"crowd": "few", "hour": 1, "hard": 0.5, **context}).decode(),
        legal_actions=["open", "shut"],
        deadline_ms=NOW_MS + within_ms,
        cost_cap_usd_micros=10_000,
        impact="high",
    )
    return happened(made, number=number + 1)


def proposal(facts: list[Message]) -> DecisionProposed:
    [found] = [fact for fact in facts if isinstance(fact, DecisionProposed)]
    return found


async def test_an_easy_request_is_answered_by_rule_without_a_model() -> None:
    engine = Scripted([])
    facts = await worker(engine, agents=AGENTS).answer(asked(1, hard=0.2))
    found = proposal(facts)
    assert (found.route, found.engine, found.action, found.fallback_reason) == ("rule", "rule", "shut", "")
    assert (found.complexity, found.batch_size, names(facts)) == (0.2, 0, ["decision_proposed"])
    assert engine.asked == []


async def test_the_same_state_is_answered_from_the_cache_and_says_whose_answer_it_is() -> None:
    inference = worker(Scripted([OPEN]), agents=AGENTS)
    first = proposal(await inference.answer(asked(1, hard=0.9)))
    again = proposal(await inference.answer(asked(2, hard=0.9)))
    assert (first.route, first.action, first.batch_size) == ("full", "open", 1)
    assert (again.route, again.action, again.engine, again.batch_size) == ("cache", "open", "cache", 0)
    why = orjson.loads(again.why)
    assert (why["kind"], why["decision_id"]) == ("exact", "keeper-1")
    assert inference.counters.saved_calls == 1


async def test_a_cached_answer_that_does_not_fit_is_not_used() -> None:
    inference = worker(Scripted([OPEN, SHUT]), agents=AGENTS)
    await inference.answer(asked(1, hard=0.9))
    again = proposal(await inference.answer(asked(2, hard=0.9, shut=True)))
    assert (again.route, again.action) == ("full", "shut")


async def test_requests_that_are_alike_share_one_call_which_one_of_them_pays() -> None:
    engine = Scripted([OPEN])
    inference = worker(engine, agents=AGENTS, batches=Batches(now_ms=now_ms, size=4))
    done = await answer_all(inference, [asked(number, hour=number, shut=number == 3) for number in range(4)])
    found = [proposal(facts) for facts in done]
    assert [(one.route, one.action, one.batch_size) for one in found] == [
        *[("batch", "open", 4)] * 3,
        ("rule", "shut", 0),
    ]
    assert found[3].fallback_reason == "unfit: the gate stays shut"
    assert len(engine.asked) == 1
    assert {one.prompt_hash for one in found} == {engine.asked[0].digest()}
    [cost] = [fact for facts in done for fact in facts if isinstance(fact, CostSampled)]
    assert cost.calls == 1
    assert [orjson.loads(one.why)["together"] for one in found] == [4] * 4
    assert inference.counters.saved_calls == 2
    assert inference.counters.batch_sizes == {4: 1}


async def test_who_waited_for_others_in_vain_is_answered_in_full_and_the_log_says_so() -> None:
    inference = worker(Scripted([OPEN, OPEN]), agents=AGENTS, batches=Batches(now_ms=now_ms, wait_ms=0))
    facts = await inference.answer(asked(1))
    found = proposal(facts)
    assert (found.route, found.action, found.batch_size) == ("full", "open", 1)
    assert orjson.loads(found.why) == {"complexity": 0.5, "full_min": FULL_MIN, "together": 1}
    assert names(facts) == ["decision_proposed", "cost_sampled"]
    hard = proposal(await inference.answer(asked(2, hard=0.9, crowd="many")))
    assert orjson.loads(hard.why) == {"complexity": 0.9, "full_min": FULL_MIN}
    assert inference.counters.routes == {"full": 2}
    assert (inference.counters.saved_calls, inference.counters.batch_sizes) == (0, {1: 1})
    assert proposal(await inference.answer(asked(3))).route == "cache"


async def test_a_batch_that_fails_leaves_none_of_its_members_unanswered() -> None:
    inference = worker(Scripted(["garbage"]), agents=AGENTS, batches=Batches(now_ms=now_ms, size=3))
    done = await answer_all(inference, [asked(number, hour=number) for number in range(3)])
    assert [proposal(facts).fallback_reason.partition(":")[0] for facts in done] == ["malformed"] * 3
    assert (inference.counters.saved_calls, inference.counters.batch_sizes) == (0, {3: 1})


async def test_an_agents_ensemble_votes_and_every_vote_is_told_before_the_proposal() -> None:
    seats = [
        Seat(name=f"model-{n}", weight=1.0, engine=Scripted([reply])) for n, reply in enumerate([OPEN, OPEN, SHUT])
    ]
    inference = worker(Scripted([]), agents=AGENTS, ensemble=Ensemble(seats, now_ms=now_ms))
    facts = await inference.answer(asked(1, agent="council", hard=1))
    found = proposal(facts)
    assert (found.route, found.action, found.impact) == ("full", "open", "high")
    assert 0.5 < found.confidence <= 1
    told = names(facts)
    assert told.index("decision_proposed") > max(told.index("vote_cast"), told.index("consensus_reached"))
    assert told.count("vote_cast") == 3
    assert set(told[told.index("decision_proposed") + 1 :]) == {"cost_sampled"}


async def test_an_engine_that_says_how_sure_it_is_is_quoted_and_another_is_not_taken_to_be_sure() -> None:
    sure = Completion(OPEN, 10, 1, 5, "stop", engine="vllm", model="Qwen2.5-3B-Instruct-AWQ", confidence=0.75)
    inference = worker(Scripted([sure, SHUT]), agents=AGENTS)
    facts = await inference.answer(asked(1, hard=0.9))
    found, cost = proposal(facts), facts[-1]
    assert isinstance(cost, CostSampled)
    assert (found.confidence, found.engine, found.model, cost.model) == (0.75, "vllm", sure.model, sure.model)
    assert proposal(await inference.answer(asked(2, hard=0.9, crowd="many"))).confidence == 0


@pytest.mark.parametrize(("impact", "asks"), [("high", True), ("critical", True), ("medium", False), ("", False)])
async def test_what_is_at_stake_tells_whether_a_person_must_agree(impact: str, asks: bool) -> None:
    event = asked(1, hard=0.9)
    event.decision_requested.impact = impact
    found = proposal(await worker(Scripted([OPEN]), agents=AGENTS).answer(event))
    assert (found.impact, found.requires_approval) == (impact or "low", asks)


async def test_an_unsafe_answer_gives_way_to_the_rules_and_is_kept_for_the_reviewers() -> None:
    def unsafe(question: Question, answer: Answer, /, *, written: bool = False) -> Refused | None:
        return Refused("content", "it is rude") if answer.action == "open" else None

    inference = worker(Scripted([OPEN, OPEN]), agents=AGENTS, unsafe=unsafe)
    facts = await inference.answer(asked(1, hard=0.9))
    found, kept = proposal(facts), facts[0]
    assert kept == AnswerFoundUnsafe(
        decision_id="keeper-1", agent="keeper", reason="content", detail="it is rude", text=OPEN, model="scripted"
    )
    assert (found.route, found.action, found.safety) == ("rule", "shut", "content: it is rude")
    assert (found.fallback_reason, found.model) == ("content: it is rude", "")
    again = proposal(await inference.answer(asked(2, hard=0.9)))
    assert again.route == "rule"
    assert inference.counters.unsafe == {"content": 2}


async def test_when_even_the_rules_are_unsafe_the_default_stands_in() -> None:
    def unsafe(question: Question, answer: Answer, /, *, written: bool = False) -> Refused | None:
        return Refused("content", "it is rude")

    inference = worker(Scripted([OPEN]), agents=AGENTS, unsafe=unsafe)
    facts = await inference.answer(asked(1, hard=0.9))
    assert orjson.loads(proposal(facts).content)["why"] == "By default."
    assert names(facts) == ["answer_found_unsafe", "answer_found_unsafe", "decision_proposed", "cost_sampled"]
    by_rule = await inference.answer(asked(2, hard=0.1))
    assert orjson.loads(proposal(by_rule).content)["why"] == "By default."
    assert names(by_rule) == ["answer_found_unsafe", "decision_proposed"]


async def test_whoever_is_dropped_while_waiting_in_a_batch_takes_the_call_along() -> None:
    engine = Scripted([OPEN], wait=asyncio.Event())
    inference = worker(engine, agents=AGENTS, batches=Batches(now_ms=now_ms, size=2))
    tasks = [asyncio.create_task(inference.answer(asked(number))) for number in range(2)]
    while not engine.asked:
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    while not engine.aborted:
        await asyncio.sleep(0)
    assert engine.aborted == 1
