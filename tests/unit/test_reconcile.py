"""The reconciliation's arithmetic: an honest world holds, and no single miscount goes unseen."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streams.reconcile import Account, Log, PartitionCount, Scan, Store, produced_events, reconcile


@st.composite
def honest_partitions(draw: st.DrawFn, scanned: bool | None = None) -> PartitionCount:
    """A partition that was written, folded and counted as it should be, with repeats and dead letters in it."""
    events, repeats, garbage, refused, passed, untold = (draw(st.integers(0, 1_000)) for _ in range(6))
    refused = min(refused, events)
    untold = min(untold, repeats)
    end = events + repeats + garbage + passed
    read = Scan(events, repeats, 0, garbage, passed)
    scan = read if (draw(st.booleans()) if scanned is None else scanned) else None
    # What is refused has its dot taken as had; an untold one may be a repeat, and has none.
    store = Store(end, events - refused, events, repeats - untold, 0, garbage + refused + untold, untold, passed)
    history = Store(end, events, events, repeats, 0, garbage, passed=passed)
    dead = garbage + refused + untold
    return PartitionCount("players.actions.v1", 0, Log(0, end, scan), store, history, dead)


def with_store(counted: PartitionCount, name: str, store: Store) -> PartitionCount:
    return replace(counted, postgres=store) if name == "postgres" else replace(counted, clickhouse=store)


@given(st.lists(honest_partitions(), max_size=4))
def test_an_honest_world_holds(partitions: list[PartitionCount]) -> None:
    verdict = reconcile(partitions)
    assert verdict.holds, verdict.differences
    assert verdict.holes == 0


@given(st.lists(st.integers(0, 10_000), max_size=5))
def test_all_counts_are_equal_when_there_are_no_repeats_and_no_dead_letters(sizes: list[int]) -> None:
    partitions = [
        PartitionCount("world.facts.v1", number, Log(0, n, Scan(n)), Store(n, n, n), Store(n, n, n))
        for number, n in enumerate(sizes)
    ]
    verdict = reconcile(partitions, produced=sum(sizes))
    assert verdict.holds
    assert verdict.produced == verdict.in_kafka == verdict.in_postgres == verdict.in_clickhouse == sum(sizes)


@given(honest_partitions(), st.sampled_from(["postgres", "clickhouse"]), st.integers(1, 500))
def test_a_batch_that_was_skipped_is_seen(honest: PartitionCount, store: str, lost: int) -> None:
    stored: Store = getattr(honest, store)
    lost = min(lost, stored.events)
    broken = with_store(honest, store, replace(stored, events=stored.events - lost, distinct=stored.distinct - lost))
    assert reconcile([broken]).holds == (lost == 0)


@given(honest_partitions(), st.sampled_from(["postgres", "clickhouse"]), st.integers(1, 500))
def test_a_batch_that_was_folded_twice_is_seen(honest: PartitionCount, store: str, again: int) -> None:
    stored: Store = getattr(honest, store)
    broken = with_store(honest, store, replace(stored, events=stored.events + again))
    assert not reconcile([broken]).holds


@given(
    honest_partitions(scanned=True),
    st.sampled_from(["next_offset", "events", "duplicates", "dead_letters", "passed", "lost"]),
    st.sampled_from(["postgres", "clickhouse"]),
    st.integers(-50, 50).filter(bool),
)
def test_no_count_of_a_store_can_be_wrong_unseen(honest: PartitionCount, name: str, store: str, off: int) -> None:
    stored: Store = getattr(honest, store)
    wrong: dict[str, int] = {name: getattr(stored, name) + off}
    broken = with_store(honest, store, replace(stored, **wrong))
    assert not reconcile([broken]).holds


@given(honest_partitions(scanned=True), st.integers(1, 50))
def test_a_loss_that_the_store_covers_up_by_moving_its_position_is_seen(honest: PartitionCount, lost: int) -> None:
    stored = honest.postgres
    lost = min(lost, stored.events)
    covered = replace(stored, events=stored.events - lost, duplicates=stored.duplicates + lost)
    assert reconcile([replace(honest, postgres=covered)]).holds == (lost == 0)


@given(honest_partitions(scanned=True), st.integers(1, 50))
def test_a_hole_in_the_log_is_seen(honest: PartitionCount, missing: int) -> None:
    assert honest.log.scan is not None
    log = replace(honest.log, scan=replace(honest.log.scan, missing=missing))
    verdict = reconcile([replace(honest, log=log)])
    assert verdict.holes == missing
    assert not verdict.holds


@given(honest_partitions(scanned=False), st.integers(1, 50))
def test_without_a_scan_the_dots_that_postgres_keeps_show_a_hole(honest: PartitionCount, missing: int) -> None:
    stored = replace(honest.postgres, missing=missing)
    verdict = reconcile([replace(honest, postgres=stored)])
    assert verdict.holes == missing
    assert not verdict.holds


@given(honest_partitions(scanned=True), st.integers(1, 50))
def test_holes_that_the_page_counts_and_the_log_does_not_are_a_difference(honest: PartitionCount, missing: int) -> None:
    stored = replace(honest.postgres, missing=missing, untold=0)
    if honest.postgres.untold == 0:
        assert not reconcile([replace(honest, postgres=stored)]).holds
        assert reconcile([replace(honest, postgres=replace(stored, remembers_all=False))]).holds


def test_a_stamp_from_the_future_and_an_empty_record_agree() -> None:
    # Both are dead letters; the first has a dot, which is had.
    store = Store(next_offset=3, events=1, distinct=2, dead_letters=2)
    held = Store(next_offset=3, events=1, distinct=1, dead_letters=2)
    counted = PartitionCount("players.actions.v1", 0, Log(0, 3, Scan(2, unreadable=1)), store, held, 2)
    assert reconcile([counted]).differences == ()


def test_an_event_that_only_postgres_refused_agrees() -> None:
    refused, held = Store(2, 1, 2, dead_letters=1), Store(2, 2, 2)
    counted = PartitionCount("players.actions.v1", 0, Log(0, 2, Scan(2)), refused, held, 1)
    assert reconcile([counted]).differences == ()


def test_what_was_deleted_unread_and_accepted_as_lost_is_accounted_for() -> None:
    store = Store(next_offset=10, events=6, distinct=6, lost=4)
    trimmed = PartitionCount("players.actions.v1", 0, Log(4, 10, Scan(6)), store, store)
    assert reconcile([trimmed]).holds
    assert not reconcile([replace(trimmed, postgres=replace(store, lost=3))]).holds


@given(honest_partitions(), st.integers(1, 50))
def test_a_producer_that_had_more_acknowledged_than_the_log_has_is_seen(honest: PartitionCount, lost: int) -> None:
    assert reconcile([honest], produced=honest.in_kafka).holds
    verdict = reconcile([honest], produced=honest.in_kafka + lost)
    assert not verdict.holds
    assert f"{lost:,} were lost" in verdict.differences[-1]


def test_a_store_that_is_behind_is_said_to_be_behind() -> None:
    behind = PartitionCount("world.facts.v1", 2, Log(0, 10, Scan(10)), Store(7, 7, 7), Store(10, 10, 10))
    assert reconcile([behind]).differences == ("world.facts.v1/2: Postgres is 3 records behind",)


def test_a_store_that_is_ahead_of_the_log_says_that_the_topic_was_made_anew() -> None:
    ahead = PartitionCount("world.facts.v1", 2, Log(0, 3, Scan(3)), Store(7, 7, 7), Store(3, 3, 3))
    assert "made anew" in reconcile([ahead]).differences[0]


def test_a_log_that_was_trimmed_still_reconciles() -> None:
    trimmed = PartitionCount("ai.requests.gold.v1", 0, Log(4, 10, Scan(6)), Store(10, 10, 10), Store(10, 10, 10))
    assert reconcile([trimmed]).holds


def test_what_was_there_before_and_what_producers_sent_is_what_should_be_there() -> None:
    accounts = [Account("game-1", 90), Account("decide-1", 5)]
    assert produced_events(40, accounts, {"game-1": 90, "decide-1": 5, "game-0": 40}) == 135


def test_a_producer_that_lived_is_held_to_its_word() -> None:
    assert produced_events(0, [Account("game-1", 90)], {"game-1": 88}) == 90


def test_a_producer_that_was_killed_is_taken_at_the_word_of_the_log() -> None:
    assert produced_events(0, [Account("decide-1", 5, complete=False)], {"decide-1": 7}) == 7


def test_what_a_killed_producer_had_acknowledged_must_be_there_all_the_same() -> None:
    assert produced_events(0, [Account("decide-1", 5, complete=False)], {"decide-1": 3}) == 5
