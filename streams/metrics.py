"""What a worker measures of itself: Prometheus metrics, and the latencies a person asks for as percentiles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.processors.taken import Taken

# Buckets grow by 5 % from 1 ms to over an hour, so that a percentile read from them is within 5 % of the true one.
LATENCY_GROWTH = 1.05
LATENCY_BUCKETS = 320

_EDGES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Latencies:
    """A histogram of milliseconds whose size does not depend on how much it has seen."""

    def __init__(self) -> None:
        self._edges = LATENCY_GROWTH ** np.arange(LATENCY_BUCKETS)
        self._counts = np.zeros(LATENCY_BUCKETS + 1, dtype=np.int64)

    def add(self, latencies_ms: npt.NDArray[np.int64]) -> None:
        """Count latencies. Shape (n,), milliseconds."""
        buckets = np.searchsorted(self._edges, latencies_ms, side="left")
        self._counts += np.bincount(buckets, minlength=LATENCY_BUCKETS + 1)

    def clear(self) -> None:
        """Forget everything, to measure from here on."""
        self._counts[:] = 0

    def percentile_ms(self, percent: float) -> float | None:
        """The upper edge of the bucket that holds the percentile, in milliseconds; None when nothing was counted."""
        total = int(self._counts.sum())
        if total == 0:
            return None
        bucket = int(np.searchsorted(np.cumsum(self._counts), total * percent / 100))
        return round(float(self._edges[min(bucket, LATENCY_BUCKETS - 1)]), 1)


class Metrics:
    """One worker's metrics. Names follow Prometheus: what is counted, then its unit."""

    def __init__(self, role: str, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.latencies = Latencies()
        self.events = Counter("norn_events", "Events taken up and stored.", ["role"], registry=registry).labels(role)
        self.duplicates = Counter(
            "norn_duplicates", "Repeats dropped by their dots.", ["role"], registry=registry
        ).labels(role)
        self.dead_letters = Counter("norn_dead_letters", "Records that could not be used.", ["role"], registry=registry)
        self._dead = self.dead_letters.labels(role)
        self.passed_over = Counter(
            "norn_passed_over",
            "Events from long before the group first came, which it learned from and did not act on.",
            ["role"],
            registry=registry,
        ).labels(role)
        self.fenced = Counter(
            "norn_fenced",
            "Transactions refused because another worker had claimed the partition.",
            ["role"],
            registry=registry,
        ).labels(role)
        self.batch = Histogram(
            "norn_batch_events",
            "Events a transaction stored.",
            ["role"],
            registry=registry,
            buckets=[10**n for n in range(7)],
        ).labels(role)
        self.latency = Histogram(
            "norn_latency_seconds",
            "From an event's stamp to its storage.",
            ["role"],
            registry=registry,
            buckets=_EDGES_S,
        ).labels(role)
        self.stored_at = Gauge(
            "norn_stored_time_seconds", "When something was last stored.", ["role"], registry=registry
        )
        self._stored_at = self.stored_at.labels(role)

    def taken(self, taken: Taken, now_ms: int) -> None:
        """Count a poll that has been stored, its dead letters aside."""
        self.stored(taken.events, now_ms)
        self.duplicates.inc(taken.duplicates)
        if len(taken.stamped_ms):
            latencies_ms = np.maximum(now_ms - taken.stamped_ms, 0)
            self.latencies.add(latencies_ms)
            self.latency.observe(float(latencies_ms.max()) / 1000)

    def stored(self, events: int, now_ms: int) -> None:
        """Count events that have been stored."""
        self.events.inc(events)
        self.batch.observe(events)
        self._stored_at.set(now_ms / 1000)

    def dead(self, letters: int) -> None:
        """Count records that could not be used."""
        self._dead.inc(letters)
