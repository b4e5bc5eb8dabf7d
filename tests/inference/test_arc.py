"""Arcs: five chapters, two or three choices that change what follows, and an end to every path, whatever is told."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agents import AGENTS
from inference.agents.quest import LEGAL as QUESTS
from inference.arc import (
    CHAPTERS,
    DEEDS_EACH_MAX,
    MANY_PLAYERS,
    NO_ARC,
    THEMES,
    Path,
    Plan,
    begun,
    branch_of,
    chapter,
    ending,
    objective,
    opening,
    plan,
    tone,
)
from inference.prompts import RESERVED, canonical
from inference.stories import HELD, LOST, TASKS, TONES
from tests.inference.days import effective
from tests.strategies import ANY_TEXTS

START_MS = 1_800_000_000_000
ARC_MS = 14 * 86_400_000
# A plan is told in one event of at most 10 KB, beside its title.
PLAN_BYTES_MAX = 9_000
FIELDS = st.sampled_from(["action", "antagonist", "tone", "title", "hook"])
CONTENTS = st.dictionaries(
    FIELDS, st.sampled_from(THEMES) | ANY_TEXTS | st.text(max_size=300) | st.integers() | st.none()
)
PLAYERS = st.integers(0, 1_000_000)
QUESTS_OF_ANYBODY = st.dictionaries(
    st.sampled_from("12345"),
    st.fixed_dictionaries(
        {"action": st.sampled_from(sorted(TASKS)) | ANY_TEXTS, "reward": ANY_TEXTS | st.none()},
        optional={"count": st.integers(-1, 10**12) | ANY_TEXTS, "depth": st.integers(-1, 10**12) | st.none()},
    ),
)
BEFORE = st.none() | st.just({"title": "x" * 80, "ending": "The War has won, for now.", "tone": "wry"})
TOLD = {"action": "plague", "antagonist": "the Iron Abbess", "title": "The Price of Salt", "hook": "The cure is sold."}


@given(CONTENTS, PLAYERS)
def test_an_arc_has_five_chapters_one_after_the_other_within_14_days(content: Mapping[str, Any], players: int) -> None:
    chapters = plan(content, players, START_MS)["chapters"]
    assert [chapter["chapter"] for chapter in chapters] == [1, 2, 3, 4, 5]
    assert chapters[0]["opens_ms"] == START_MS
    assert all(one["closes_ms"] == other["opens_ms"] for one, other in itertools.pairwise(chapters))
    assert all(chapter["opens_ms"] < chapter["closes_ms"] for chapter in chapters)
    assert chapters[-1]["closes_ms"] <= START_MS + ARC_MS


@given(CONTENTS, PLAYERS)
def test_two_choices_are_offered_to_few_and_three_to_many(content: Mapping[str, Any], players: int) -> None:
    choices = [chapter["choice"] for chapter in plan(content, players, START_MS)["chapters"] if chapter["choice"]]
    assert len(choices) == (3 if players >= MANY_PLAYERS else 2)
    assert all(2 <= len(set(choice["options"])) <= 3 and choice["question"] for choice in choices)


@given(CONTENTS, PLAYERS)
def test_as_many_must_take_part_as_there_are_and_at_least_one(content: Mapping[str, Any], players: int) -> None:
    arc = plan(content, players, START_MS)
    thresholds = [chapter["participation_threshold"] for chapter in arc["chapters"]]
    assert thresholds == sorted(thresholds)
    assert all(1 <= threshold <= max(1, players) for threshold in thresholds)
    assert arc["participation_threshold"] == thresholds[0]


def read_back(arc: Plan) -> Plan:
    """As it comes from the log, where the order of an object's keys means nothing."""
    plan_read: Plan = orjson.loads(canonical(arc))
    return plan_read


def options(arc: Plan, path: Path) -> list[str]:
    """The branches in which the chapter may end that a path has come to, when it is not lost."""
    reached = chapter(arc, path)
    assert reached is not None
    return reached["choice"]["options"] if reached["choice"] else [HELD]


def paths(arc: Plan) -> list[tuple[str, ...]]:
    """All paths to the end."""
    found: list[tuple[str, ...]] = [()]
    for _ in range(CHAPTERS):
        found = [(*path, branch) for path in found for branch in (*options(arc, path), LOST)]
    return found


