"""Broadcasts and world versions: what is told to everybody, and what makes older answers stale."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from inference.agents import AGENTS
from schemas import Announced, DecisionEffective, Event, WorldChanged
from streams.policies import POLICIES
from streams.policies.broadcasts import TEXT_CHARACTERS_MAX, TOLD, broadcasts
from streams.policies.world_versions import world_versions
from streams.policy import topics_of
from streams.seen import SEEN_MAX
from tests.policies import DAY_MS, MIDNIGHT_MS, event, run, tick

CHANGING = next(agent.name for agent in AGENTS.values() if "raid" in agent.changes_world)
UNCHANGING = next(agent.name for agent in AGENTS.values() if not agent.changes_world)


def decision(
    agent: str, decision_id: str = "d", action: str = "raid", content: object = None, **about: object
) -> Event:
    return event(
        DecisionEffective(
            decision_id=decision_id,
            agent=agent,
            action=action,
            content=orjson.dumps(content or {}).decode(),
            about=orjson.dumps(about).decode(),
        )
    )


def announced(*events: Event) -> list[Announced]:
    return [fact for _, fact in run(broadcasts, events)[1]]


def versions(*events: Event) -> list[WorldChanged]:
    return [fact for _, fact in run(world_versions, events)[1]]


def test_a_problem_is_told_in_the_words_of_its_action() -> None:
    said = {"raid": "Raiders hold the Mines.", "plague": "A sickness spreads."}
    (told,) = announced(decision("problem", says=said))
    assert (told.text, told.reason, told.decision_id) == ("Raiders hold the Mines.", "problem", "d")


def test_a_boss_is_told_in_its_only_words_and_an_event_by_guild_and_time() -> None:
    (boss,) = announced(decision("dynamic_boss", says="Grim the Old rises."))
    assert boss.text == "Grim the Old rises."
    (event_,) = announced(decision("social", action="map_together", content={"time": "noon"}, **{"for": "delvers"}))
    assert event_.text == "For the delvers this noon: map together."


def test_the_same_decision_twice_is_told_once_and_other_agents_not_at_all() -> None:
    again = decision("problem", says={"raid": "Raiders!"})
    assert len(announced(again, again)) == 1
    assert announced(decision("weather", says="Rain.")) == []
    assert announced(decision("event_chain", action="end", says={"raid": "Raiders!"})) == []


@given(st.sampled_from(sorted(TOLD)), st.text(max_size=900), st.text(max_size=900), st.text(max_size=300))
def test_whatever_a_decision_holds_what_is_told_is_a_line(agent: str, about: str, content: str, action: str) -> None:
    odd = DecisionEffective(decision_id="d", agent=agent, action=action, content=content, about=about)
    loud = decision(agent, "e", says="so " * 5_000)
    for told in announced(event(odd), loud):
        assert len(told.text) <= max(TEXT_CHARACTERS_MAX, len(action) + 60)


def test_every_agent_that_is_told_of_is_one_there_is() -> None:
    assert set(TOLD) <= set(AGENTS)


def test_versions_go_up_with_each_change_and_each_day_and_never_down() -> None:
    found = versions(
        tick(MIDNIGHT_MS),
        decision(CHANGING, "a"),
        decision(CHANGING, "a"),
        decision(UNCHANGING, "b"),
        tick(MIDNIGHT_MS + 1),
        tick(MIDNIGHT_MS + DAY_MS),
        tick(MIDNIGHT_MS),
        tick(MIDNIGHT_MS + DAY_MS + 5),
        decision(CHANGING, "c"),
    )
    assert [fact.version for fact in found] == [1, 2, 3]
    assert [fact.reason for fact in found] == [f"{CHANGING}: raid", "a new day", f"{CHANGING}: raid"]


def test_the_world_changes_when_it_eases_or_stirs_and_not_when_it_is_kept() -> None:
    found = versions(*(decision("world", action, action) for action in AGENTS["world"].legal_actions({})))
    assert [fact.reason for fact in found] == ["world: ease", "world: stir"]


def test_whatever_is_said_to_change_the_world_is_an_action_of_the_agents() -> None:
    changing = {name: set(agent.changes_world) for name, agent in AGENTS.items() if agent.changes_world}
    assert set(changing) == {"problem", "storyline", "world"}
    assert all(actions <= set(AGENTS[name].legal_actions({})) for name, actions in changing.items())


def test_what_has_been_seen_is_kept_in_bounded_room() -> None:
    events = [decision(CHANGING, f"d{n}") for n in range(2 * SEEN_MAX)]
    state, said = run(world_versions, events)
    assert len(said) == 2 * SEEN_MAX
    assert len(state["seen"]) == SEEN_MAX


def test_policies_stand_under_their_names_and_read_topics_that_there_are() -> None:
    assert all(name == policy.name for name, policy in POLICIES.items())
    assert "world.facts.v1" in topics_of(POLICIES.values())
