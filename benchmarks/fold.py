"""How fast is the log folded? Kafka to committed in Postgres, exactly once, by one process; the peers beside it."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.filling import TOPIC, fill
from benchmarks.ground import RUNS, Ground, rate, run_peer
from benchmarks.mix import NETHACK_MIX
from projections import PROJECTIONS
from projections.fields import quoted
from projections.projection import tables
from schemas import TOPICS
from streams.admin import log_sizes

EVENTS = 2_000_000
SUBJECTS = 10_000
#: For every projection at once.
ALL_EVENTS, ALL_SUBJECTS = 1_000_000, 100_000
#: Ten times the subjects are stored while the same are active.
STORED_SUBJECTS_MORE = 9 * SUBJECTS
#: Lives of producers that a group remembers of each partition, and ten times as many.
LIVES, LIVES_X10 = 2_500, 25_000
# Stock Faust folds some 3,000 a second: this long tells its rate without making everybody wait for two million.
PEER_S = 12.0
#: In memory, and not exactly once; once each, where they are installed.
PEERS = ("quix", "bytewax", "pathway")


def measure(ground: Ground) -> dict[str, Any]:
    """Fold players over 10,000 subjects, then with ten times as many stored, and with ten times the lives remembered.

    Stock Faust reads the same topic in between. Then every projection is folded over 100,000 subjects.
    """
    count = fill(ground, EVENTS, SUBJECTS)
    base, wide, long, stock = [], [], [], []
    for number in range(RUNS):
        base.append(_players(ground, f"base-{number}", count))
        stock.append((run_peer("stock_faust", ground, TOPIC, count, PEER_S) or {}).get("events_per_s"))
        wide.append(_players(ground, f"subjects-{number}", count, stored=STORED_SUBJECTS_MORE))
        long.append(_players(ground, f"history-{number}", count, lives=LIVES_X10))
    held = ground.sql("select count(distinct subject) as subjects, sum(version) as events from players_by_region")[0]
    peers = {name: run_peer(name, ground, TOPIC, count, PEER_S) for name in PEERS}
    best = max((found["events_per_s"] for found in peers.values() if found), default=None)
    every = _every_projection(ground)
    ratios = [ours / theirs for ours, theirs in zip(base, stock, strict=True) if theirs]
    return {
        "events_per_s": median(base),
        "runs": base,
        "all_projections_per_s": median(every),
        "all_projections_runs": every,
        "growth": {"subjects_x10": _growth(base, wide), "history_x10": _growth(base, long)},
        "ratio_stock_faust": round(median(ratios), 1) if ratios else None,
        "ratio_best_peer": round(median(base) / best, 1) if best else None,
        "peers": {"stock_faust": stock, **{name: found for name, found in peers.items() if found is not None}},
        "events": count,
        "subjects": SUBJECTS,
        "all_projections_subjects": ALL_SUBJECTS,
        "lives_x10": LIVES_X10,
        "checked": {"subjects": held["subjects"], "events": int(held["events"])},
        "mix": NETHACK_MIX,
    }


def _growth(base: list[int], grown: list[int]) -> float:
    """How many times as long an event takes, pair by pair."""
    return round(median(before / after for before, after in zip(base, grown, strict=True)), 2)


def _players(ground: Ground, name: str, count: int, *, stored: int = 0, lives: int = LIVES) -> int:
    """Events a second into the players projection, with so many other subjects stored and lives remembered."""
    ground.say(f"folding players: {name}")
    group = f"bench-fold-{name}"
    ground.sql("truncate players_by_region, players_inventory_by_region")
    ground.sql(
        "insert into players_by_region (subject, region)"
        " select 'stored-' || n, 'local' from generate_series(1, $1::int) n",
        stored,
    )
    ground.sql(
        "insert into dots (group_name, topic, partition, origin, last, heard_ms)"
        " select $1, $2, p, 'life-' || n, 5, (extract(epoch from now()) * 1000)::bigint"
        " from generate_series(0, $3::int - 1) p, generate_series(1, $4::int) n",
        group,
        TOPIC,
        TOPICS[TOPIC].partitions,
        lives,
    )
    ground.sql("analyze dots")
    with ground.worker("fold", group, "--only", "players"):
        return round(rate(ground.watch(group, count)))


def _every_projection(ground: Ground) -> list[int]:
    """Events a second into every projection, over ten times the subjects, from where the topic ended before them."""
    ends = {place: end for place, (_, end) in log_sizes(ground.servers.kafka, [TOPICS[TOPIC]]).items()}
    count = fill(ground, ALL_EVENTS, ALL_SUBJECTS)
    rates = []
    for number in range(RUNS):
        ground.say(f"folding every projection, run {number + 1} of {RUNS}")
        group = f"bench-fold-all-{number}"
        ground.sql(f"truncate {', '.join(quoted(table.by_region) for table in tables(PROJECTIONS))}")
        for (topic, partition), end in ends.items():
            ground.sql(
                "insert into positions (group_name, topic, partition, next_offset, epoch) values ($1, $2, $3, $4, 0)",
                group,
                topic,
                partition,
                end,
            )
        with ground.worker("fold", group):
            rates.append(round(rate(ground.watch(group, count))))
    return rates
