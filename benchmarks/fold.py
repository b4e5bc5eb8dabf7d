"""How fast is the log folded? Kafka to committed in Postgres, exactly once, by one process; the peers beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks import growth
from benchmarks.filling import TOPIC, fill
from benchmarks.ground import RUNS, Ground, rate, run_peer
from benchmarks.mix import NETHACK_MIX

EVENTS = 2_000_000
SUBJECTS = 10_000
# Stock Faust folds some 3,000 a second: this long tells its rate without making everybody wait for two million.
PEER_S = 6.0
PEERS = ("stock_faust", "quix", "bytewax", "pathway")


def measure(ground: Ground) -> dict[str, Any]:
    """Fold the players projection over 10,000 subjects, three times, each time followed by the peers on that topic.

    Then all projections, and what an event costs when much has been stored.
    """
    count = fill(ground, EVENTS, SUBJECTS)
    runs, peers, away = list[int](), {name: list[dict[str, Any]]() for name in PEERS}, set[str]()
    for number in range(RUNS):
        ground.say(f"folding, run {number + 1} of {RUNS}")
        seen = _fold(ground, f"bench-fold-{number}", count)
        runs.append(round(rate(seen)))
        for name in PEERS:
            found = None if name in away else run_peer(name, ground, TOPIC, count, PEER_S)
            if found is None:
                away.add(name)
            else:
                peers[name].append(found)
    held = ground.sql("select count(distinct subject) as subjects, sum(version) as events from players_by_region")[0]
    pairs = {name: ratio(runs, found) for name, found in peers.items()}
    return {
        "events_per_s": median(runs),
        "runs": runs,
        "ratio_stock_faust": pairs["stock_faust"],
        "ratio_best_peer": min((each for each in pairs.values() if each is not None), default=None),
        "ratios": pairs,
        "peers": {name: found for name, found in peers.items() if found},
        "events": count,
        "subjects": SUBJECTS,
        "transactions_seen": len(seen),
        "checked": {"subjects": held["subjects"], "events": int(held["events"])},
        "mix": NETHACK_MIX,
        **growth.measure(ground),
    }


def _fold(ground: Ground, group: str, count: int) -> list[tuple[float, int]]:
    ground.sql("truncate players_by_region, players_inventory_by_region")
    with ground.worker("fold", group, "--only", "players"):
        return ground.watch(group, count)


def ratio(ours: Sequence[float], peer: Sequence[Mapping[str, Any]]) -> float | None:
    """How many times as fast we are, the median of the pairs of runs; None when the peer never came to a rate."""
    rates = [found.get("events_per_s") for found in peer]
    pairs = [our / rate for our, rate in zip(ours, rates, strict=False) if rate]
    return round(median(pairs), 1) if pairs else None
