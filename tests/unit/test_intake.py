"""Intake: columns and records agree, whatever is on the log; each record is an event, a repeat or a dead letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from projections import PROJECTIONS
from projections.dots import HOLES_MAX, Dots, Origin
from projections.fold import Fold
from schemas import (
    TOPICS,
    DeadLettered,
    DecisionRequested,
    Event,
    GoldGained,
    PermanentError,
    PlayerScored,
    WorldChanged,
)
from schemas.limits import ORIGIN_BYTES_MAX, SEQUENCE_MAX
from schemas.stamps import FUTURE_LIMIT_MS, pack, time_ms
from streams.positions import Position
from streams.processors.intake import Intake
from streams.processors.taken import PAST_MATTERING_MS, Taken
from streams.records import Record, Records
from tests.strategies import events

FOLD = Fold(PROJECTIONS)
A, B = TP("players.actions.v1", 0), TP("players.actions.v1", 1)
NEVER, ALWAYS = 10**9, 0
NOW_MS = 1_000_000


def log(found: Sequence[Event | bytes | None], start: int = 0) -> Records:
    """Records appended when their latest event was stamped."""
    now_ms = max((time_ms(one.stamp) for one in found if isinstance(one, Event)), default=0)
    values = [one.SerializeToString() if isinstance(one, Event) else one for one in found]
    return Records.of([Record(offset, now_ms, b"k", value) for offset, value in enumerate(values, start)], start)


def at(stored: int = 0, **said: int) -> Position:
    return Position(7, stored, stored, Dots(), **said)


def take(
    polled: Mapping[TP, Records], columns_from: int, positions: dict[TP, Position] | None = None
) -> tuple[Taken, dict[TP, Position]]:
    standing = positions if positions is not None else {tp: at(records.low) for tp, records in polled.items()}
    intake = Intake("fold", columns_events_min=columns_from)
    taken = intake.read(intake.shares(polled, standing)).admit()
    taken.settle()
    return taken, standing


def both_ways(polled: Mapping[TP, Records]) -> Taken:
    by_columns, columns_at = take(polled, ALWAYS)
    by_record, records_at = take(polled, NEVER)
    assert by_columns.moves == by_record.moves
    assert by_columns.dead == by_record.dead
    assert by_columns.duplicates == by_record.duplicates
    assert by_columns.stamps.tolist() == by_record.stamps.tolist()
    assert [list(records) for records in by_columns.records.values()] == [
        list(records) for records in by_record.records.values()
    ]
    assert by_columns.admitted == by_record.admitted
    assert columns_at == records_at
    assert FOLD.events(one.event for one in by_record.admitted) == (
        FOLD.events(one.event for one in by_columns.admitted)
        if by_columns.frame is None
        else FOLD.columns(by_columns.frame, checked=True)
    )
    return by_record


def reasons(polled: Mapping[TP, Records]) -> list[str]:
    return [letter.reason for letter in both_ways(polled).dead]


def scored(sequence: int = 1, *, points: int = 1, origin: str = "o", time_ms: int = NOW_MS) -> Event:
    return Event(
        id=b"i" * 16,
        subject="hero",
        stamp=pack(time_ms),
        region="local",
        origin=origin,
        sequence=sequence,
        player_scored=PlayerScored(points=points),
    )


any_events = events(largest=10**6)
rubbish = st.sampled_from([b"\xff\xff\xff", b"", None])
mangled = st.builds(
    lambda event, origin, sequence, stamp: _changed(event, origin, sequence, stamp),
    any_events,
    st.sampled_from(["o", "", "a\0b", "x" * ORIGIN_BYTES_MAX, "ö" * ORIGIN_BYTES_MAX, "x" * 5_000]),
    st.sampled_from([0, 1, 2, SEQUENCE_MAX, SEQUENCE_MAX + 1, 2**63, 2**64 - 1]),
    st.sampled_from([0, 1, pack(NOW_MS), 2**63, 2**64 - 1]),
)


def _foldable(event: Event) -> bool:
    try:
        FOLD.check(event)
    except PermanentError:
        return False
    return True


def _changed(event: Event, origin: str, sequence: int, stamp: int) -> Event:
    event.origin, event.sequence, event.stamp = origin, sequence, stamp
    return event


@given(st.lists(st.lists(st.one_of(any_events, mangled, rubbish), max_size=20), min_size=1, max_size=2))
def test_columns_and_records_agree_and_each_record_is_one_thing(found: list[list[Event | bytes | None]]) -> None:
    polled = {tp: log(part) for tp, part in zip((A, B), found, strict=False) if part}
    if polled:
        taken = both_ways(polled)
        assert taken.events + taken.duplicates + len(taken.dead) == sum(map(len, polled.values()))


@given(st.lists(events(TOPICS[A.topic].facts, largest=10**6).filter(_foldable), min_size=1, max_size=30))
def test_the_facts_of_a_topic_are_taken_up_as_columns(found: list[Event]) -> None:
    for event in found:
        event.sequence = event.sequence % 40 + 1
    assert take({A: log(found)}, ALWAYS)[0].frame is not None
    both_ways({A: log(found)})


@pytest.mark.parametrize(
    ("origin", "sequence"),
    [("o", 0), ("o", 2**63), ("o", 2**64 - 1), ("", 1), ("a\0b", 1), ("x" * 5_000, 1), ("ö" * 129, 1)],
)
def test_what_has_no_dot_is_a_dead_letter_that_says_what_a_dot_is(origin: str, sequence: int) -> None:
    taken = both_ways({A: log([scored(1), scored(sequence, origin=origin), scored(2)])})
    assert [(letter.reason, letter.offset) for letter in taken.dead] == [("no_dot", 1)]
    assert "counted from 1" in taken.dead[0].detail
    assert taken.events == 2


def test_an_event_counted_from_zero_is_refused_and_those_after_it_are_taken() -> None:
    taken = both_ways({A: log([scored(number) for number in range(5)])})
    assert (taken.events, taken.duplicates, len(taken.dead)) == (4, 0, 1)


def test_a_fact_in_a_topic_that_is_not_its_own_is_refused() -> None:
    gold = scored()
    gold.gold_gained.CopyFrom(GoldGained(amount=5, reason="theft"))
    for topic in ("costs.samples.v1", "dead.letters.v1", "ai.decisions.v1"):
        assert reasons({TP(topic, 0): log([gold])}) == ["foreign_fact"]
    told = scored()
    told.dead_lettered.CopyFrom(DeadLettered(reason="undecodable"))
    assert reasons({TP("dead.letters.v1", 0): log([told])}) == []
    assert reasons({TP("costs.samples.v1", 0): log([told]), A: log([gold])}) == ["foreign_fact"]
    assert reasons({TP("a.topic.of.ones.own", 0): log([gold])}) == []


def test_every_topic_takes_its_own_facts() -> None:
    for topic in TOPICS.values():
        event = scored()
        for number, fact in enumerate(topic.facts, start=1):
            event.ClearField("fact")
            getattr(event, fact).SetInParent()
            event.sequence = number
            assert reasons({TP(topic.name, 0): log([event])}) == []


def test_a_stamp_from_the_future_is_refused_and_its_number_is_no_gap() -> None:
    records = [
        Record(0, NOW_MS, b"", scored(1).SerializeToString()),
        Record(1, NOW_MS, b"", scored(2, time_ms=NOW_MS + 1 + FUTURE_LIMIT_MS).SerializeToString()),
        Record(2, NOW_MS, b"", scored(3).SerializeToString()),
    ]
    for columns_from in (ALWAYS, NEVER):
        taken, positions = take({A: Records.of(records)}, columns_from)
        assert [(letter.reason, letter.offset) for letter in taken.dead] == [("future_stamp", 1)]
        assert positions[A].dots.origins["o"] == Origin(3)


def test_an_unknown_fact_and_a_value_too_large_are_told_apart() -> None:
    unknown = Event(id=b"u" * 16, subject="hero", stamp=pack(NOW_MS), region="local", origin="v", sequence=1)
    assert reasons({A: log([scored(1), unknown, scored(2, points=2**63)])}) == ["unknown_fact", "fold_failed"]


def test_a_value_that_no_projection_reads_is_refused_too_before_it_stops_a_role_that_does() -> None:
    changed, asked = scored(), scored(2)
    changed.world_changed.CopyFrom(WorldChanged(version=2**64 - 1))
    asked.decision_requested.CopyFrom(DecisionRequested(decision_id="d", legal_actions=["greet", "a\0b"]))
    assert reasons({TP("world.facts.v1", 0): log([changed])}) == ["fold_failed"]
    assert reasons({TP("ai.requests.gold.v1", 0): log([asked])}) == ["fold_failed"]


def test_what_was_taken_up_before_is_not_taken_up_again() -> None:
    positions = {A: at()}
    first, _ = take({A: log([scored(1), scored(2)])}, NEVER, positions)
    again, _ = take({A: log([scored(1), scored(2), scored(3)])}, NEVER, positions)
    moves = [*first.moves, *again.moves]
    assert [(move.low, move.high, move.events) for move in moves] == [(0, 2, 2), (2, 3, 1)]
    assert Intake("fold").shares({A: log([scored(1)])}, positions) == []


def test_a_stretch_without_a_record_moves_the_position_over_it() -> None:
    taken, positions = take({A: Records.of([], 4, 9)}, NEVER)
    assert [(move.low, move.high, move.events, move.passed) for move in taken.moves] == [(4, 9, 0, 5)]
    assert positions[A].reading == 9
    both_ways({A: Records.of([], 4, 9), B: log([scored(1)])})


def test_moves_keep_the_dots_of_their_own_time() -> None:
    positions = {A: at()}
    first, _ = take({A: log([scored(1)])}, NEVER, positions)
    take({A: log([scored(2)], start=1)}, NEVER, positions)
    assert first.moves[0].origins["o"].last == 1


def test_an_event_among_gaps_that_were_given_up_is_not_called_a_repeat() -> None:
    dots = Dots()
    for sequence in range(2, 2 * HOLES_MAX + 12, 2):
        dots.admit("o", sequence)
    for columns_from in (ALWAYS, NEVER):
        taken, _ = take({A: log([scored(1)])}, columns_from, {A: Position(7, 0, 0, dots)})
        assert [letter.reason for letter in taken.dead] == ["dot_unknown"]
        assert taken.duplicates == 0


def test_an_unknown_life_from_before_forgotten_ones_is_refused_and_a_later_one_taken() -> None:
    old, new = scored(3, origin="old"), scored(1, origin="new", time_ms=NOW_MS + 1)
    for columns_from in (ALWAYS, NEVER):
        positions = {A: at(forgotten_stamp=pack(NOW_MS))}
        taken, _ = take({A: log([old, new])}, columns_from, positions)
        assert [letter.reason for letter in taken.dead] == ["life_forgotten"]
        assert [one.event.origin for one in taken.admitted] == ["new"]


def test_while_no_life_has_been_forgotten_a_stamp_of_nought_is_taken() -> None:
    assert reasons({A: log([scored(1, time_ms=0)])}) == []


def test_what_was_there_long_before_the_group_came_is_past() -> None:
    records = log([scored(1)])
    for born_ms, past in ((0, False), (NOW_MS + PAST_MATTERING_MS, False), (NOW_MS + PAST_MATTERING_MS + 1, True)):
        for columns_from in (ALWAYS, NEVER):
            taken, _ = take({A: records}, columns_from, {A: at(born_ms=born_ms)})
            assert [one.past for one in taken.admitted] == [past]


def test_a_mistake_in_an_upcast_isolates_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(event: Event) -> Event:
        raise KeyError(event.sequence)

    monkeypatch.setattr("streams.processors.record_rules.upcast", broken)
    taken, _ = take({A: log([scored(1)])}, NEVER)
    assert [letter.reason for letter in taken.dead] == ["intake_failed"]
