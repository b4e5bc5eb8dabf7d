"""How much memory does a fold worker hold at 100,000 subjects?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.filling import fill
from benchmarks.ground import Ground, rate

EVENTS = 2_000_000
SUBJECTS = 100_000


def measure(ground: Ground) -> dict[str, Any]:
    """Fold every projection over 100,000 subjects and look at the worker's resident memory, the highest it was."""
    count = fill(ground, EVENTS, SUBJECTS)
    with ground.worker("fold", "bench-memory") as process:
        seen = ground.watch("bench-memory", count)
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        resident = process.memory_info().rss
    return {
        "resident_mb": round(resident / 1e6),
        "peak_mb": round(peak_kb * 1024 / 1e6),
        "subjects": SUBJECTS,
        "events": count,
        "events_per_s": round(rate(seen)),
    }
