"""The laws of a lattice, for every projection: states only grow, and it does not matter how they are joined."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.memory import KeyState, Memory, decode, digest, encode
from projections.projection import Projection
from schemas import Event
from tests.projections.worlds import REGIONS, SEEN, WORLD, events, seen_of

FEW = settings(max_examples=40)


def by_name(projection: Projection) -> str:
    return projection.name


every_projection = pytest.mark.parametrize("projection", WORLD, ids=by_name)
Keyed = dict[tuple[Any, ...], KeyState]


def joined(memory: Memory, ours: Keyed, theirs: Keyed) -> Keyed:
    keys = ours.keys() | theirs.keys()
    return {key: memory.join(ours.get(key, memory.empty), theirs.get(key, memory.empty)) for key in keys}


@every_projection
def test_join_is_associative_commutative_and_idempotent(projection: Projection) -> None:
    memory = Memory(projection)

    @FEW
    @given(events(projection.facts, least=6), SEEN, SEEN, SEEN)
    def holds(log: list[Event], a: dict[str, int], b: dict[str, int], c: dict[str, int]) -> None:
        one, two, three = (memory.fold_all(seen_of(log, seen)) for seen in (a, b, c))
        assert joined(memory, one, two) == joined(memory, two, one)
        assert joined(memory, joined(memory, one, two), three) == joined(memory, one, joined(memory, two, three))
        assert joined(memory, one, one) == one
        both = joined(memory, one, two)
        assert joined(memory, both, one) == both, "a join has seen all that its parts have"

    holds()


@every_projection
def test_a_join_is_what_seeing_all_the_events_would_have_given(projection: Projection) -> None:
    memory = Memory(projection)

    @FEW
    @given(events(projection.facts, least=6), SEEN, SEEN)
    def holds(log: list[Event], a: dict[str, int], b: dict[str, int]) -> None:
        most = {region: max(a[region], b[region]) for region in REGIONS}
        assert joined(memory, *(memory.fold_all(seen_of(log, seen)) for seen in (a, b))) == memory.fold_all(
            seen_of(log, most)
        )

    holds()


@every_projection
def test_every_event_makes_a_state_greater_and_none_changes_what_it_was_made_from(projection: Projection) -> None:
    memory = Memory(projection)

    @FEW
    @given(events(projection.facts, least=6))
    def holds(log: list[Event]) -> None:
        states: Keyed = {}
        for event in log:
            key = memory.key(event)
            before = states.get(key, memory.empty)
            kept = copy.deepcopy(before)
            after = memory.fold(before, event)
            assert before == kept
            assert memory.join(before, after) == after != before
            states[key] = after

    holds()


@every_projection
def test_the_order_of_events_does_not_matter(projection: Projection) -> None:
    memory = Memory(projection)

    @FEW
    @given(events(projection.facts, least=6).flatmap(lambda log: st.tuples(st.just(log), st.permutations(log))))
    def holds(logs: tuple[list[Event], list[Event]]) -> None:
        one, other = (memory.fold_all(log) for log in logs)
        assert one == other
        assert {key: digest(state) for key, state in one.items()} == {key: digest(s) for key, s in other.items()}

    holds()


@every_projection
def test_a_state_is_its_bytes_and_a_snapshot_with_its_tail_is_a_replay(projection: Projection) -> None:
    memory = Memory(projection)

    @FEW
    @given(events(projection.facts, least=6), st.integers(0, 40))
    def holds(log: list[Event], cut: int) -> None:
        snapshot = {key: encode(state) for key, state in memory.fold_all(log[:cut]).items()}
        restored = {key: decode(data) for key, data in snapshot.items()}
        assert {key: encode(state) for key, state in restored.items()} == snapshot
        assert memory.fold_all(log[cut:], restored) == memory.fold_all(log)

    holds()
