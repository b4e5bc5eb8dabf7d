"""How long until an event is visible? At 5,000 events/s, from publish to its commit in Postgres."""

from __future__ import annotations

import json
import time
import urllib.request
from statistics import median
from typing import Any

from benchmarks.filling import TOPIC
from benchmarks.ground import RUNS, Ground
from benchmarks.mix import events
from streams.crew import MEASURE_ANEW
from streams.embedded import ports
from streams.sdk import Producer

EVENTS_PER_S = 5_000
SUBJECTS = 10_000
# The first seconds of a process are its warm-up (imports, plans, first fetches), which is not what is asked.
WARM_UP_S = 8.0
# Once the reader stands at the log's end it reads live events so long, so that no late batch is counted as measured.
SETTLED_S = 2.0
MEASURED_S = 20.0
_FLUSH_S = 60.0


def measure(ground: Ground, *, warm_up_s: float = WARM_UP_S, measured_s: float = MEASURED_S) -> dict[str, Any]:
    """Publish at a steady rate; the worker compares each event's stamp with the time of its commit.

    A run is a reader of its own, which has to read what earlier runs wrote: it is measured from when it has caught up.
    """
    runs = []
    for number in range(RUNS):
        ground.say(f"latency, run {number + 1} of {RUNS}")
        runs.append(_run(ground, f"bench-latency-{number}", number, warm_up_s, measured_s))
    return {
        "p50_ms": median(run["p50_ms"] for run in runs),
        "p99_ms": median(run["p99_ms"] for run in runs),
        "p99_worst_ms": max(run["p99_ms"] for run in runs),
        "runs": runs,
        "events_per_s": EVENTS_PER_S,
        "measured_s": measured_s,
        "warm_up_s": warm_up_s,
    }


def _run(ground: Ground, group: str, seed: int, warm_up_s: float, measured_s: float) -> dict[str, Any]:
    port = ports.any_free()
    source = events(int(EVENTS_PER_S * (warm_up_s + SETTLED_S + measured_s)) + EVENTS_PER_S, SUBJECTS, seed)
    with (
        Producer(ground.servers.kafka, spill=ground.home / f"spill-{group}") as producer,
        ground.worker("fold", group, "--web-port", str(port)) as process,
    ):
        for seconds in (warm_up_s, SETTLED_S):
            _publish(producer, source, seconds)
            producer.flush(_FLUSH_S)
            ground.catch_up(group, TOPIC)
        process.send_signal(MEASURE_ANEW)
        measured = _publish(producer, source, measured_s)
        left = producer.flush(_FLUSH_S)
        if left:
            raise TimeoutError(f"{left} events were not acknowledged within {_FLUSH_S:g} s: {producer.trouble}")
        # The slowest events are the last to be stored: without them the percentile would be too good.
        ground.catch_up(group, TOPIC)
        status = _ask(port, "/api/status")
    return {"p50_ms": status["p50_ms"], "p99_ms": status["p99_ms"], "published": measured}


def _publish(producer: Producer, source: Any, seconds: float) -> int:
    began, published = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        for _ in range(int(passed * EVENTS_PER_S) - published):
            subject, fact = next(source)
            producer.publish(fact, subject=subject)
            published += 1
        time.sleep(0.001)
    return published


def _ask(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)
