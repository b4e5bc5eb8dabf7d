"""The agents that make each day of the world: how many, where, for how long, and by which tier."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agent import CHOSEN, IMPACTS, Agent, Answer, Context
from inference.agents import AGENTS
from inference.agents.event_chain import LINKS
from inference.agents.faction import ACTIONS as POWERS
from inference.agents.karma import ACTIONS as KARMA
from inference.agents.problem import SAYS as PROBLEMS
from inference.agents.weather import PLACES as SKIES_SEEN
from inference.agents.weather import SKIES, sky
from inference.agents.world_event import SAYS as WORLD_EVENTS
from inference.arc import NO_ARC, THEMES
from inference.batching import ENOUGH, Batches
from inference.complexity import FULL_MIN, RULES_MAX
from inference.engines import Scripted
from inference.prompts import Prompt, canonical
from inference.requests import requests_for
from schemas import CostSampled, DecisionProposed, DepthReached
from tests.inference.asking import answer_all, happened, now_ms, worker
from tests.inference.days import NAMES, PLACES, SCHEDULED, TOLD, contexts, due, effective, every_context
from tests.strategies import ANY_TEXTS

DAYS = 1_000
# Enough for the shares to show, and few enough to be answered by a worker in a test.
DAYS_ANSWERED = 40
# Who answers: the rules; a model once for several, or what it answered before; a model for one alone. Tiers 2 and 3 of
# spec A.14 are one here: docs/adr/0008 says why.
RULED, SHARED, ALONE = "ruled", "shared", "alone"


@pytest.mark.parametrize("players", [0, 1, 8, 20, 5_000])
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("problem", 1, 1), ("map_hazard", 3, 5), ("treasure", 8, 12), ("archaeology", 15, 20), ("dynamic_npc", 25, 40)],
)
@pytest.mark.parametrize("places", [[], PLACES])
def test_a_day_brings_as_much_as_is_laid_down(
    name: str, low: int, high: int, players: int, places: Sequence[object]
) -> None:
    counts = {len(contexts(name, day=day, players=players, places=places)) for day in range(20)}
    assert counts <= set(range(low, high + 1))
    if players == 0:
        assert counts == {low}
    if players >= 20:
        assert counts == {high}


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("problem", {RULED: 0.90, ALONE: 0.10}),
        ("adaptive_dungeon", {RULED: 0.80, SHARED: 0.20}),
        ("map_hazard", {RULED: 0.95, SHARED: 0.05}),
        ("treasure", {RULED: 0.90, SHARED: 0.10}),
        ("archaeology", {RULED: 0.95, SHARED: 0.05}),
        ("dynamic_npc", {RULED: 0.60, SHARED: 0.35, ALONE: 0.05}),
    ],
)
def test_over_a_thousand_days_the_tiers_have_their_shares(name: str, shares: dict[str, float]) -> None:
    agent = AGENTS[name]
    tiers = Counter(_tier(agent.complexity(context)) for day in range(DAYS) for context in contexts(name, day=day))
    measured = {tier: times / tiers.total() for tier, times in tiers.items()}
    assert measured == pytest.approx(shares, abs=0.02)


@pytest.mark.parametrize(
    ("name", "shared", "chosen"),
    [("adaptive_dungeon", 0.20, {"light": "dim"}), ("dynamic_npc", 0.35, {"wants": "gold"})],
)
async def test_what_is_shared_goes_by_batch_and_four_or_more_share_a_call(
    name: str, shared: float, chosen: dict[str, str]
) -> None:
    agents, routes, calls = {name: AGENTS[name]}, Counter[str](), Counter[str]()

    def answer(prompt: Prompt) -> str:
        return canonical({"action": prompt.schema["properties"]["action"]["enum"][0], **chosen})

    for day in range(DAYS_ANSWERED):
        # A day has a version of the world of its own, so nothing that was cached on another day is of use.
        requests = requests_for(due(name, day=day, players=20), agents, world_version=day)
        inference = worker(Scripted(answer), agents=agents, batches=Batches(wait_ms=0, now_ms=now_ms))
        for facts in await answer_all(inference, map(happened, requests)):
            [route] = [fact.route for fact in facts if isinstance(fact, DecisionProposed)]
            routes[route] += 1
            calls[route] += sum(isinstance(fact, CostSampled) for fact in facts)
    assert routes["cache"] == 0
    assert routes["batch"] / routes.total() == pytest.approx(shared, abs=0.06)
    assert routes["batch"] / calls["batch"] >= ENOUGH


def test_what_the_rules_are_left_they_answer() -> None:
    easy = [(agent, context) for agent, context in every_context() if agent.complexity(context) <= RULES_MAX]
    assert {agent.name for agent, _ in easy} == set(NAMES) - {"storyline", "story_teller"}
    assert all(agent.rules(context) is not None for agent, context in easy)


def test_a_hazard_lasts_six_to_twelve_hours_on_maps_of_its_own() -> None:
    days = [contexts("map_hazard", day=day) for day in range(200)]
    assert {context["hours"] for day in days for context in day} == set(range(6, 13))
    assert all(len({context["zone"] for context in day}) == len(day) for day in days)
    hit = Counter(context["zone"] for day in days for context in day)
    visited = [zone for zone, _ in PLACES]
    assert hit[visited[0]] > hit[visited[2]] > hit[visited[4]] > 0


def test_dig_spots_are_gone_after_48_hours_and_lie_within_a_level() -> None:
    spots = [context for day in range(50) for context in contexts("archaeology", day=day)]
    assert {spot["hours"] for spot in spots} == {48}
    assert all(1 <= spot["x"] < 79 and 1 <= spot["y"] < 21 and 1 <= spot["depth"] <= TOLD["deepest"] for spot in spots)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=12), st.integers(0, 100))
def test_a_place_that_is_visited_more_never_has_fewer_treasures(visits: list[int], players: int) -> None:
    places = [[f"Level {number}", times] for number, times in enumerate(visits)]
    laid = contexts("treasure", places=places, players=players)
    counts = Counter(context["zone"] for context in laid)
    assert 8 <= counts.total() <= 12
    assert all(counts[zone] >= counts[other] for zone, times in places for other, fewer in places if times > fewer)


def test_every_npc_of_a_day_is_somebody() -> None:
    for day in range(100):
        npcs = contexts("dynamic_npc", day=day, players=40)
        assert len({npc["name"] for npc in npcs}) == len(npcs) == 40
        assert len({npc["personality"] for npc in npcs}) > 5
        assert len({npc["role"] for npc in npcs}) > 3


def test_npcs_of_the_shared_tier_have_few_signatures_and_those_of_the_full_tier_their_own() -> None:
    agent = AGENTS["dynamic_npc"]
    npcs = [npc for day in range(100) for npc in contexts("dynamic_npc", day=day)]
    scored = [(_tier(agent.complexity(npc)), canonical(agent.shown(npc))) for npc in npcs]
    shared, alone = ([shown for tier, shown in scored if tier == wanted] for wanted in (SHARED, ALONE))
    assert len(set(shared)) <= 5 < len(shared)
    # Two who are alike in name, past and calling may meet within a hundred days.
    assert len(set(alone)) > 0.98 * len(alone)


@given(ANY_TEXTS, st.integers(0, 100_000))
def test_the_sky_moves_by_one_step_at_most_whatever_was_decided(zone: str, hour: int) -> None:
    before, now, then = (SKIES.index(sky(zone, hour + step)) for step in (-1, 0, 1))
    may_be, may_follow = {before, now}, {now, then}
    assert all(abs(one - other) <= 1 for one in may_be for other in may_follow)


def test_the_weather_offers_what_was_and_what_comes_and_all_skies_come() -> None:
    hours = [contexts("weather", day=day, hour=hour) for day in range(20) for hour in range(24)]
    assert {len(places) for places in hours} == {SKIES_SEEN}
    for one, following in pairwise(hours):
        assert [context["coming"] for context in one] == [context["was"] for context in following]
    offered = {action for places in hours for context in places for action in AGENTS["weather"].legal_actions(context)}
    assert offered == set(SKIES)


def test_world_events_come_every_sixth_hour_as_the_leading_power_would_have_it() -> None:
    agent = AGENTS["world_event"]
    assert [hour for hour in range(24) if contexts("world_event", hour=hour)] == [3, 9, 15, 21]
    by_power = {
        power: agent.legal_actions(contexts("world_event", decided={"faction": {f"{power}_gain": 2}})[0])
        for power in ("delvers", "miners", "dead")
    }
    assert len(set(by_power.values())) == 3
    assert "eclipse" in by_power["dead"]


def test_yesterdays_problem_does_not_come_again_and_grows_when_players_stood_up_to_it() -> None:
    agent = AGENTS["problem"]
    [context] = contexts("problem")
    assert "raid" not in agent.legal_actions(context)
    severities = [contexts("problem", deaths=deaths)[0]["severity"] for deaths in (8, 2, 0)]
    assert severities == ["mild", "serious", "grave"]
    [context] = contexts("problem", recent=[], decided={"problem": {"plague": 1}, "faction": {"hold": 9}})
    assert "plague" not in agent.legal_actions(context)


@pytest.mark.parametrize(
    ("told", "percent", "severity"),
    [
        ({}, None, "serious"),
        ({"goal": 4, "came": 4}, 100, "grave"),
        ({"goal": 4, "came": 9}, 100, "grave"),
        ({"goal": 4, "came": 3}, 75, "mild"),
        ({"goal": 4, "came": 0}, 0, "mild"),
        ({"goal": 4, "came": 4, "deaths": 0}, 100, "grave"),
        ({"goal": 4, "came": 0, "deaths": 8}, 0, "mild"),
        ({"goal": 4, "came": 4, "deaths": 8}, 100, "serious"),
        ({"goal": 4, "came": 4, "players": 0}, 100, "mild"),
    ],
)
def test_a_problem_that_players_met_is_followed_by_a_worse_one_and_how_far_is_told(
    told: dict[str, int], percent: int | None, severity: str
) -> None:
    [context] = contexts("problem", **{"deaths": 2, **told})
    assert (context["completion_percent"], context["severity"]) == (percent, severity)
    assert "completion_percent" in AGENTS["problem"].tells


def test_the_dungeon_adapts_to_how_heroes_fare() -> None:
    floors = [contexts("adaptive_dungeon", deaths=deaths)[0] for deaths in (8, 2, 0)]
    assert [floor["danger"] for floor in floors] == ["easier", "same", "harder"]
    assert len({AGENTS["adaptive_dungeon"].legal_actions(floor) for floor in floors}) == 3


@pytest.mark.parametrize(("depth", "rises"), [(0, False), (1, False), (4, True), (6, False), (12, True)])
def test_a_boss_rises_at_every_fourth_level(depth: int, rises: bool) -> None:
    met = AGENTS["dynamic_boss"].contexts(happened(DepthReached(zone="Dungeons of Doom 4", depth=depth), subject="sif"))
    assert [context["hero"] for context in met] == (["Sif"] if rises else [])


def test_a_chain_has_a_link_for_all_that_happens_and_never_follows_itself() -> None:
    agent = AGENTS["event_chain"]
    assert set(LINKS) == {*PROBLEMS, *WORLD_EVENTS}
    followed = [(cause, action) for cause in AGENTS for action in LINKS if agent.contexts(effective(cause, action))]
    assert {cause for cause, _ in followed} == {"world_event", "problem"}
    assert not {link for links in LINKS.values() for link in links} & set(LINKS)


def test_a_mild_problem_ends_the_chain_and_a_grave_one_goes_on() -> None:
    agent = AGENTS["event_chain"]
    mild, grave = (
        agent.contexts(effective("problem", "raid", about=f'{{"severity":"{severity}","zone":"Sokoban 2"}}'))[0]
        for severity in ("mild", "grave")
    )
    assert _action(agent, mild) == "end"
    assert _action(agent, grave) in LINKS["raid"]
    assert grave["says"]["refugees"] == "People flee from the 2nd level of Sokoban."


def test_an_arc_does_not_have_the_theme_of_the_one_before_though_none_began_since() -> None:
    [context] = contexts("storyline", decided={"storyline": {"plague": 1, NO_ARC: 2}})
    assert context["last"] == "plague"
    assert "plague" not in AGENTS["storyline"].legal_actions(context)


@pytest.mark.parametrize("agent", ["karma", "faction", "world_event"])
def test_all_that_those_agents_decide_whose_work_an_arc_is_written_from_reaches_it(agent: str) -> None:
    """Each action, by the name that the agent itself has for it, is read as another state of the world."""
    key = {"karma": "karma", "faction": "leads", "world_event": "event"}[agent]
    actions = {"karma": KARMA, "faction": POWERS, "world_event": tuple(WORLD_EVENTS)}[agent]
    [untold] = contexts("storyline", decided={})
    told = {action: contexts("storyline", decided={agent: {action: 9}})[0] for action in actions}
    read = {action: context[key] for action, context in told.items()}
    assert len(set(read.values())) == len(actions)
    # One of karma's actions and one of the powers' leave the world as it is.
    assert [action for action in actions if read[action] == untold[key]] == [
        action for action in ("leave", "hold") if action in actions
    ]
    # What is read is what a model is shown.
    prompts = {canonical([turn.content for turn in AGENTS["storyline"].prompt(context)]) for context in told.values()}
    assert len(prompts) == len(actions)


def test_the_rules_write_an_arc_by_the_power_that_leads_and_by_karma() -> None:
    def ruled(**decided: dict[str, int]) -> tuple[str, str]:
        [context] = contexts("storyline", deaths=0, decided=decided)
        answer = AGENTS["storyline"].rules(context)
        assert answer is not None
        return answer.action, answer.content.model_dump()["tone"]

    themes = [ruled(faction={power: 1})[0] for power in POWERS]
    assert len(set(themes)) == len(POWERS)
    assert [ruled(karma={action: 1})[1] for action in KARMA] == ["hopeful", "hopeful", "wry"]


def test_a_storyline_may_always_begin_no_arc_which_is_harmless_and_which_no_model_writes() -> None:
    agent = AGENTS["storyline"]
    [context] = contexts("storyline")
    default, rules = agent.default(context), agent.rules(context)
    assert rules is not None
    assert default.action == NO_ARC
    assert NO_ARC in agent.legal_actions(context)
    assert rules.action != NO_ARC
    stakes = [agent.impact({**context, CHOSEN: action}) for action in ("", NO_ARC, *THEMES)]
    assert stakes == ["high", "low", *["high"] * len(THEMES)]
    assert agent.check(context, default) == ""
    told = {**rules.content.model_dump(), "action": NO_ARC}
    assert "only a person" in agent.check(context, Answer(NO_ARC, agent.output.model_validate(told)))
    assert not re.match(agent.schema(THEMES)["properties"]["title"]["pattern"], default.content.model_dump()["title"])


def test_the_story_teller_stakes_all_and_only_what_is_low_may_be_told_twice() -> None:
    agent = AGENTS["story_teller"]
    told = [contexts("story_teller", day=day)[0] for day in range(DAYS)]
    by_impact = {impact: [context for context in told if agent.impact(context) == impact] for impact in IMPACTS}
    assert [len(by_impact[impact]) / DAYS for impact in IMPACTS] == pytest.approx([0.60, 0.30, 0.09, 0.01], abs=0.03)
    for impact, days in by_impact.items():
        assert all(context["is_low_priority"] == (impact == "low") for context in days)
        signatures = {canonical(agent.shown(context)) for context in days}
        assert len(signatures) == (1 if impact == "low" else len(days))
    assert agent.ensemble


@pytest.mark.parametrize("name", SCHEDULED)
def test_the_same_day_asks_the_same_and_another_day_something_else(name: str) -> None:
    assert contexts(name) == contexts(name)
    assert contexts(name, day=4) != contexts(name)
    others = set(SCHEDULED.values()) - {SCHEDULED[name]}
    assert not any(AGENTS[name].contexts(due(schedule)) for schedule in others)


def _tier(complexity: float) -> str:
    return RULED if complexity <= RULES_MAX else ALONE if complexity >= FULL_MIN else SHARED


def _action(agent: Agent, context: Context) -> str:
    answer = agent.rules(context)
    assert answer is not None
    return answer.action
