"""The tally of a day: shares, calls saved, what was left undone, and whether reused answers are what full ones are."""

from __future__ import annotations

from dataclasses import replace

import orjson

from inference import AGENTS
from inference.engines import Scripted
from streams.world.agreement import Reused, agreement
from streams.world.day import Day
from streams.world.tally import GRACE_MS, TICK_GAP_MAX_MS, Cost, Decision, Due, standstills, tally
from tests.inference.asking import now_ms

ONE = Decision("d1", "weather", "silver", 1_000, 11_000, "rule", "", 1, 1_200)


def test_shares_calls_and_costs_add_up() -> None:
    decisions = [
        ONE,
        replace(ONE, decision_id="d2", route="cache", effective_ms=1_400),
        replace(ONE, decision_id="d3", route="batch"),
        replace(ONE, decision_id="d4", agent="karma", route="full", fallback_reason=""),
        replace(ONE, decision_id="d5", agent="karma", fallback_reason="timeout: no answer"),
    ]
    found = tally(decisions, [Cost("karma", 30, 1), Cost("weather", 12, 0)])
    assert found.by_agent == {"karma": 2, "weather": 3}
    assert found.agents_run == 2
    assert found.tier_shares == {"rule": 0.4, "cache": 0.2, "batch": 0.2, "full": 0.2}
    assert found.tier_shares_by_agent["karma"] == {"rule": 0.5, "cache": 0.0, "batch": 0.0, "full": 0.5}
    assert (found.llm_calls, found.llm_calls_saved) == (1, 0.8)
    assert found.cost_by_agent == {"karma": 30, "weather": 12}
    assert found.fallbacks == {"timeout": 1}
    assert (found.unanswered, found.duplicate_effective) == (0, 0)
    assert (found.answer_p50_ms, found.answer_p99_ms) == (200, 400)


def test_a_decision_is_unanswered_when_nothing_took_effect_soon_after_its_deadline() -> None:
    late = replace(ONE, effective_ms=ONE.deadline_ms + GRACE_MS + 1)
    never = replace(ONE, route="", effects=0, effective_ms=0)
    just = replace(ONE, effective_ms=ONE.deadline_ms + GRACE_MS)
    assert tally([ONE, just], []).unanswered == 0
    found = tally([late, never], [])
    assert found.unanswered == 2
    assert found.by_agent == {"weather": 1}
    assert found.tier_shares["none"] == 0.5


def test_two_effects_of_one_decision_are_seen() -> None:
    assert tally([replace(ONE, effects=2)], []).duplicate_effective == 1


def test_a_day_on_which_nothing_happened_is_no_error() -> None:
    found = tally([], [])
    assert (found.agents_run, found.llm_calls_saved, found.answer_p50_ms) == (0, 0.0, None)
    assert set(found.tier_shares.values()) == {0.0}


def test_the_world_stands_still_when_the_clock_does_or_a_schedule_is_missed_or_leads_to_nothing() -> None:
    dues = [Due("hour", 1), Due("problem", 2)]
    assert standstills([0, 1_000, 2_000], dues, dues, {"hour", "problem"}) == []
    assert standstills([0, TICK_GAP_MAX_MS + 1], [], [], set()) == ["the clock stood still for 15 s"]
    assert standstills([], dues, dues[:1], {"hour"}) == ["problem was not told of at 2"]
    assert standstills([], dues, dues, {"hour"}) == ["nothing came of problem"]


def reused(action: str, manner: str, **changes: object) -> Reused:
    one = Reused(
        "d1", "decision", '{"zone":"Gnomish Mines 3","depth":5}', ["ignore", "watch", "greet", "flee", "ambush"],
        "cache", action, orjson.dumps({"action": action, "manner": manner}).decode(),
    )  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]


async def test_reused_answers_agree_when_the_model_alone_would_have_chosen_the_same() -> None:
    engine = Scripted(lambda prompt: '{"action":"flee","manner":"wary"}')
    told: list[int] = []
    sample = [reused("flee", "wary"), reused("watch", "wary"), reused("flee", "calm")]
    found = await agreement(sample, AGENTS, engine, now_ms=now_ms, told=told.append)
    assert (found.sampled, found.agreed) == (3, 1)
    assert found.share == 1 / 3
    assert len(found.different) == 2
    assert told == [1, 2, 3]


async def test_prose_in_other_words_is_not_a_disagreement() -> None:
    line = "Bjorn fell to a jackal on the 3rd level of the Dungeons of Doom, far from home."
    other = orjson.dumps({"line": line}).decode()
    context = '{"depth":3,"hero":"Bjorn","killer":"a jackal","zone":"Dungeons of Doom 3"}'
    one = Reused("d1", "chronicler", context, ["chronicle"], "cache", "chronicle", '{"line":"Bjorn is no more."}')
    found = await agreement([one], AGENTS, Scripted(lambda prompt: other), now_ms=now_ms, told=lambda done: None)
    assert (found.sampled, found.agreed) == (1, 1)


async def test_a_sample_of_nothing_has_no_share() -> None:
    found = await agreement([], AGENTS, Scripted([]), now_ms=now_ms, told=lambda done: None)
    assert found.share is None


async def test_a_day_is_not_over_while_a_request_that_was_only_just_read_is_open() -> None:
    happened: list[str] = []
    opened = iter([0, 1, 0, 0])

    class Counts:
        async def settled(self, timeout_s: float) -> bool:
            happened.append("settled")
            return True

    async def open_decisions() -> int:
        happened.append("looked")
        return next(opened)

    day = object.__new__(Day)
    day._counting = Counts()  # type: ignore[assignment]
    day._open_decisions = open_decisions  # type: ignore[method-assign]
    assert await day._closed()
    assert happened == ["looked", "settled", "looked"] * 2
