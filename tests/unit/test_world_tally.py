"""The tally of a day: shares, calls saved, what was left undone, and whether reused answers are what full ones are."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from inference.agents import AGENTS
from inference.engines import Scripted
from schemas import TIERS
from streams.world.agreement import Reused, agreement
from streams.world.day import Day
from streams.world.tally import GRACE_MS, TICK_GAP_MAX_MS, Cost, Decision, Due, standstills, tally
from tests.inference.asking import NOW_MS, now_ms

ONE = Decision("d1", "weather", "silver", 1_000, 11_000, "rule", "", 1, 1_200, "rule")


def test_shares_calls_and_costs_add_up() -> None:
    decisions = [
        ONE,
        replace(ONE, decision_id="d2", route="cache", proposed="cache", effective_ms=1_400),
        replace(ONE, decision_id="d3", route="batch", proposed="batch", together=2),
        replace(ONE, decision_id="d4", agent="karma", route="full", proposed="full", calls=1),
        replace(ONE, decision_id="d5", agent="karma", fallback_reason="timeout: no answer", calls=1),
    ]
    found = tally(decisions, [Cost("karma", 30, 2), Cost("weather", 12, 0)], NOW_MS)
    assert found.by_agent == {"karma": 2, "weather": 3}
    assert found.agents_run == 2
    assert found.tier_shares == {"rule": 0.4, "cache": 0.2, "batch": 0.2, "full": 0.2}
    assert found.tier_shares_by_agent["karma"] == {"rule": 0.5, "cache": 0.0, "batch": 0.0, "full": 0.5}
    assert (found.llm_calls, found.llm_calls_saved) == (2, 0.6)
    assert found.cost_by_agent == {"karma": 30, "weather": 12}
    assert (found.fallbacks, found.fallbacks_by_reason) == (1, {"timeout": 1})
    assert (found.unanswered, found.duplicate_effective) == (0, 0)
    assert (found.answer_p50_ms, found.answer_p99_ms) == (200, 400)


@pytest.mark.parametrize(
    ("one", "saved"),
    [
        (ONE, 1.0),
        (replace(ONE, proposed="cache"), 1.0),
        (replace(ONE, proposed="batch", together=4), 1.0),
        (replace(ONE, proposed="batch", together=4, calls=1), 0.0),
        (replace(ONE, proposed="full", together=1, calls=1), 0.0),
        (replace(ONE, fallback_reason="timeout: no answer", calls=1), 0.0),
        (replace(ONE, fallback_reason="timeout: no free slot"), 0.0),
        (replace(ONE, fallback_reason="no model package installed"), 0.0),
        (replace(ONE, fallback_reason="malformed", together=4), 0.0),
        (replace(ONE, proposed=""), 0.0),
        (replace(ONE, route="rule", proposed="full"), 0.0),
    ],
    ids=[
        "by rule",
        "from the cache",
        "shared",
        "shared, and paid by this one",
        "alone",
        "a fallback after a call",
        "a fallback before a call",
        "a fallback for want of a model",
        "a fallback from a shared call",
        "proposed by nobody",
        "decided by default, and its call's cost not told",
    ],
)
def test_only_what_the_rules_the_cache_or_a_batch_answered_as_wanted_has_saved_a_call(
    one: Decision, saved: float
) -> None:
    assert tally([one], [Cost("weather", 1, one.calls)] if one.calls else [], NOW_MS).llm_calls_saved == saved


def test_a_call_that_several_shared_is_counted_once_with_how_many_they_were() -> None:
    four = [replace(ONE, proposed="batch", together=4, calls=int(number == 0)) for number in range(4)]
    # Whoever paid need not have used the answer.
    two = [replace(ONE, fallback_reason="unfit: no", together=2, calls=1), replace(ONE, proposed="batch", together=2)]
    alone = replace(ONE, proposed="full", together=1, calls=1)
    unasked = replace(ONE, fallback_reason="timeout: no free slot", together=5)
    found = tally([*four, *two, alone, unasked, ONE], [Cost("weather", 3, 3)], NOW_MS)
    assert sorted(found.batch_sizes) == [1, 2, 4]
    assert found.batch_size_mean == 7 / 3
    assert found.batches_of_enough == 1
    assert tally([ONE], [], NOW_MS).batch_size_mean is None


def test_fallbacks_are_counted_by_what_went_wrong_without_the_details() -> None:
    reasons = ["timeout: no answer", "timeout: no free slot", "no model package installed; the agent has no rule", ""]
    found = tally([replace(ONE, fallback_reason=reason) for reason in reasons], [], NOW_MS)
    assert found.fallbacks_by_reason == {"timeout": 2, "no model package installed": 1}
    assert found.fallbacks == 3


def test_a_decision_is_unanswered_when_nothing_took_effect_soon_after_its_deadline() -> None:
    late = replace(ONE, effective_ms=ONE.deadline_ms + GRACE_MS + 1)
    never = replace(ONE, route="", effects=0, effective_ms=0)
    just = replace(ONE, effective_ms=ONE.deadline_ms + GRACE_MS)
    assert tally([ONE, just], [], NOW_MS).unanswered == 0
    found = tally([late, never], [], NOW_MS)
    assert found.unanswered == 2
    assert found.by_agent == {"weather": 1}
    assert found.tier_shares["none"] == 0.5


PUT = replace(ONE, agent="storyline", effects=0, effective_ms=0, put_ms=1_300, until_ms=86_401_300)


def test_what_waits_for_a_person_in_time_is_answered_and_what_nobody_ended_by_then_is_not() -> None:
    within = tally([ONE, PUT], [], PUT.until_ms + GRACE_MS)
    assert (within.unanswered, within.waiting_by_agent) == (0, {"storyline": 1})
    assert (within.by_agent, within.answer_p99_ms) == ({"weather": 1}, 300)
    after = tally([ONE, PUT], [], PUT.until_ms + GRACE_MS + 1)
    assert (after.unanswered, after.waiting_by_agent) == (1, {})
    late = replace(PUT, put_ms=PUT.deadline_ms + GRACE_MS + 1)
    assert tally([late], [], PUT.until_ms).unanswered == 1


@pytest.mark.parametrize(
    "ended", [{"declined_ms": 5_000_000}, {"effective_ms": 5_000_000, "effects": 1}, {"declined_ms": 86_401_300}]
)
def test_what_a_person_agreed_to_or_declined_is_answered_for_good(ended: dict[str, int]) -> None:
    found = tally([replace(PUT, **ended)], [], NOW_MS)
    assert (found.unanswered, found.waiting_by_agent) == (0, {})


def test_two_effects_of_one_decision_are_seen() -> None:
    assert tally([replace(ONE, effects=2)], [], NOW_MS).duplicate_effective == 1


def test_a_day_on_which_nothing_happened_is_no_error() -> None:
    found = tally([], [], NOW_MS)
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
    engine = Scripted(lambda prompt: '{"action":"flee"}')
    told: list[int] = []
    sample = [reused("flee", "wary"), reused("watch", "wary"), reused("flee", "calm")]
    found = await agreement(sample, AGENTS, dict.fromkeys(TIERS, engine), now_ms=now_ms, told=told.append)
    assert (found.sampled, found.agreed) == (3, 1)
    assert found.share == 1 / 3
    assert len(found.different) == 2
    assert told == [1, 2, 3]


async def test_a_model_that_draws_is_asked_with_the_draw_of_the_answer_that_was_used() -> None:
    engine = Scripted(lambda prompt: '{"action":"flee"}')
    sample = [reused("flee", "wary", decision_id="d2", source="d1"), reused("flee", "wary", decision_id="d1")]
    await agreement(sample, AGENTS, dict.fromkeys(TIERS, engine), now_ms=now_ms, told=lambda done: None)
    first, second = engine.asked
    assert first.seed == second.seed


async def test_prose_in_other_words_is_not_a_disagreement() -> None:
    line = "Bjorn fell to a jackal on the 3rd level of the Dungeons of Doom, far from home."
    other = orjson.dumps({"line": line}).decode()
    context = '{"depth":3,"hero":"Bjorn","killer":"a jackal","zone":"Dungeons of Doom 3"}'
    one = Reused("d1", "chronicler", context, ["chronicle"], "cache", "chronicle", '{"line":"Bjorn is no more."}')
    engines = {"silver": Scripted(lambda prompt: other), "gold": None, "bronze": None}
    found = await agreement([one], AGENTS, engines, now_ms=now_ms, told=lambda done: None)
    assert (found.sampled, found.agreed) == (1, 1)


async def test_a_sample_of_nothing_has_no_share() -> None:
    found = await agreement([], AGENTS, {}, now_ms=now_ms, told=lambda done: None)
    assert found.share is None


async def test_a_day_is_not_over_while_a_request_that_was_only_just_read_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.world.day.LOOK_EVERY_S", 0.0)
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
