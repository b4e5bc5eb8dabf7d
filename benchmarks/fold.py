"""How fast is the log folded? Kafka to committed in Postgres, exactly once, by one process; the peers beside it."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.filling import TOPIC, fill
from benchmarks.ground import RUNS, Ground, rate, run_peer
from benchmarks.mix import NETHACK_MIX

EVENTS = 2_000_000
SUBJECTS = 10_000
# Stock Faust folds some 3,000 a second: this long tells its rate without making everybody wait for two million.
PEER_S = 20.0
PEERS = ("stock_faust", "quix", "bytewax", "pathway")


def measure(ground: Ground) -> dict[str, Any]:
    """Fold the players projection over 10,000 subjects, three times, then let the peers read the same topic."""
    count = fill(ground, EVENTS, SUBJECTS)
    runs = []
    for number in range(RUNS):
        group = f"bench-fold-{number}"
        ground.sql("truncate players_by_region, players_inventory_by_region")
        ground.say(f"folding, run {number + 1} of {RUNS}")
        with ground.worker("fold", group, "--only", "players"):
            seen = ground.watch(group, count)
        runs.append(round(rate(seen)))
        transactions = len(seen)
    peers = {name: run_peer(name, ground, TOPIC, count, PEER_S) for name in PEERS}
    ours, stock = median(runs), (peers["stock_faust"] or {}).get("events_per_s")
    held = ground.sql("select count(distinct subject) as subjects, sum(version) as events from players_by_region")[0]
    return {
        "events_per_s": ours,
        "runs": runs,
        "ratio_stock_faust": round(ours / stock, 1) if stock else None,
        "peers": {name: found for name, found in peers.items() if found is not None},
        "events": count,
        "subjects": SUBJECTS,
        "transactions_seen": transactions,
        "checked": {"subjects": held["subjects"], "events": int(held["events"])},
        "mix": NETHACK_MIX,
    }
