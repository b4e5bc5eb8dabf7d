"""What a worker says of itself and of all groups: quiet is green, stuck is red, and ages are true."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from streams.status import (
    OK,
    QUIET,
    RATE_WINDOW_S,
    STUCK,
    STUCK_AFTER_S,
    WAITING,
    WORKING,
    DotCount,
    EndOffsets,
    Group,
    Partition,
    Place,
    Rates,
    Standing,
    View,
    Worker,
    groups,
    notes,
    partitions,
    verdict,
)

TOPIC = "players.actions.v1"
PLACE = Place(TOPIC, 0)
# A night's quiet before the test begins.
NOW_MS = 1_800_000_000_000
NIGHT_MS = 8 * 3_600_000
LONG_WATCHED = View(watched_s=3600)


def standing(next_offset: int = 100, stamped_ms: int = 0, folded_ms: int = 0, group: str = "norn-fold") -> Standing:
    return Standing(group, TOPIC, 0, next_offset, next_offset, stamped_ms, folded_ms)


def ended(*samples: tuple[int, int]) -> EndOffsets:
    """The partition was seen to end at each offset, so many ms before or after NOW_MS."""
    ends = EndOffsets()
    for end, at_ms in samples:
        ends.note({PLACE: end}, NOW_MS + at_ms)
    return ends


def partition(of: Standing, ends: EndOffsets) -> Partition:
    (found,) = partitions([of], ends, NOW_MS)
    return found


def group(of: Standing, ends: EndOffsets, view: View = LONG_WATCHED) -> Group:
    (found,) = groups([of], partitions([of], ends, NOW_MS), {}, {}, view)
    return found


def worker(waiting: Mapping[str, str] | None = None, assigned: bool = True, heartbeat_s: float | None = 0.5) -> Worker:
    return Worker("norn-fold", assigned, heartbeat_s, waiting or {})


def test_a_group_that_has_taken_up_everything_has_no_lag_however_long_ago_that_was() -> None:
    found = partition(standing(100, NOW_MS - NIGHT_MS, NOW_MS - NIGHT_MS), ended((100, -NIGHT_MS), (100, 0)))
    assert (found.lag_events, found.lag_s, found.staleness_s) == (0, 0.0, 0.0)


def test_the_first_event_after_a_quiet_night_is_not_a_night_old() -> None:
    found = partition(standing(100, NOW_MS - NIGHT_MS, NOW_MS - NIGHT_MS), ended((100, -1_000), (101, 0)))
    assert (found.lag_events, found.lag_s, found.staleness_s) == (1, 1.0, 1.0)


def test_lag_is_counted_from_the_stamp_of_the_last_folded_event() -> None:
    found = partition(standing(100, NOW_MS - 7_500, NOW_MS - 200), ended((50, -60_000), (900, 0)))
    assert (found.lag_events, found.lag_s, found.staleness_s) == (800, 7.5, 0.2)


def test_lag_is_known_without_stamps_once_the_log_has_been_watched() -> None:
    found = partition(standing(100), ended((90, -9_000), (100, -4_000), (110, -2_000), (200, 0)))
    assert found.lag_s == 4.0


def test_an_event_of_unknown_age_is_as_old_as_the_watch() -> None:
    found = partition(standing(0), ended((10, -5_000), (10, 0)))
    assert (found.lag_s, found.staleness_s) == (5.0, 5.0)


def test_nothing_is_said_of_a_partition_whose_end_is_unknown() -> None:
    found = partition(standing(100), EndOffsets())
    assert (found.end_offset, found.lag_events, found.lag_s, found.staleness_s) == (None, None, None, None)


def test_a_topic_made_anew_is_watched_anew() -> None:
    ends = ended((500, -9_000), (3, -1_000), (5, 0))
    assert ends.end(PLACE) == 5
    assert ends.age_s(PLACE, 3, 0, NOW_MS) == 1.0


def test_a_position_beyond_a_stale_end_is_no_lag() -> None:
    assert partition(standing(120), ended((100, 0))).lag_events == 0


def test_a_quiet_group_is_green_and_says_so() -> None:
    found = group(standing(100, NOW_MS - NIGHT_MS, NOW_MS - NIGHT_MS), ended((100, -NIGHT_MS), (100, 0)))
    assert found.state == QUIET
    assert verdict(worker(), [found], LONG_WATCHED) == (OK, ["Nothing waits: every event has been taken up."])


def test_a_group_with_a_backlog_that_takes_events_up_is_green() -> None:
    found = group(standing(100, NOW_MS - NIGHT_MS, NOW_MS - 300), ended((100_000, -NIGHT_MS), (100_000, 0)))
    assert found.state == WORKING
    health, why = verdict(worker(), [found], LONG_WATCHED)
    assert health == OK
    assert "norn-fold has 99,900 to go" in why[0]


def test_a_group_that_has_work_and_does_none_is_stuck() -> None:
    stuck_ms = int(STUCK_AFTER_S * 1000) + 1_000
    found = group(standing(100, folded_ms=NOW_MS - stuck_ms), ended((100, -stuck_ms), (101, -stuck_ms + 1), (101, 0)))
    assert found.state == STUCK
    health, why = verdict(worker(), [found], LONG_WATCHED)
    assert health == STUCK
    assert why[0].startswith("norn-fold is stuck: 1 to go, and none was taken up for 61 s")


def test_another_group_that_is_stuck_is_told_of_too() -> None:
    idle = group(standing(100), ended((100, 0)))
    other = group(standing(5, group="norn-history"), ended((900, -90_000), (900, 0)))
    health, why = verdict(worker(), [idle, other], LONG_WATCHED)
    assert health == STUCK
    assert "norn-history" in why[0]


def test_a_worker_that_has_just_started_does_not_call_a_backlog_stuck() -> None:
    just_now = View(watched_s=2.0)
    found = group(standing(5, folded_ms=NOW_MS - NIGHT_MS), ended((900, 0)), just_now)
    assert found.state == WORKING
    assert verdict(worker(), [found], just_now)[0] == OK


def test_while_postgres_is_away_nobody_is_stuck_and_all_wait() -> None:
    blind = View(watched_s=3600, blind=True)
    found = group(standing(5, folded_ms=NOW_MS - NIGHT_MS), ended((900, -90_000), (900, 0)), blind)
    assert found.state == WAITING
    assert verdict(worker({"Postgres": "refused"}), [found], blind) == (WAITING, ["Waits for Postgres: refused"])


def test_before_anything_was_seen_nobody_is_called_healthy() -> None:
    unseen = View(watched_s=0.5, blind=True)
    assert verdict(worker(), [], unseen)[0] == WAITING
    assert "first look" in verdict(worker(), [], unseen)[1][0]


def test_a_worker_that_waits_for_clickhouse_is_waiting_not_stuck() -> None:
    found = group(standing(5), ended((900, -90_000), (900, 0)))
    assert found.state == STUCK
    assert verdict(worker({"ClickHouse": "refused"}), [found], LONG_WATCHED)[0] == WAITING


def test_a_worker_without_partitions_waits_and_at_last_is_stuck() -> None:
    assert verdict(worker(assigned=False), [], View(watched_s=3.0))[0] == WAITING
    assert verdict(worker(assigned=False), [], LONG_WATCHED)[0] == STUCK


def test_a_loop_that_no_longer_asks_the_log_is_stuck_even_when_nothing_waits() -> None:
    found = group(standing(100), ended((100, 0)))
    health, why = verdict(worker(heartbeat_s=STUCK_AFTER_S + 1), [found], LONG_WATCHED)
    assert health == STUCK
    assert "has not asked the log" in why[0]


def test_a_group_is_as_bad_as_its_worst_partition() -> None:
    other = Place(TOPIC, 1)
    ends = ended((100, -2_000), (110, 0))
    ends.note({other: 50}, NOW_MS - 9_000)
    ends.note({other: 55}, NOW_MS)
    standings = [standing(100), Standing("norn-fold", TOPIC, 1, 50, 50, 0, 0)]
    dots = {("norn-fold", PLACE): DotCount(holes=2, duplicates=1), ("norn-fold", other): DotCount(3, 4)}
    (found,) = groups(standings, partitions(standings, ends, NOW_MS), dots, {"norn-fold": 12.5}, LONG_WATCHED)
    assert found == Group("norn-fold", WORKING, 150, 12.5, 15, 9.0, 9.0, 5, 5)


def test_a_rate_is_what_was_folded_over_the_last_seconds() -> None:
    rates = Rates()
    for second in range(30):
        rates.note([standing(second * 250)], now_s=float(second))
    assert rates.events_per_s(29.0) == {"norn-fold": 250.0}


def test_a_rate_falls_to_nothing_when_nothing_is_heard() -> None:
    rates = Rates()
    rates.note([standing(0)], 0.0)
    rates.note([standing(500)], 1.0)
    assert rates.events_per_s(1.5) == {"norn-fold": 500.0}
    assert rates.events_per_s(1.0 + RATE_WINDOW_S) == {"norn-fold": 0.0}


def test_a_projection_dropped_and_folded_again_has_no_negative_rate() -> None:
    rates = Rates()
    for second, events in enumerate([900, 1000, 0, 50]):
        rates.note([standing(events)], float(second))
    assert rates.events_per_s(3.0) == {"norn-fold": 50.0}


@pytest.mark.parametrize(
    ("ages_s", "said"),
    [
        ({"Postgres": None}, "Postgres has not answered yet"),
        ({"Postgres": 42.0}, "Postgres does not answer: what is shown of it was read 42 s ago."),
    ],
)
def test_a_page_tells_how_old_its_figures_are(ages_s: dict[str, float | None], said: str) -> None:
    (told,) = notes(True, ages_s, {})
    assert said in told


def test_a_page_without_events_says_how_to_start_a_game() -> None:
    (told,) = notes(True, {"Postgres": 0.3, "Kafka": 0.2}, {})
    assert "python -m examples.nethack" in told
    assert notes(False, {"Postgres": 0.3, "Kafka": 0.2}, {}) == []
