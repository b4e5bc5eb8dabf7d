"""Taking up a poll: columns and Python agree, whatever is in it."""

from __future__ import annotations

from dataclasses import dataclass

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from projections import PROJECTIONS
from projections.decoding import Decoder
from projections.dots import Dots
from projections.fold import Fold
from schemas import Event, PermanentError, PlayerMoved, PlayerScored
from schemas.stamps import FUTURE_LIMIT_MS, pack, time_ms
from streams.positions import Position
from streams.processors.taking import Taken, Taking
from tests.strategies import events

FOLD, DECODER = Fold(PROJECTIONS), Decoder(PROJECTIONS)
A, B = TP("players.actions.v1", 0), TP("players.actions.v1", 1)
NEVER, ALWAYS = 10**9, 0


@dataclass(frozen=True)
class Record:
    offset: int
    value: bytes | None
    timestamp: int
    key: bytes | None = None


def log(found: list[Event | bytes | None], start: int = 0) -> list[Record]:
    """Records appended when their event was stamped; rubbish in between at the time of the latest."""
    records, now_ms = [], max((time_ms(e.stamp) for e in found if isinstance(e, Event)), default=0)
    for offset, one in enumerate(found, start):
        records.append(Record(offset, one.SerializeToString() if isinstance(one, Event) else one, now_ms))
    return records


def take(records: dict[TP, list[Record]], columns_from: int) -> tuple[Taken | None, dict[TP, Position]]:
    positions = {tp: Position(7, 0, 0, Dots()) for tp in records}
    return Taking(FOLD, DECODER, "fold", columns_events_min=columns_from).take(records, positions), positions


def foldable(event: Event) -> bool:
    try:
        FOLD.check(event)
    except PermanentError:
        return False
    return True


foldables = events(largest=10**6).filter(foldable)
numbered = st.lists(foldables, max_size=30)
rubbish = st.sampled_from([b"\xff\xff\xff", b"", None])


@given(st.lists(numbered, min_size=1, max_size=2))
def test_columns_and_python_take_up_the_same(found: list[list[Event]]) -> None:
    records = {tp: log([*part]) for tp, part in zip((A, B), found, strict=False)}
    by_columns, columns_at = take(records, ALWAYS)
    by_event, events_at = take(records, NEVER)
    if by_columns is None or by_event is None:
        assert by_columns is by_event
        return
    assert by_columns.deltas == by_event.deltas
    assert by_columns.moves == by_event.moves
    assert by_columns.dead == by_event.dead
    assert by_columns.duplicates == by_event.duplicates
    assert by_columns.stamped_ms.tolist() == by_event.stamped_ms.tolist()
    assert columns_at == events_at


@given(st.lists(st.one_of(foldables, rubbish), max_size=30))
def test_rubbish_is_isolated_and_every_neighbour_counted(found: list[Event | bytes | None]) -> None:
    taken, positions = take({A: log(found)}, ALWAYS)
    if not found:
        assert taken is None
        return
    assert taken is not None
    good = [one for one in found if isinstance(one, Event)]
    dots = {(event.origin, event.sequence) for event in good}
    assert taken.events == len(dots)
    assert taken.duplicates == len(good) - len(dots)
    assert [letter.value for letter in taken.dead] == [one for one in found if not isinstance(one, Event)]
    assert positions[A].reading == len(found)


def scored(sequence: int, points: int = 1, time_ms: int = 1_000_000) -> Event:
    return Event(
        id=b"i" * 16,
        subject="hero",
        stamp=pack(time_ms),
        region="local",
        origin="o",
        sequence=sequence,
        player_scored=PlayerScored(points=points),
    )


def test_what_was_taken_up_before_is_not_taken_up_again() -> None:
    taking, positions = Taking(FOLD, DECODER, "fold"), {A: Position(1, 0, 0, Dots())}
    records = log([scored(1), scored(2)])
    first = taking.take({A: records}, positions)
    again = taking.take({A: [*records, *log([scored(3)], start=2)]}, positions)
    assert first is not None
    assert again is not None
    assert [(move.low, move.high, move.events) for move in (*first.moves, *again.moves)] == [(0, 2, 2), (2, 3, 1)]
    assert taking.take({A: records}, positions) is None


def test_a_stamp_from_the_future_is_a_dead_letter_and_leaves_its_dot_free() -> None:
    early, late = scored(1), scored(2, time_ms=1_000_001 + FUTURE_LIMIT_MS)
    records = [Record(0, early.SerializeToString(), 1_000_000), Record(1, late.SerializeToString(), 1_000_000)]
    for columns_from in (ALWAYS, NEVER):
        taken, positions = take({A: records}, columns_from)
        assert taken is not None
        assert [(x.reason, x.offset) for x in taken.dead] == [("future_stamp", 1)]
        assert positions[A].dots.origins["o"].last == 1


def test_an_unknown_fact_and_a_value_too_large_are_told_apart() -> None:
    unknown = Event(id=b"u" * 16, subject="hero", stamp=pack(1_000_000), region="local", origin="v", sequence=1)
    taken, _ = take({A: log([scored(1), unknown, scored(2, points=2**63)])}, ALWAYS)
    assert taken is not None
    assert [letter.reason for letter in taken.dead] == ["unknown_fact", "fold_failed"]
    assert taken.events == 1


def test_moves_carry_copies_of_the_dots() -> None:
    taking, positions = Taking(FOLD, DECODER, "fold"), {A: Position(1, 0, 0, Dots())}
    first = taking.take({A: log([scored(1)])}, positions)
    taking.take({A: log([scored(2)], start=1)}, positions)
    assert first is not None
    assert first.moves[0].origins["o"].last == 1


def test_a_record_of_a_fact_that_no_projection_uses_counts_as_folded() -> None:
    said = scored(1)
    said.player_said.text = "hail"
    taken, _ = take({A: log([said]), B: log([Event.FromString(_moved().SerializeToString())])}, ALWAYS)
    assert taken is not None
    assert taken.events == 2
    assert set(taken.deltas) == {"players"}


def _moved() -> Event:
    event = scored(1)
    event.player_moved.CopyFrom(PlayerMoved(zone="keep", x=1, y=2))
    return event