@given(CONTENTS, PLAYERS, QUESTS_OF_ANYBODY, BEFORE, st.data())
def test_every_path_leads_through_all_chapters_to_an_end(
    content: Mapping[str, Any],
    players: int,
    quests: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    data: st.DataObject,
) -> None:
    arc = read_back(plan(content, players, START_MS, quests, before))
    path: tuple[str, ...] = ()
    for number in range(1, CHAPTERS + 1):
        reached = chapter(arc, path)
        assert reached is not None
        assert reached["chapter"] == number
        assert set(reached["branches"]) == {*options(arc, path), LOST}
        told, asked = opening(arc, path), objective(arc, path)
        assert reached["text"] in told
        assert told.endswith(asked["text"])
        assert not path or told.index(reached["text"]) > 0, "what the players did before is told first"
        assert asked["kind"] in {*TASKS, "descend"}
        assert 0 <= asked["count"] <= DEEDS_EACH_MAX * reached["participation_threshold"]
        path = (*path, data.draw(st.sampled_from(sorted(reached["branches"]))))
    assert chapter(arc, path) is None
    assert arc["antagonist"].lower() in ending(arc, path).lower()


@pytest.mark.parametrize("players", [0, MANY_PLAYERS])
@pytest.mark.parametrize("first_tone", TONES)
def test_each_choice_changes_what_is_told_next_and_how_it_may_end(players: int, first_tone: str) -> None:
    arc = read_back(plan({**TOLD, "tone": first_tone}, players, START_MS))
    ended = {path: ending(arc, path) for path in paths(arc)}
    for number in range(2, CHAPTERS):
        partings = {path[: number - 1] for path in ended}
        for parting in partings:
            ways = [(*parting, branch) for branch in options(arc, parting)]
            assert len({opening(arc, way) for way in ways}) == len(ways)
        if len(options(arc, next(iter(partings)))) > 1:
            # There are paths that differ in this choice alone and end otherwise.
            alike: dict[Path, set[str]] = {}
            for path, told in ended.items():
                alike.setdefault((*path[: number - 1], *path[number:]), set()).add(told)
            assert max(map(len, alike.values())) > 1
    assert len(set(ended.values())) == 2 * len(TONES)
    assert len({tuple(objective(arc, path[:n])["kind"] for n in range(CHAPTERS)) for path in ended}) > 3


def test_choices_turn_the_next_chapter_to_another_objective_and_the_story_to_another_tone() -> None:
    arc = plan({**TOLD, "tone": "grim"}, 8, START_MS)
    kinds = {option: objective(arc, [HELD, option])["kind"] for option in options(arc, [HELD])}
    assert kinds == {"strike": "hunt", "fortify": "fetch", "parley": "explore"}
    war, peace = [HELD, "strike", "elders", "destroy", HELD], [HELD, "parley", "elders", "return", HELD]
    assert (tone(arc, war), tone(arc, peace)) == ("grim", "hopeful")
    assert ending(arc, war) == "The Iron Abbess is beaten, and there are many to bury."
    assert ending(arc, peace) == "The Iron Abbess is beaten, and old enemies share a fire."
    assert ending(arc, [*peace[:-1], LOST]) == "The Iron Abbess has won, and let the heroes go."
    # The plan alone says so to whoever reads it.
    turned = arc["chapters"][1]["branches"]["parley"]
    assert (turned["tone"], turned["objective"]["kind"]) == ("hopeful", "explore")
    assert arc["endings"][HELD]["hopeful"] == ending(arc, peace)


def test_chapters_ask_for_what_quests_were_designed_for_them_and_else_for_what_is_fixed() -> None:
    quest = {"action": "escort", "reward": "lore", "count": 5, "depth": 3}
    arc = plan(TOLD, 8, START_MS, {"3": quest})
    designed, fixed = objective(arc, [HELD, "strike"]), objective(plan(TOLD, 8, START_MS), [HELD, "strike"])
    assert (designed["kind"], designed["count"], designed["depth"], designed["reward"]) == ("escort", 5, 3, "lore")
    assert "level 3" in designed["text"]
    assert "5 times" in designed["text"]
    assert "lore" in designed["text"]
    assert (fixed["kind"], fixed["count"]) == ("hunt", 0)
    # A choice turns it to another kind; how much is asked for, and what is given for it, stays.
    turned = objective(arc, [HELD, "fortify"])
    assert (turned["kind"], turned["count"], turned["depth"], turned["reward"]) == ("fetch", 5, 0, "lore")
    assert [objective(arc, [HELD] * n)["kind"] for n in (0, 1)] == ["explore", "fetch"]


def test_a_quest_asks_for_no_more_than_those_can_do_who_have_to_take_part() -> None:
    quest = {"action": "hunt", "reward": "gold", "count": 25, "depth": 3}
    alone, many = (objective(plan(TOLD, n, START_MS, {"1": quest}), [])["count"] for n in (1, 1_000))
    assert (alone, many) == (DEEDS_EACH_MAX, 25)


