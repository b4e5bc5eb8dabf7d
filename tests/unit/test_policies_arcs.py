"""Arcs: a storyline becomes five chapters, each opened and closed once by the world's clock, with who took part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from inference.arc import CHAPTER_MS, CHAPTERS, plan
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
CONTENT = {"theme": "invasion", "title": TITLE, "antagonist": "Skar"}


def storyline(decision_id: str = "d1") -> Event:
    return event(
        DecisionEffective(
            decision_id=decision_id, agent="storyline", action="invasion", content=orjson.dumps(CONTENT).decode()
        )
    )


def memory(action: str = "carry_on") -> Event:
    about = orjson.dumps({"title": TITLE}).decode()
    return event(DecisionEffective(decision_id="m", agent="memory", action=action, about=about))


def quest(chapter: int) -> Event:
    about = orjson.dumps({"title": TITLE, "chapter": chapter, "count": 5 * chapter, "depth": chapter}).decode()
    content = '{"action":"hunt","reward":"gold"}'
    return event(
        DecisionEffective(decision_id=f"q{chapter}", agent="quest", action="hunt", content=content, about=about)
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
    assert kept["quests"]["3"] == {"action": "hunt", "reward": "gold", "count": 15, "depth": 3}
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
    events = [*started(), *crowd(1, PlaceEntered(zone="Mines 2")), closing(1)]
    said = run(arcs, events)[1]
    (closed,) = of(said, ChapterClosed)
    assert (closed.participants, closed.participation_threshold, closed.branch) == (1, 2, "lost")
    assert of(said, ChapterOpened)[1].text.startswith("Too few heroes came.")


def votes(arc: str, *options: str) -> list[Event]:
    return [event(FlagSet(quest=arc, flag=option, value=1), f"hero-{n}") for n, option in enumerate(options)]


def test_players_choose_the_branch_of_a_chapter_and_only_among_its_options() -> None:
    state, said = run(arcs, [*started(), closing(1)])
    arc = of(said, ArcStarted)[0].arc
    chosen = votes(arc, "parley", "parley", "strike", "burn it all", "burn it all", "burn it all")
    again = votes(arc, "parley", "parley")
    elsewhere = votes("another arc", "strike", "strike", "strike")
    closed = of(run(arcs, [*chosen, *again, *elsewhere, closing(2)], state)[1], ChapterClosed)
    assert (closed[0].chapter, closed[0].participants, closed[0].branch) == (2, 3, "parley")


def test_every_kind_of_objective_can_be_met() -> None:
    facts = {
        "place_entered": PlaceEntered(zone="Mines 1"),
        "gold_gained": GoldGained(amount=1),
        "player_levelled": PlayerLevelled(level=2),
        "depth_reached": DepthReached(depth=3),
    }
    state, _ = run(arcs, started())
    for chapter in range(1, CHAPTERS + 1):
        kind = plan(CONTENT, 8, 0)["chapters"][chapter - 1]["objective"]["kind"]
        state, said = run(arcs, [*crowd(4, facts[TAKES_PART[kind]]), closing(chapter)], state)
        (closed,) = of(said, ChapterClosed)
        assert (closed.chapter, closed.participants) == (chapter, 4)


@pytest.mark.parametrize("content", ["", "[]", '{"title": 7}', '{"title": "' + "x" * 3_000 + '", "antagonist": null}'])
def test_whatever_a_storyline_holds_an_arc_can_be_told(content: str) -> None:
    odd = event(DecisionEffective(decision_id="odd", agent="storyline", action="?", content=content))
    said = run(arcs, [tick(MIDNIGHT_MS), odd, tick(MIDNIGHT_MS + WAIT_MS), tick(MIDNIGHT_MS + 6 * CHAPTER_MS)])[1]
    assert len(of(said, ChapterClosed)) == CHAPTERS
    assert all(fact.ByteSize() < 10_000 for _, fact in said)
