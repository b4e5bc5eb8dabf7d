"""What a worker has decided, and what it took, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from inference.batching import SIZE
from inference.counters import BOUNDS_MS, Counters, Spread


class DecisionMetrics(Collector):
    """Reads a worker's counters when it is asked. Names follow Prometheus: what is counted, then its unit."""

    def __init__(self, counters: Counters, in_flight: Callable[[], Mapping[str, int]]) -> None:
        """`in_flight`: how many requests of each tier are being answered."""
        self._counters = counters
        self._in_flight = in_flight

    def collect(self) -> Iterator[Metric]:
        """Every metric as it is now."""
        found = self._counters
        in_flight = {(tier,): count for tier, count in self._in_flight().items()}
        gauge = GaugeMetricFamily("norn_in_flight", "Requests being answered.", labels=["tier"])
        for labels, count in in_flight.items():
            gauge.add_metric(labels, count)
        yield gauge
        yield _counter("norn_proposals", "Decisions proposed.", ("agent", "tier", "route"), found.decisions)
        yield _counter("norn_fallbacks", "Answers by a lesser route than wanted.", ("reason",), _one(found.fallbacks))
        yield _counter("norn_unsafe_answers", "Answers that were not let through.", ("reason",), _one(found.unsafe))
        yield _counter("norn_model_calls", "Calls of a model.", ("model", "tier"), found.calls)
        yield _counter("norn_prompt_tokens", "Tokens read by a model.", ("model",), _one(found.prompt_tokens))
        yield _counter("norn_completion_tokens", "Tokens written.", ("model",), _one(found.completion_tokens))
        yield _counter("norn_cost_usd_micros", "Micro-dollars spent.", ("model", "tier"), found.cost_usd_micros)
        yield _counter(
            "norn_saved_calls", "Requests answered without a call of their own.", (), {(): found.saved_calls}
        )
        yield _counter("norn_expired_requests", "Taken up after their deadline.", (), {(): found.expired})
        yield _counter("norn_rejected_requests", "Asked of nobody we know.", (), {(): found.rejected})
        yield _counter("norn_repeated_requests", "Answered before by this worker.", (), {(): found.repeated})
        yield _seconds("norn_queue_wait_seconds", "How long a call waited for its turn.", found.waited)
        yield _seconds("norn_decision_seconds", "From taking a request up to its answer.", found.latency)
        yield _sizes("norn_batch_size", "Requests that a call answered which had waited for others.", found.batch_sizes)


def _one(counts: Mapping[str, int]) -> Mapping[tuple[str, ...], int]:
    return {(label,): count for label, count in counts.items()}


def _counter(name: str, said: str, labels: tuple[str, ...], counts: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, said, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _seconds(name: str, said: str, spread: Spread) -> Metric:
    return _histogram(name, said, [bound / 1000 for bound in BOUNDS_MS], spread.counts, spread.total_ms / 1000)


def _sizes(name: str, said: str, calls: Mapping[int, int]) -> Metric:
    bounds = range(1, SIZE + 1)
    larger = sum(count for size, count in calls.items() if size > SIZE)
    counts = [*(calls.get(size, 0) for size in bounds), larger]
    return _histogram(name, said, bounds, counts, sum(size * count for size, count in calls.items()))


def _histogram(name: str, said: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Metric:
    edges = [*(str(float(bound)) for bound in bounds), "+Inf"]
    buckets = list(zip(edges, map(float, accumulate(counts)), strict=True))
    return HistogramMetricFamily(name, said, buckets=buckets, sum_value=total)
