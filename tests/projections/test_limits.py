"""What no face folds: every face refuses the same events, and says why."""

from __future__ import annotations

from typing import Any

import clickhouse_connect
import pytest

from projections import PROJECTIONS
from projections import clickhouse as history
from projections.catalog.players import players
from projections.decoding import Decoder
from projections.errors import Unfoldable
from projections.events_tables import EVENTS, OTHER
from projections.fold import Fold
from projections.limits import STAMP_MAX
from projections.records import INSERT_SETTINGS, concatenate, log_fields
from schemas import (
    DecisionProposed,
    Event,
    GoldGained,
    ItemGained,
    PermanentError,
    PlayerMoved,
    PlayerSaid,
    PlayerScored,
)
from schemas.limits import NAME_BYTES_MAX, NUMBER_MAX, QUANTITY_MAX

fold, decoder = Fold(PROJECTIONS), Decoder(PROJECTIONS)

REFUSED = {
    "a sum's summand too large": (Event(player_scored=PlayerScored(points=QUANTITY_MAX + 1)), "player_scored.points"),
    "a number beyond bigint": (
        Event(decision_proposed=DecisionProposed(latency_ms=NUMBER_MAX + 1)),
        "decision_proposed.latency_ms",
    ),
    "a text with NUL": (Event(player_moved=PlayerMoved(zone="a\0b")), "player_moved.zone"),
    "a subject with NUL": (Event(subject="a\0b", player_moved=PlayerMoved()), "subject"),
    "a number that is none": (Event(player_moved=PlayerMoved(x=float("nan"))), "player_moved.x"),
    "a place without end": (Event(player_moved=PlayerMoved(y=float("-inf"))), "player_moved.y"),
    "a key too long": (Event(item_gained=ItemGained(item_id="i" * (NAME_BYTES_MAX + 1))), "item_gained.item_id"),
    "a key of too many bytes": (Event(gold_gained=GoldGained(reason="é" * 301)), "gold_gained.reason"),
    "a stamp past ClickHouse's time": (Event(stamp=STAMP_MAX + 1, player_moved=PlayerMoved()), "stamp"),
}
FOLDED = {
    "the largest summand": Event(player_scored=PlayerScored(points=QUANTITY_MAX)),
    "the largest number": Event(decision_proposed=DecisionProposed(latency_ms=NUMBER_MAX)),
    "the longest key": Event(gold_gained=GoldGained(reason="é" * 300)),
    "a long text that is no key": Event(decision_proposed=DecisionProposed(content="x" * 9_000)),
    "the last stamp": Event(stamp=STAMP_MAX, player_moved=PlayerMoved()),
    "NUL in a field that nothing reads": Event(player_scored=PlayerScored(reason="a\0b")),
    "a fact that nothing folds": Event(player_said=PlayerSaid(text="a\0b")),
}


@pytest.mark.parametrize(("event", "path"), REFUSED.values(), ids=REFUSED)
def test_an_event_over_a_limit_is_refused_and_the_field_named(event: Event, path: str) -> None:
    with pytest.raises(Unfoldable, match=path):
        fold.check(event)
    with pytest.raises(Unfoldable, match=path):
        fold.events([event])
    with pytest.raises(Unfoldable, match=path):
        fold.columns(decoder.columns([event.SerializeToString()]))


@pytest.mark.parametrize("event", FOLDED.values(), ids=FOLDED)
def test_an_event_at_a_limit_is_folded(event: Event) -> None:
    fold.check(event)
    rows = fold.columns(decoder.columns([event.SerializeToString()]))
    assert rows == fold.events([event])


def test_what_may_not_be_folded_is_a_permanent_error_with_a_reason_for_its_dead_letter() -> None:
    assert issubclass(Unfoldable, PermanentError)
    assert Unfoldable.reason == "fold_failed"


def test_a_batch_of_the_largest_summands_does_not_overflow() -> None:
    batch = [Event(player_scored=PlayerScored(points=QUANTITY_MAX))] * 5_000
    one = fold.events(batch)
    assert fold.columns(decoder.columns([event.SerializeToString() for event in batch])) == one
    assert QUANTITY_MAX * 2_000_000 < NUMBER_MAX


def test_clickhouse_keeps_what_is_refused_and_folds_none_of_it(clickhouse: str) -> None:
    client: Any = clickhouse_connect.get_client(dsn=clickhouse, autogenerate_session_id=False)
    history.migrate(client)
    log = [*(event for event, _ in REFUSED.values()), *FOLDED.values()]
    located = log_fields("topic", 0)
    client.raw_insert(
        OTHER.name,
        insert_block=concatenate(e.SerializeToString() + located(at) for at, e in enumerate(log)),
        fmt="Protobuf",
        settings=dict(INSERT_SETTINGS),
    )
    rows = client.query(f"select log_offset, foldable from {EVENTS} order by log_offset").result_rows
    assert [bool(foldable) for _, foldable in rows] == [False] * len(REFUSED) + [True] * len(FOLDED)
    (player,) = history.read(client, players).values()
    assert player["version"] == sum(event.WhichOneof("fact") in players.facts for event in FOLDED.values())
    client.close()
