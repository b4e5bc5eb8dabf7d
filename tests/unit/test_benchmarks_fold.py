"""How Norn's runs are compared with a peer's."""

from __future__ import annotations

from benchmarks.fold import ratio


def test_each_run_is_compared_with_the_peers_run_beside_it() -> None:
    assert ratio([100, 400, 90], [{"events_per_s": 10}, {"events_per_s": 20}, {"events_per_s": 3}]) == 20.0


def test_a_peer_that_failed_is_compared_by_its_other_runs() -> None:
    assert ratio([100, 400, 90], [{"events_per_s": 10}, {"failed": "no"}, {"failed": "no"}]) == 10.0


def test_a_peer_that_never_came_to_a_rate_has_no_ratio() -> None:
    assert ratio([100], [{"failed": "no"}]) is None
    assert ratio([100], []) is None
