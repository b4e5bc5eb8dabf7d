"""Arcs: a storyline becomes five chapters, each opened and closed once by the world's clock, with who took part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from inference.agents import AGENTS
from inference.agents.quest import LEGAL as QUESTS
from inference.arc import CHAPTER_MS, CHAPTERS, DEEDS_EACH_MAX, NO_ARC, plan
from inference.requests import requests_for
from inference.stories import OBJECTIVES, WAYS
from schemas import (
    Announced,
    ArcStarted,
    ChapterClosed,
    ChapterOpened,
    DecisionEffective,
    DepthReached,
    Event,
    FlagSet,
    GoldGained,
    PlaceEntered,
    PlayerLevelled,
)
from streams.policies.arcs import ARCS_OPEN_MAX, TAKES_PART, WAIT_MS, arcs
from tests.policies import HOUR_MS, MIDNIGHT_MS, event, run, tick

TITLE = "The Horn of the Deep"
# When the next arc is due.
FORTNIGHT_MS = MIDNIGHT_MS + 14 * 24 * HOUR_MS
# One of each that an objective may ask for.
FACTS = (PlaceEntered(zone="x", depth=9), GoldGained(amount=1), PlayerLevelled(level=2), DepthReached(depth=9))
CONTENT = {"theme": "invasion", "title": TITLE, "antagonist": "Skar"}


def storyline(decision_id: str = "d1", title: str = TITLE, action: str = "invasion", at_ms: int = MIDNIGHT_MS) -> Event:
    content = orjson.dumps({**CONTENT, "title": title}).decode()
    effect = DecisionEffective(decision_id=decision_id, agent="storyline", action=action, content=content)
    return event(effect, at_ms=at_ms)


def memory(action: str = "carry_on", title: str = TITLE) -> Event:
    about = orjson.dumps({"title": title}).decode()
    return event(DecisionEffective(decision_id="m", agent="memory", action=action, about=about))


def quest(chapter: int, action: str = "explore", count: int = 2, depth: int = 0) -> Event:
    about = orjson.dumps({"title": TITLE, "chapter": chapter, "count": count, "depth": depth}).decode()
    content = orjson.dumps({"action": action, "reward": "gold"}).decode()
    return event(
        DecisionEffective(decision_id=f"q{chapter}", agent="quest", action=action, content=content, about=about)
    )


def crowd(players: int, *facts: Message) -> list[Event]:
    return [event(fact, f"hero-{n}") for n in range(players) for fact in facts]


def started(players: int = 8) -> list[Event]:
    visits = crowd(players, PlaceEntered(zone="Mines 1"))
    return [tick(MIDNIGHT_MS), *visits, storyline(), memory(), *map(quest, range(1, CHAPTERS + 1))]


def of(said: Iterable[tuple[str, Any]], kind: type[Message]) -> list[Any]:
    return [fact for _, fact in said if isinstance(fact, kind)]


def closing(chapter: int) -> Event:
    return tick(MIDNIGHT_MS + chapter * CHAPTER_MS)


def test_an_arc_starts_when_memory_and_quests_have_had_their_say() -> None:
    events = started()
    assert run(arcs, events[:-1])[1] == []
    state, said = run(arcs, events)
    (begun,) = of(said, ArcStarted)
    assert said[0] == (begun.arc, begun)
    assert begun.title == TITLE
    kept = orjson.loads(begun.plan)
    assert kept["memory"] == "carry_on"
    third = kept["chapters"][2]["objective"]
    assert third == {"kind": "explore", "count": 2, "depth": 0, "reward": "gold", "text": third["text"]}
    assert len(kept["chapters"]) == CHAPTERS
    assert begun.participation_threshold == kept["chapters"][0]["participation_threshold"] == 2
    (opened,) = of(said, ChapterOpened)
    assert (opened.chapter, opened.due_ms) == (1, MIDNIGHT_MS)
    assert TITLE in of(said, Announced)[0].text
    assert not [name for name in state if name.startswith("tale:")]


def test_an_arc_whose_quests_never_come_starts_after_a_while() -> None:
    early, late = tick(MIDNIGHT_MS + WAIT_MS - 1), tick(MIDNIGHT_MS + WAIT_MS)
    assert run(arcs, [tick(MIDNIGHT_MS), storyline(), early])[1] == []
    assert len(of(run(arcs, [tick(MIDNIGHT_MS), storyline(), early, late])[1], ArcStarted)) == 1


def test_the_same_storyline_twice_is_one_arc() -> None:
    said = run(arcs, [*started(), storyline(), memory(), *map(quest, range(1, 6)), tick(MIDNIGHT_MS + WAIT_MS)])[1]
    assert len(of(said, ArcStarted)) == 1


def test_only_so_many_arcs_are_told_at_once() -> None:
    stories = [storyline(f"d{n}") for n in range(5)]
    said = run(arcs, [tick(MIDNIGHT_MS), *stories, tick(MIDNIGHT_MS + WAIT_MS)])[1]
    assert len(of(said, ArcStarted)) == ARCS_OPEN_MAX


@given(st.lists(st.integers(0, int(5.5 * CHAPTER_MS)), max_size=30), st.data())
def test_chapters_open_and_close_once_each_and_in_turn_however_the_clock_ticks(
    offsets: list[int], data: st.DataObject
) -> None:
    ticks = [tick(MIDNIGHT_MS + offset) for offset in [*offsets, 6 * CHAPTER_MS]]
    events = [*started(), *ticks]
    state, said = run(arcs, events)
    turns = [(type(fact).__name__, fact.chapter) for _, fact in said if isinstance(fact, ChapterOpened | ChapterClosed)]
    assert turns == [
        (kind, chapter) for chapter in range(1, CHAPTERS + 1) for kind in ("ChapterOpened", "ChapterClosed")
    ]
    assert [opened.due_ms for opened in of(said, ChapterOpened)] == [
        MIDNIGHT_MS + n * CHAPTER_MS for n in range(CHAPTERS)
    ]
    assert not [name for name in state if name.startswith(("arc:", "plan:", "tale:"))]
    cut = data.draw(st.integers(0, len(events)))
    half, first = run(arcs, events[:cut])
    again, second = run(arcs, events[cut:], half)
    assert (first + second, again) == (said, state)


def test_five_chapters_fit_in_the_fourteen_days_between_two_arcs() -> None:
    chapters = plan(CONTENT, 8, 0)["chapters"]
    assert chapters[-1]["closes_ms"] <= 14 * 24 * HOUR_MS


def test_players_take_part_by_what_the_chapter_asks_for_and_count_once() -> None:
    events = [*started(), *crowd(3, PlaceEntered(zone="Mines 2"), PlaceEntered(zone="Mines 3"))]
    events += [*crowd(5, GoldGained(amount=9)), closing(1)]
    (closed,) = of(run(arcs, events)[1], ChapterClosed)
    assert (closed.chapter, closed.participants, closed.branch) == (1, 3, "held")


def test_a_chapter_to_which_too_few_come_is_lost() -> None:
    events = [*started(), *crowd(1, *[PlaceEntered(zone="Mines 2")] * 9), closing(1)]
    said = run(arcs, events)[1]
    (closed,) = of(said, ChapterClosed)
    assert (closed.participants, closed.participation_threshold, closed.branch) == (1, 2, "lost")
    assert of(said, ChapterOpened)[1].text.startswith("Too few heroes did too little.")


@pytest.mark.parametrize(("deeds", "branch"), [(5, "lost"), (6, "held"), (7, "held")])
def test_a_chapter_is_lost_in_which_less_is_done_than_its_quest_asks_for(deeds: int, branch: str) -> None:
    visits = crowd(8, PlaceEntered(zone="Mines 1"))
    asked = [quest(1, count=6, depth=4), *(quest(n) for n in range(2, CHAPTERS + 1))]
    done = [event(PlaceEntered(zone="Mines 4", depth=4 + n % 2), f"hero-{n % 3}") for n in range(deeds)]
    # Elsewhere, or something else: it does not count.
    shallow = crowd(8, PlaceEntered(zone="Mines 3", depth=3), DepthReached(depth=9))
    said = run(arcs, [tick(MIDNIGHT_MS), *visits, storyline(), memory(), *asked, *done, *shallow, closing(1)])[1]
    (closed,) = of(said, ChapterClosed)
    assert (closed.participants, closed.branch) == (3, branch)
    opened = of(said, ChapterOpened)[0].text
    assert "level 4" in opened
    assert "6 times" in opened


def votes(arc: str, *options: str) -> list[Event]:
    return [event(FlagSet(quest=arc, flag=option, value=1), f"hero-{n}") for n, option in enumerate(options)]


def test_players_choose_the_branch_of_a_chapter_and_only_among_its_options() -> None:
    state, said = run(arcs, [*started(), closing(1)])
    arc = of(said, ArcStarted)[0].arc
    chosen = votes(arc, "parley", "parley", "strike", "burn it all", "burn it all", "burn it all")
    again = votes(arc, "parley", "parley")
    elsewhere = votes("another arc", "strike", "strike", "strike")
    came = crowd(2, PlaceEntered(zone="Mines 1"))
    closed = of(run(arcs, [*chosen, *again, *elsewhere, *came, closing(2)], state)[1], ChapterClosed)
    assert (closed[0].chapter, closed[0].participants, closed[0].branch) == (2, 3, "parley")


def lived(*choices: str) -> tuple[list[Event], list[tuple[str, Any]]]:
    """An arc in which all heroes do all that there is to do, and choose so from the second chapter on."""
    events = started()
    (begun,) = of(run(arcs, events)[1], ArcStarted)
    for chapter in range(1, CHAPTERS + 1):
        chosen = votes(begun.arc, *[choices[chapter - 2]] * 8) if 2 <= chapter < CHAPTERS else []
        events += [*crowd(8, *FACTS * DEEDS_EACH_MAX), *chosen, closing(chapter)]
    return events, run(arcs, events)[1]


def test_what_players_choose_changes_the_following_chapters_and_the_end() -> None:
    _, war = lived("strike", "elders", "destroy")
    _, peace = lived("parley", "elders", "return")
    for said, end in ((war, "Skar is beaten, and there are many to bury."), (peace, "and old enemies share a fire.")):
        assert "lost" not in {closed.branch for closed in of(said, ChapterClosed)}
        assert of(said, Announced)[-1].text.endswith(end)
    changed = [n for n in range(CHAPTERS) if of(war, ChapterOpened)[n].text != of(peace, ChapterOpened)[n].text]
    assert changed == [2, 4]
    # An auditor finds in the plan on the log what each choice led to.
    kept = orjson.loads(of(peace, ArcStarted)[0].plan)
    assert kept["chapters"][1]["branches"]["parley"]["objective"]["text"] in of(peace, ChapterOpened)[2].text


def after(at_ms: int, title: str, *decided: str) -> list[Event]:
    """A storyline of another arc, and what memory decides for it, if anything."""
    told = [storyline(title, title, at_ms=at_ms), *(memory(action, title) for action in decided)]
    return [tick(at_ms), *told, tick(at_ms + WAIT_MS)]


@pytest.mark.parametrize("decided", [["carry_on"], ["lay_to_rest"], []])
def test_what_memory_carries_on_appears_in_the_next_arc(decided: list[str]) -> None:
    events, said = lived("parley", "elders", "return")
    ending = of(said, Announced)[-1].text.removeprefix(f"{TITLE}: ")
    opened = of(run(arcs, [*events, *after(FORTNIGHT_MS, "The Well", *decided)])[1], ChapterOpened)
    assert len(opened) == CHAPTERS + 1
    assert opened[-1].text.startswith(f"{TITLE} is not forgotten. {ending}") == (decided == ["carry_on"])
    assert (TITLE in opened[-1].text) == (decided == ["carry_on"])


@pytest.mark.parametrize(("decided", "is_left"), [(["carry_on"], False), (["lay_to_rest"], False), ([], True)])
def test_what_was_carried_on_or_laid_to_rest_is_not_taken_up_a_second_time(decided: list[str], is_left: bool) -> None:
    events, _ = lived("parley", "elders", "return")
    events += after(FORTNIGHT_MS, "The Well", *decided)
    opened = of(run(arcs, [*events, *after(FORTNIGHT_MS + HOUR_MS, "The Pit", "carry_on")])[1], ChapterOpened)
    assert len(opened) == CHAPTERS + 2
    assert (TITLE in opened[-1].text) == is_left


def test_by_a_storyline_of_no_arc_none_starts_and_the_next_one_does() -> None:
    none = storyline("d0", action=NO_ARC)
    state, said = run(arcs, [tick(MIDNIGHT_MS), none, tick(MIDNIGHT_MS + WAIT_MS), tick(MIDNIGHT_MS + CHAPTER_MS)])
    assert said == []
    assert set(state) == {"now_ms"}
    assert requests_for(none, AGENTS) == []
    assert len(of(run(arcs, after(FORTNIGHT_MS, TITLE), state)[1], ArcStarted)) == 1


def test_an_arc_that_was_approved_late_starts_right_then_with_all_its_chapters() -> None:
    late_ms = MIDNIGHT_MS + 35 * HOUR_MS
    ticks = [tick(MIDNIGHT_MS + hour * HOUR_MS) for hour in range(36)]
    approved = [storyline(at_ms=late_ms), memory(), *map(quest, range(1, CHAPTERS + 1))]
    said = run(arcs, [*ticks, *approved, tick(late_ms + 6 * CHAPTER_MS)])[1]
    (begun,) = of(said, ArcStarted)
    assert begun.start_ms == late_ms
    due = [late_ms + n * CHAPTER_MS for n in range(CHAPTERS)]
    assert [opened.due_ms for opened in of(said, ChapterOpened)] == due
    assert due[-1] + CHAPTER_MS <= FORTNIGHT_MS, "it is over when the next one is due"


def test_arcs_of_the_first_version_end_and_all_else_is_kept() -> None:
    players = {"day": 1, "today": [1], "yesterday": []}
    kept = {"now_ms": 7, "players": players, "seen": ["d"]}
    assert arcs.upgrade is not None
    assert arcs.upgrade(1, {**kept, "arc:a": {"chapter": 2}, "plan:a": {}, "tale:b": {}}) == kept


def test_every_kind_of_objective_that_there_is_can_be_met() -> None:
    kinds = {kind for kind, _ in OBJECTIVES} | {turn[0] for _, _, turn in WAYS.values() if turn}
    kinds |= {kind for stage in ("opening", "middle", "final") for kind in QUESTS[stage]}
    assert kinds == set(TAKES_PART)
    deeds = {name for facts in TAKES_PART.values() for name in facts}
    assert deeds == {event(fact).WhichOneof("fact") for fact in FACTS}


@pytest.mark.parametrize("quests", [[], [quest(n, "guard", depth=3) for n in range(1, CHAPTERS + 1)]])
def test_an_arc_can_be_won_with_quests_and_without(quests: list[Event]) -> None:
    visits = crowd(8, PlaceEntered(zone="Mines 1"))
    waited = [tick(MIDNIGHT_MS), *visits, storyline(), memory(), *quests, tick(MIDNIGHT_MS + WAIT_MS)]
    state, said = run(arcs, waited)
    for chapter in range(1, CHAPTERS + 1):
        state, more = run(arcs, [*crowd(4, *FACTS), tick(MIDNIGHT_MS + WAIT_MS + chapter * CHAPTER_MS)], state)
        said += more
        closed = of(more, ChapterClosed)
        assert [(each.chapter, each.participants) for each in closed] == [(chapter, 4)]
    assert "lost" not in {closed.branch for closed in of(said, ChapterClosed)}


@pytest.mark.parametrize("content", ["", "[]", '{"title": 7}', '{"title": "' + "x" * 3_000 + '", "antagonist": null}'])
def test_whatever_a_storyline_holds_an_arc_can_be_told(content: str) -> None:
    odd = event(DecisionEffective(decision_id="odd", agent="storyline", action="?", content=content))
    said = run(arcs, [tick(MIDNIGHT_MS), odd, tick(MIDNIGHT_MS + WAIT_MS), tick(MIDNIGHT_MS + 6 * CHAPTER_MS)])[1]
    assert len(of(said, ChapterClosed)) == CHAPTERS
    assert all(fact.ByteSize() < 10_000 for _, fact in said)
