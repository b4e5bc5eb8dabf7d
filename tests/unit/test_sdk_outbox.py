"""The outbox: a flush waits for what was published before it, and for nothing else."""

from __future__ import annotations

from collections import defaultdict

import pytest

from schemas import TOPICS
from streams.sdk.envelope import Envelopes
from streams.sdk.outbox import Batch, Outbox

TOPIC = "players.actions.v1"


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(Envelopes("eu", "test", lambda: 1_000, lambda size: bytes(size)), TOPICS, 1_000, 1_000_000)


def put(outbox: Outbox, partition: int, events: int) -> None:
    for _ in range(events):
        outbox.put(outbox.lanes[TOPIC][partition], b"k", b"", "astrid", b"", "")


def taken(outbox: Outbox) -> dict[int, list[Batch]]:
    found: dict[int, list[Batch]] = defaultdict(list)
    for batch in outbox.take():
        found[batch.partition].append(batch)
    return found


def test_what_is_published_after_a_flush_began_is_not_waited_for(outbox: Outbox) -> None:
    put(outbox, 0, 3)
    [earlier] = taken(outbox)[0]
    outbox.sent(earlier)
    put(outbox, 0, 2)
    put(outbox, 1, 1)
    assert outbox.wait_acknowledged(0) == 3
    later = taken(outbox)
    outbox.sent(later[1][0])
    assert outbox.wait_acknowledged(0) == 2
    put(outbox, 1, 1)
    outbox.sent(later[0][0])
    assert outbox.wait_acknowledged(0) == 1


def test_what_an_earlier_process_left_on_disk_is_not_taken_for_our_own(outbox: Outbox) -> None:
    outbox.found(5)
    put(outbox, 0, 2)
    assert outbox.wait_acknowledged(0) == 7
    [ours] = taken(outbox)[0]
    outbox.spilled(ours)
    outbox.replayed(Batch(TOPIC, 0, [(b"k", b"")] * 5))
    assert outbox.wait_acknowledged(0) == 2
    outbox.replayed(ours)
    assert outbox.wait_acknowledged(0) == 0