@pytest.mark.parametrize("kind", sorted({kind for kinds in QUESTS.values() for kind in kinds} - {"gold"}))
def test_every_kind_of_quest_for_an_arc_has_words(kind: str) -> None:
    designed_for_arcs = {each for stage in ("opening", "middle", "final") for each in QUESTS[stage]}
    assert (kind in TASKS) == (kind in designed_for_arcs)


def test_an_arc_that_carries_on_begins_with_the_end_of_the_one_before_and_in_its_tone() -> None:
    before = {"title": "The Song of Ashes", "ending": "The Hollow Choir has won, for now.", "tone": "wry"}
    alone, carried = plan({**TOLD, "tone": "grim"}, 8, START_MS), plan(TOLD, 8, START_MS, None, before)
    assert opening(carried, []) == (
        f"The Song of Ashes is not forgotten. The Hollow Choir has won, for now. {opening(alone, [])}"
    )
    assert (tone(alone, []), tone(carried, [])) == ("grim", "wry")


@given(CONTENTS, PLAYERS, QUESTS_OF_ANYBODY, BEFORE)
def test_a_plan_fits_an_event_and_holds_no_reserved_token(
    content: Mapping[str, Any], players: int, quests: Mapping[str, Any], before: Mapping[str, Any] | None
) -> None:
    told = canonical(plan(content, players, START_MS, quests, before))
    assert len(told.encode()) <= PLAN_BYTES_MAX
    assert not RESERVED.search(told)


def test_the_longest_words_fit_an_event() -> None:
    longest = "\U0001f409" * 300
    content = {"action": "betrayal", **dict.fromkeys(("antagonist", "tone", "title", "hook"), longest)}
    quests = {
        str(n): {"action": "escort", "reward": longest, "count": 10**9, "depth": 10**9} for n in range(1, CHAPTERS + 1)
    }
    before = {"title": longest[:80], "ending": longest[:80], "tone": "hopeful"}
    assert len(canonical(plan(content, 10**6, START_MS, quests, before)).encode()) <= PLAN_BYTES_MAX


@given(PLAYERS, st.data())
def test_too_few_or_too_little_lose_a_chapter_and_else_the_most_votes_win(players: int, data: st.DataObject) -> None:
    quests = {str(n): {"action": "rally", "count": 5, "reward": "gold"} for n in range(1, CHAPTERS + 1)}
    arc = read_back(plan(TOLD, players, START_MS, data.draw(st.sampled_from([{}, quests]))))
    path = data.draw(st.sampled_from([path[:n] for path in paths(arc) for n in range(CHAPTERS)]))
    reached, deeds = chapter(arc, path), objective(arc, path)["count"]
    assert reached is not None
    threshold, may_be = reached["participation_threshold"], options(arc, path)
    votes = data.draw(st.dictionaries(st.sampled_from([*may_be, "nonsense", LOST]), st.integers(0, 9)))
    assert branch_of(arc, path, threshold - 1, deeds, votes) == LOST
    assert branch_of(arc, path, threshold, deeds - 1, votes) == LOST
    won = branch_of(arc, path, threshold, deeds, votes)
    assert won in may_be
    assert votes.get(won, 0) == max(votes.get(option, 0) for option in may_be)
    assert branch_of(arc, path, threshold, deeds, dict(reversed(votes.items()))) == won


def test_with_as_many_votes_the_first_option_wins_however_the_plan_was_stored() -> None:
    arc = read_back(plan(TOLD, 8, START_MS))
    assert branch_of(arc, [HELD], 8, 0, {}) == "strike"
    assert branch_of(arc, [HELD], 8, 0, {"parley": 2, "strike": 2}) == "strike"


def test_a_storyline_by_which_no_arc_begins_begins_none() -> None:
    assert begun(effective("storyline", NO_ARC, content='{"title":"No New Story"}')) is None
    assert begun(effective("economy", "plague")) is None
    assert begun(effective("storyline", "plague", content='{"title":"The Well","action":"no_arc"}')) == {
        "title": "The Well",
        "theme": "plague",
    }


def test_the_storytellers_words_are_told() -> None:
    arc = plan(TOLD, 8, START_MS)
    assert (arc["theme"], arc["title"], arc["hook"]) == ("plague", "The Price of Salt", "The cure is sold.")
    assert "the Iron Abbess" in arc["chapters"][0]["text"]


@pytest.mark.parametrize("theme", THEMES)
def test_every_theme_is_a_whole_arc_without_further_words(theme: str) -> None:
    arc = plan({"action": theme}, 8, START_MS)
    assert arc["theme"] == theme
    assert arc["title"]
    assert arc["hook"]
    assert "{" not in canonical([chapter["text"] for chapter in arc["chapters"]])
    assert theme in AGENTS["storyline"].legal_actions({})
