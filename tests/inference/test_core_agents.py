"""What the core agents decide by rule, when they are asked, and which answers they refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given

from inference.agent import Answer, Context
from inference.agents import AGENTS
from inference.engines import choose_engine
from inference.prices import cost_usd_micros
from inference.prompts import Prompt, canonical
from inference.validation import Refused, validate
from schemas import DecisionEffective, DepthReached, GoldSpent, PlaceEntered, PlayerDied, PlayerLevelled
from tests.inference.asking import happened
from tests.inference.days import of_context
from tests.strategies import ANY_TEXTS

HERO = "hero-finn-wizard-6-bb1845"
CALM: Mapping[str, Any] = {"day": 4, "hour": 6, "players": 8, "deaths": 0, "deepest": 2, "gold": 80}


def contexts(name: str, fact: Message) -> tuple[Context, ...]:
    return AGENTS[name].contexts(happened(fact, subject=HERO))


def at(name: str, schedule: str = "hour", **told: object) -> tuple[Context, ...]:
    return AGENTS[name].contexts(of_context(schedule, canonical({**CALM, **told})))


def ruled(name: str, context: Context) -> dict[str, Any]:
    answer = AGENTS[name].rules(context)
    assert answer is not None
    return answer.content.model_dump()


def judged(name: str, context: Context, **content: object) -> Answer | Refused:
    agent = AGENTS[name]
    return validate(json.dumps(content), agent, context, agent.legal_actions(context))


def last(agent: str, action: str) -> dict[str, object]:
    return {"recent": [[agent, action]]}


@pytest.mark.parametrize(
    ("told", "action", "step"),
    [
        ({}, "hold_prices", "small"),
        ({"gold": 8 * 100}, "raise_prices", "small"),
        ({"gold": 8 * 100, **last("economy", "raise_prices")}, "raise_prices", "large"),
        ({"gold": -8 * 20}, "lower_prices", "small"),
        ({"gold": -8 * 20, **last("economy", "lower_prices")}, "lower_prices", "large"),
        ({"gold": -8 * 20, **last("economy", "raise_prices")}, "lower_prices", "small"),
        ({"players": 0, "gold": 0}, "hold_prices", "small"),
    ],
)
def test_prices_follow_the_gold(told: dict[str, object], action: str, step: str) -> None:
    [context] = at("economy", **told)
    assert ruled("economy", context) == {"action": action, "step": step}


def test_a_market_balances_itself() -> None:
    """Prices that follow the rule bring gold that comes in too fast or too slowly back to where nothing is done."""
    for income in (-40, 0, 40, 200):
        price, done = 0, ""
        for _ in range(60):
            [context] = at("economy", gold=8 * (income - price), **last("economy", done))
            answer = ruled("economy", context)
            step = 20 if answer["step"] == "large" else 10
            price += {"raise_prices": step, "lower_prices": -step, "hold_prices": 0}[answer["action"]]
            done = answer["action"]
        assert done == "hold_prices"


@pytest.mark.parametrize(
    ("told", "action"),
    [
        ({}, "hold"),
        ({"deaths": 6}, "dead_gain"),
        ({"deepest": 9}, "delvers_gain"),
        ({"places": [["Gnomish Mines 3", 9], ["Dungeons of Doom 1", 2]]}, "miners_gain"),
        ({"places": [["Gnomish Mines 3", 9]], "deaths": 6}, "dead_gain"),
    ],
)
def test_the_power_gains_whose_time_it_is(told: dict[str, object], action: str) -> None:
    [context] = at("faction", **told)
    assert ruled("faction", context)["action"] == action


@pytest.mark.parametrize(
    ("told", "action", "reach"),
    [
        ({}, "stir", "upper"),
        ({"deepest": 12}, "stir", "lower"),
        ({"deaths": 1}, "keep", "everywhere"),
        ({"players": 2}, "keep", "everywhere"),
        ({"deaths": 8}, "ease", "upper"),
        ({"deaths": 8, **last("world", "ease")}, "ease", "everywhere"),
    ],
)
def test_the_world_grows_kinder_where_many_die_and_wilder_where_nobody_does(
    told: dict[str, object], action: str, reach: str
) -> None:
    [context] = at("world", **told)
    assert ruled("world", context) == {"action": action, "reach": reach}


def test_the_world_is_judged_four_times_a_day_and_the_market_every_hour() -> None:
    assert [hour for hour in range(24) if at("world", hour=hour)] == [0, 6, 12, 18]
    assert all(at(name, hour=hour) for name in ("economy", "faction", "economy_social") for hour in range(24))
    assert not any(at(name, "social") for name in ("world", "economy", "faction", "economy_social"))


@pytest.mark.parametrize(
    ("told", "action", "guild"),
    [
        ({}, "keep_trading", "traders"),
        ({"gold": -200}, "guild_discount", "delvers"),
        ({"gold": -200, "deaths": 8}, "guild_discount", "hunters"),
        ({"gold": 2_000, "deaths": 8}, "guild_levy", "hunters"),
        ({"gold": 2_000}, "open_fair", "traders"),
        ({"gold": 2_000, "players": 2}, "keep_trading", "traders"),
    ],
)
def test_market_and_guilds_help_each_other(told: dict[str, object], action: str, guild: str) -> None:
    [context] = at("economy_social", **told)
    assert ruled("economy_social", context) == {"action": action, "guild": guild}


def test_a_day_has_a_task_for_each_guild_and_two_events_each_with_its_time() -> None:
    day = at("social", "social", players=24)
    assert [context["for"] for context in day] == ["delvers", "hunters", "traders", "day", "night"]
    plans = [ruled("social", context) for context in day]
    assert [plan["time"] for plan in plans] == ["morning", "morning", "morning", "noon", "evening"]
    assert all(3 <= context["goal"] <= 24 for context in day)
    assert at("social", "hour") == ()


def test_tasks_change_from_day_to_day_and_many_deaths_call_for_help_and_a_vigil() -> None:
    def planned(**told: object) -> list[str]:
        return [ruled("social", context)["action"] for context in at("social", "social", **told)]

    assert all(one != other for one, other in zip(planned(day=1), planned(day=2), strict=True))
    assert {"rescue_together", "train_together", "vigil"} <= set(planned(deaths=8))
    assert "vigil" not in {*planned(day=1), *planned(day=2)}


@pytest.mark.parametrize(
    ("zone", "depth", "action"),
    [
        ("Dungeons of Doom 1", 1, "watch"),
        ("Gnomish Mines 3", 3, "greet"),
        ("Gnomish Mines 6", 6, "watch"),
        ("Sokoban 1", 5, "watch"),
        ("Dungeons of Doom 12", 12, "ambush"),
    ],
)
def test_those_who_live_in_a_place_meet_a_hero_by_how_deep_it_lies(zone: str, depth: int, action: str) -> None:
    [context] = contexts("decision", PlaceEntered(zone=zone, depth=depth))
    assert ruled("decision", context)["action"] == action


@pytest.mark.parametrize(
    ("action", "depth", "manner"),
    [
        ("ambush", 6, "hostile"),
        ("flee", 6, "wary"),
        ("watch", 6, "wary"),
        ("greet", 12, "wary"),
        ("ignore", 12, "calm"),
        ("watch", 2, "calm"),
        ("greet", 2, "calm"),
    ],
)
def test_the_manner_of_a_meeting_follows_from_what_was_chosen(action: str, depth: int, manner: str) -> None:
    [context] = contexts("decision", PlaceEntered(zone="Dungeons of Doom 6", depth=depth))
    believed = judged("decision", context, action=action)
    assert isinstance(believed, Answer)
    assert believed.content.model_dump() == {"action": action, "manner": manner}
    # A model is not asked for the manner, so it has no say in it.
    refused = judged("decision", context, action=action, manner="calm")
    assert isinstance(refused, Refused)
    assert refused.reason == "malformed"


def test_nobody_lies_in_wait_on_the_first_levels() -> None:
    shallow, deep = ({"zone": "Dungeons of Doom 1", "depth": depth} for depth in (3, 4))
    assert "ambush" not in AGENTS["decision"].legal_actions(shallow)
    assert "ambush" in AGENTS["decision"].legal_actions(deep)


@pytest.mark.parametrize(
    ("fact", "action", "tone"),
    [
        (PlayerDied(zone="Dungeons of Doom 2", depth=2, killer="a newt"), "forget", "sad"),
        (PlayerDied(zone="Dungeons of Doom 6", depth=6, killer="a newt"), "remember", "sad"),
        (PlayerDied(zone="Dungeons of Doom 11", depth=11, killer="a soldier ant"), "engrave", "sad"),
        (PlayerLevelled(level=4), "forget", "proud"),
        (PlayerLevelled(level=8), "remember", "proud"),
        (PlayerLevelled(level=12), "engrave", "proud"),
    ],
)
def test_great_deeds_are_remembered_longer(fact: Message, action: str, tone: str) -> None:
    [context] = contexts("memory", fact)
    assert ruled("memory", context) == {"action": action, "tone": tone}
    assert context["hero"] == "Finn"


def arc(content: str, agent: str = "storyline") -> DecisionEffective:
    return DecisionEffective(decision_id="d", agent=agent, action="plague", content=content)


def test_a_new_arc_takes_its_threads_up_and_has_an_objective_for_each_chapter() -> None:
    story = arc('{"title":"The Song of Ashes","action":"plague","tone":"grim"}')
    [context] = contexts("memory", story)
    assert (context["title"], context["theme"]) == ("The Song of Ashes", "plague")
    assert ruled("memory", context)["action"] == "carry_on"
    chapters = contexts("quest", story)
    assert [chapter["chapter"] for chapter in chapters] == [1, 2, 3, 4, 5]
    assert [chapter["count"] for chapter in chapters] == sorted(chapter["count"] for chapter in chapters)
    assert {chapter["theme"] for chapter in chapters} == {"plague"}
    assert [AGENTS["quest"].signature(chapter)["stage"] for chapter in chapters] == [  # type: ignore[misc]
        "opening", "middle", "middle", "middle", "final",
    ]  # fmt: skip


@pytest.mark.parametrize(("deepest", "depths"), [(0, [1, 1, 1, 1, 1]), (10, [1, 2, 3, 4, 5]), (40, [4, 8, 12, 16, 20])])
def test_an_arc_leads_half_as_deep_as_heroes_have_come(deepest: int, depths: list[int]) -> None:
    story = arc('{"title":"The Song of Ashes","action":"plague"}')
    story.about = canonical({"deepest": deepest})
    chapters = contexts("quest", story)
    assert [chapter["depth"] for chapter in chapters] == depths
    actions = [ruled("quest", chapter)["action"] for chapter in chapters]
    assert all(one != other for one, other in pairwise(actions)), "no chapter asks for what the one before asked for"


@pytest.mark.parametrize("agent", ["quest", "memory"])
def test_where_no_arc_begins_there_is_nothing_to_design_or_to_remember(agent: str) -> None:
    story = AGENTS["storyline"].default({})
    assert contexts(agent, DecisionEffective(agent="storyline", action=story.action, content=story.json())) == ()


@given(ANY_TEXTS)
def test_whatever_an_arc_says_there_are_five_objectives_and_one_memory(content: str) -> None:
    assert len(contexts("quest", arc(content))) == 5
    assert len(contexts("memory", arc(content))) == 1


@pytest.mark.parametrize("agent", ["quest", "memory"])
def test_what_other_agents_decide_is_nothing_to_them(agent: str) -> None:
    assert contexts(agent, arc("{}", agent="economy")) == ()


def test_quests_grow_with_the_hero_and_differ_from_one_to_the_next() -> None:
    told = {level: contexts("quest", PlayerLevelled(level=level)) for level in range(14)}
    assert [level for level, asked_for in told.items() if asked_for] == [2, 4, 6, 8, 10, 12]
    rows = [context for asked_for in told.values() for context in asked_for]
    assert [row["count"] for row in rows] == sorted({row["count"] for row in rows})
    actions = [ruled("quest", row)["action"] for row in rows]
    assert all(one != other for one, other in pairwise(actions))
    assert set(actions) >= {"explore", "fetch", "escort"}


@pytest.mark.parametrize(
    ("fact", "action", "among"),
    [
        (DepthReached(zone="Dungeons of Doom 4", depth=4), "raise_a_little", "guild"),
        (DepthReached(zone="Dungeons of Doom 6", depth=6), "raise_much", "guild"),
        (DepthReached(zone="Dungeons of Doom 10", depth=10), "grant_title", "guild"),
        (PlayerLevelled(level=8), "raise_much", "temple"),
    ],
)
def test_a_name_grows_with_the_feat(fact: Message, action: str, among: str) -> None:
    [context] = contexts("reputation", fact)
    assert ruled("reputation", context) == {"action": action, "among": among}


def test_not_every_step_makes_a_name() -> None:
    assert [d for d in range(9) if contexts("reputation", DepthReached(zone="x", depth=d))] == [2, 4, 6, 8]
    assert [n for n in range(13) if contexts("reputation", PlayerLevelled(level=n))] == [4, 8, 12]


@pytest.mark.parametrize(
    ("fact", "action"),
    [
        (PlayerDied(zone="x", depth=2, killer="a jackal"), "leave"),
        (PlayerDied(zone="x", depth=2, killer="Asidonhopo, the shopkeeper"), "punish"),
        (PlayerDied(zone="x", depth=2, killer="the wrath of Thoth"), "punish"),
        (PlayerDied(zone="x", depth=2, killer="starvation"), "reward"),
        (GoldSpent(amount=80, reason="stolen"), "reward"),
        (GoldSpent(amount=80, reason="bought"), "leave"),
    ],
)
def test_karma_is_just(fact: Message, action: str) -> None:
    [context] = contexts("karma", fact)
    assert ruled("karma", context)["action"] == action


def test_small_change_is_no_matter_of_karma() -> None:
    assert contexts("karma", GoldSpent(amount=49, reason="stolen")) == ()
    assert contexts("karma", GoldSpent(amount=500, reason="because")) == ()


@pytest.mark.parametrize(
    ("name", "context", "content", "complaint"),
    [
        ("economy", {"gold": -500, "players": 5}, {"action": "raise_prices", "step": "small"}, "off its balance"),
        ("economy", {"gold": 5_000, "players": 5}, {"action": "lower_prices", "step": "small"}, "off its balance"),
        ("economy_social", {"gold": -500}, {"action": "guild_levy", "guild": "traders"}, "out of place"),
        ("economy_social", {"gold": 900}, {"action": "guild_discount", "guild": "traders"}, "out of place"),
        ("faction", {"deepest": 5}, {"action": "dead_gain", "by": "fear"}, "nobody gains"),
        ("faction", {"deepest": 5}, {"action": "miners_gain", "by": "trade"}, "nobody gains"),
        ("faction", {}, {"action": "delvers_gain", "by": "deeds"}, "nobody gains"),
        ("world", {"deaths": 9, "players": 9}, {"action": "stir", "reach": "upper"}, "nothing is stirred"),
        ("world", {"players": 9}, {"action": "ease", "reach": "upper"}, "nothing is eased"),
        ("social", {"for": "night"}, {"action": "vigil", "time": "evening"}, "nobody died"),
        ("social", {"for": "day"}, {"action": "market", "time": "evening"}, "in the evening"),
        ("memory", {"event": "death", "depth": 2}, {"action": "forget", "tone": "proud"}, "proud of a death"),
        ("memory", {"event": "growth", "level": 12}, {"action": "forget", "tone": "proud"}, "not forgotten"),
        ("quest", {"level": 2}, {"action": "hunt", "reward": "lore"}, "learnt from a hunt"),
        ("reputation", {"feat": "depth", "reached": 2}, {"action": "raise_much", "among": "guild"}, "not worth"),
        ("karma", {"why": "stolen"}, {"action": "punish", "sign": "omen"}, "unjust"),
        ("karma", {"why": "keeper"}, {"action": "reward", "sign": "dream"}, "unjust"),
        ("karma", {"why": "monster"}, {"action": "leave", "sign": "omen"}, "silence"),
    ],
)
def test_an_answer_that_does_not_fit_the_state_is_refused(
    name: str, context: Context, content: dict[str, str], complaint: str
) -> None:
    refused = judged(name, context, **content)
    assert isinstance(refused, Refused)
    assert refused.reason == "unfit"
    assert complaint in refused.detail


CORE = (
    "dialogue", "decision", "memory", "world", "quest", "economy", "faction", "reputation", "karma", "social",
    "economy_social",
)  # fmt: skip


@pytest.mark.parametrize("name", CORE)
def test_a_cap_covers_the_worst_that_a_default_model_costs(name: str) -> None:
    agent = AGENTS[name]
    size_bytes = sum(len(turn.content.encode()) for turn in agent.prompt(agent.shown({})))
    for model in ("deepseek-chat", "Qwen2.5-7B-Instruct", "Qwen2.5-3B-Instruct-AWQ", "smollm2-135m-instruct-q4_1"):
        assert cost_usd_micros(model, size_bytes, agent.max_tokens, agent.deadline_ms) <= agent.cost_cap_usd_micros


async def test_a_small_model_mostly_chooses_so_that_it_is_believed() -> None:
    engine = choose_engine("llamacpp")
    assert engine is not None
    asked = {
        "memory": contexts("memory", PlayerDied(zone="Sokoban 2", depth=12, killer="a newt")),
        "reputation": contexts("reputation", DepthReached(zone="Dungeons of Doom 6", depth=6)),
        "decision": contexts("decision", PlaceEntered(zone="Sokoban 2", depth=6)),
        "world": at("world", deaths=8),
        "economy": at("economy", gold=8 * 100),
        "social": at("social", "social", deaths=8),
    }
    tried = [(AGENTS[name], of_agent[-1]) for name, of_agent in asked.items()]
    believed = 0
    for agent, context in tried:
        legal = agent.legal_actions(context)
        turns = agent.prompt(agent.shown(context))
        done = await engine.complete(Prompt(turns, agent.schema(legal), agent.max_tokens, seed=1, temperature=0.0))
        believed += isinstance(validate(done.text, agent, context, legal), Answer)
    await engine.close()
    assert believed >= len(tried) - 1
