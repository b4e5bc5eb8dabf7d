"""Prefix and flow: positions never pass over what is not answered, and a full tier stops until half of it is done."""

from __future__ import annotations

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from projections.dots import Origin
from streams.positions import Move
from streams.processors.flow import Flow
from streams.processors.prefix import Piece, Prefix

TPS = [TP("ai.requests.gold.v1", partition) for partition in range(3)]


@given(sizes=st.lists(st.tuples(st.sampled_from(TPS), st.integers(0, 3)), max_size=12), data=st.data())
def test_positions_move_in_order_without_gaps_over_answered_pieces_only(
    sizes: list[tuple[TP, int]], data: st.DataObject
) -> None:
    prefix, ends, stored = Prefix(), dict.fromkeys(TPS, 0), dict.fromkeys(TPS, 0)
    pieces: list[Piece] = []
    for tp, events in sizes:
        low, high = ends[tp], ends[tp] + events + 1
        ends[tp] = high
        pieces.append(prefix.add(Move(tp, 1, low, high, events, high, {str(high): Origin(high)}), [], events))
    events_stored = 0
    for number in data.draw(
        st.permutations([index for index, piece in enumerate(pieces) for _ in range(piece.unanswered)])
    ):
        for move in prefix.pop()[0]:
            assert move.low == stored[move.tp]
            stored[move.tp] = move.high
            events_stored += move.events
            assert all(not one.unanswered for one in pieces if one.move.tp == move.tp and one.move.high <= move.high)
        pieces[number].unanswered -= 1
    for move in prefix.pop()[0]:
        assert move.low == stored[move.tp]
        stored[move.tp] = move.high
        events_stored += move.events
        assert move.stamp == move.high
    assert stored == ends
    assert events_stored == sum(events for _, events in sizes)
    assert not prefix


class Taps:
    """Which tiers are closed, of those that are served."""

    def __init__(self, *served: str) -> None:
        self.closed: set[str] = set()
        self._served = set(served)

    def close(self, tier: str) -> None:
        self.closed.add(tier)

    def open(self, tier: str) -> None:
        self.closed.remove(tier)

    def served(self) -> set[str]:
        return self._served


def flow_of(taps: Taps, at_most: int) -> Flow:
    return Flow({"gold": at_most, "bronze": at_most}, taps)


def test_a_full_tier_is_closed_and_opened_again_at_half() -> None:
    taps = Taps("gold", "bronze")
    flow = flow_of(taps, 4)
    for closed in (set(), set(), set(), {"bronze"}, {"bronze"}):
        flow.began("bronze")
        assert taps.closed == closed
    assert flow.room.is_set()
    for closed in ({"bronze"}, {"bronze"}, set(), set()):
        flow.ended("bronze")
        assert taps.closed == closed
    assert flow.in_hand == {"gold": 0, "bronze": 1}


def test_when_every_tier_is_full_there_is_no_room_and_nothing_more_is_closed() -> None:
    taps = Taps("gold", "bronze")
    flow = flow_of(taps, 1)
    flow.began("bronze")
    assert taps.closed == {"bronze"}
    flow.began("gold")
    assert (flow.room.is_set(), taps.closed) == (False, {"bronze"})
    flow.ended("bronze")
    assert (flow.room.is_set(), taps.closed) == (True, {"gold"})
    flow.ended("gold")
    assert taps.closed == set()


def test_a_worker_of_one_tier_never_closes_it() -> None:
    taps = Taps("gold")
    flow = Flow({"gold": 1}, taps)
    flow.began("gold")
    assert (flow.room.is_set(), taps.closed) == (False, set())
    flow.ended("gold")
    assert flow.room.is_set()


def test_what_is_dropped_opens_everything_and_no_longer_counts() -> None:
    taps = Taps("gold", "bronze")
    flow = flow_of(taps, 1)
    for tier in ("bronze", "gold"):
        flow.began(tier)
    flow.end()
    assert (flow.room.is_set(), taps.closed) == (True, set())
    flow.ended("gold")
    assert flow.in_hand == {"gold": 0, "bronze": 0}
