"""Admission: each number once, dots dense, a player's events in the order of their numbers."""

from __future__ import annotations

import copy
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from projections.dots import HOLES_MAX
from schemas import GoldGained, PlaceEntered, decode, fact_of
from schemas.gen.norn.v1.bridge_pb2 import DispatchRequest, OfferedEvent
from schemas.stamps import time_ms
from streams.bridge.admission import Admission, Client, Here, TooManyGaps, admit, has_come, new_subjects
from streams.bridge.offers import Batch, read
from streams.bridge.wire import PROTOBUF

PLAYERS = ("astrid", "finn", "Zoë", "edda")


def batch(*sequences: int, at_ms: int = 0) -> Batch:
    """Events whose content follows from their number alone."""
    events = []
    for sequence in sequences:
        event = OfferedEvent(sequence=sequence, player_id=PLAYERS[sequence % 4], time_ms=at_ms)
        if sequence % 3:
            event.gold_gained.CopyFrom(GoldGained(amount=sequence))
        else:
            event.place_entered.CopyFrom(PlaceEntered(zone=f"z{sequence}"))
        events.append(event)
    return read(PROTOBUF, DispatchRequest(client="harbour-1", events=events).SerializeToString())


def take(client: Client, *sequences: int, now_ms: int = 1_000, waiting: tuple[str, ...] = ()) -> Admission:
    return admit(client, batch(*sequences), waiting, Here("local", now_ms))


def new_client() -> Client:
    return Client("harbour-1", "bridge-harbour-1-x")


batches = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=50), min_size=1, max_size=12)


@given(batches)
def test_each_number_is_taken_once_and_every_dot_is_used(sent: list[list[int]]) -> None:
    client, had, dots = new_client(), set(), defaultdict(list)
    for sequences in sent:
        done = take(client, *sequences)
        for record in done.records:
            assert record.sequence not in had
            had.add(record.sequence)
            event = decode(record.value)
            assert event.subject == PLAYERS[record.sequence % 4]
            assert record.key == event.subject.encode()
            fact = fact_of(event)
            assert fact in (GoldGained(amount=record.sequence), PlaceEntered(zone=f"z{record.sequence}"))
            dots[record.topic, record.partition].append(event.sequence)
        assert len(done.records) + len(done.repeated) == len(sequences)
    assert had == {sequence for sequences in sent for sequence in sequences}
    for numbers in dots.values():
        assert numbers == list(range(1, len(numbers) + 1))
    assert client.expected == next(number for number in range(1, 62) if number not in had)


@given(batches)
def test_the_same_events_get_the_same_bytes(sent: list[list[int]]) -> None:
    one, other = new_client(), new_client()
    for sequences in sent:
        assert take(one, *sequences) == take(other, *sequences)
    assert one == other


@given(st.lists(st.integers(1, 40), max_size=40), st.integers(1, 41))
def test_whether_a_number_has_come(had: list[int], asked: int) -> None:
    client = new_client()
    for sequence in had:
        take(client, sequence)
    assert has_come(client.numbers, asked) == (asked in had)
    assert bool(new_subjects(client, batch(asked).offers)) == (asked not in had)


def test_a_player_over_the_limit_waits_alone() -> None:
    client = new_client()
    take(client, 4)
    done = take(client, 1, 2, 4, 5, 8, waiting=(PLAYERS[0], PLAYERS[1]))
    assert [record.sequence for record in done.records] == [2]
    assert done.deferred == (1, 5, 8)
    assert done.repeated == (4,)
    assert [record.sequence for record in take(client, 1, 5, 8).records] == [1, 5, 8]


def test_what_is_refused_is_no_gap() -> None:
    client = new_client()
    refused = DispatchRequest(client="harbour-1", events=[OfferedEvent(sequence=1, player_id="")])
    admit(client, read(PROTOBUF, refused.SerializeToString()), (), Here("local", 1_000))
    assert client.expected == 2


def test_too_many_gaps_are_said_before_one_is_forgotten() -> None:
    client, number, before = new_client(), 0, new_client()
    refused = None
    while refused is None:
        number += 100
        before = copy.deepcopy(client)
        try:
            take(client, *range(number - 98, number + 1, 2))
        except TooManyGaps as error:
            refused = error
    assert refused.expected == 1
    assert HOLES_MAX - 150 < len(before.numbers.holes) < HOLES_MAX
    assert [record.sequence for record in take(before, *range(1, 99, 2)).records] == list(range(1, 99, 2))


def test_a_bridge_comes_back_from_its_own_future() -> None:
    client = new_client()
    now_ms = 1_800_000_000_000
    stamps = [
        decode(record.value).stamp
        for sequence, wrong_ms in enumerate((0, 7_200_000, 0, 0), start=1)
        for record in take(client, sequence, now_ms=now_ms + wrong_ms).records
    ]
    assert [time_ms(stamp) - now_ms for stamp in stamps] == [0, 7_200_000, 0, 0]
    assert stamps[0] <= stamps[2] < stamps[3]


def test_stamps_grow_when_the_bridge_gives_them() -> None:
    client = new_client()
    stamps = []
    for now_ms in (1_000, 1_000, 900, 1_001):
        stamps += [decode(record.value).stamp for record in take(client, *range(len(stamps) + 1, len(stamps) + 4),
                                                                  now_ms=now_ms).records]  # fmt: skip
    assert stamps == sorted(set(stamps))


def test_a_players_events_keep_their_order_by_their_own_time_in_whatever_batches_they_come() -> None:
    client = new_client()
    late = admit(client, batch(5, 6, at_ms=500), (), Here("local", 2_000)).records
    early = admit(client, batch(1, 2, at_ms=500), (), Here("local", 2_000)).records
    stamps = {record.sequence: decode(record.value).stamp for record in (*late, *early)}
    assert stamps[1] < stamps[2] < stamps[5] < stamps[6]
    assert {time_ms(stamp) for stamp in stamps.values()} == {500}


def test_no_clock_of_a_game_server_is_ahead_of_the_bridges() -> None:
    (record,) = admit(new_client(), batch(1, at_ms=10**12), (), Here("local", 2_000)).records
    assert time_ms(decode(record.value).stamp) == 2_000
