"""Arcs: five chapters, two or three choices, and a way on from every branch, whatever the storyline's words hold."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import AGENTS
from inference.arc import (
    CHAPTERS,
    HELD,
    LOST,
    MANY_PLAYERS,
    THEMES,
    Plan,
    branch_of,
    ending,
    next_chapter,
    opening,
    plan,
)
from inference.prompts import RESERVED, canonical
from tests.strategies import ANY_TEXTS

START_MS = 1_800_000_000_000
ARC_MS = 14 * 86_400_000
# A plan is told in one event of at most 10 KB, beside what memory and quest add to it.
PLAN_BYTES_MAX = 6_500
FIELDS = st.sampled_from(["action", "antagonist", "tone", "title", "hook"])
CONTENTS = st.dictionaries(
    FIELDS, st.sampled_from(THEMES) | ANY_TEXTS | st.text(max_size=300) | st.integers() | st.none()
)
PLAYERS = st.integers(0, 1_000_000)
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


@given(CONTENTS, PLAYERS)
def test_every_branch_leads_to_a_later_chapter_or_the_end(content: Mapping[str, Any], players: int) -> None:
    # A plan is read back from the log, where the order of an object's keys means nothing.
    arc: Plan = orjson.loads(canonical(plan(content, players, START_MS)))
    for chapter in arc["chapters"]:
        number, branches = chapter["chapter"], set(chapter["branches"])
        assert LOST in branches
        assert branches - {LOST} == set(chapter["choice"]["options"] if chapter["choice"] else [HELD])
        for branch in branches:
            following = next_chapter(arc, number, branch)
            if following is None:
                assert number == CHAPTERS
                assert arc["antagonist"].lower() in ending(arc, branch).lower()
            else:
                assert following["chapter"] > number
                assert following["openings"][branch]
                assert opening(following, branch).endswith(following["text"])
    assert opening(arc["chapters"][0]) == arc["chapters"][0]["text"]


@given(CONTENTS, PLAYERS)
def test_a_plan_fits_an_event_and_holds_no_reserved_token(content: Mapping[str, Any], players: int) -> None:
    told = canonical(plan(content, players, START_MS))
    assert len(told.encode()) <= PLAN_BYTES_MAX
    assert not RESERVED.search(told)


@given(PLAYERS, st.data())
def test_too_few_lose_a_chapter_and_else_the_most_votes_win(players: int, data: st.DataObject) -> None:
    chapters = plan(TOLD, players, START_MS)["chapters"]
    chapter = data.draw(st.sampled_from(chapters))
    threshold, options = chapter["participation_threshold"], (chapter["choice"] or {"options": [HELD]})["options"]
    votes = data.draw(st.dictionaries(st.sampled_from([*options, "nonsense", LOST]), st.integers(0, 9)))
    assert branch_of(chapter, threshold - 1, votes) == LOST
    won = branch_of(chapter, threshold, votes)
    assert won in options
    assert votes.get(won, 0) == max(votes.get(option, 0) for option in options)
    assert branch_of(chapter, threshold, dict(reversed(votes.items()))) == won


def test_with_as_many_votes_the_first_option_wins_however_the_plan_was_stored() -> None:
    arc = orjson.loads(canonical(plan(TOLD, 8, START_MS)))
    assert branch_of(arc["chapters"][1], 8, {}) == "strike"
    assert branch_of(arc["chapters"][1], 8, {"parley": 2, "strike": 2}) == "strike"


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
