"""What the bridge counts of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from streams.bridge.models import Completed, Dispatched


class Meters:
    """The bridge's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self._events = Counter(
            "norn_bridge_events", "Events offered, by what became of them.", ["result"], registry=self.registry
        )
        self._completions = Counter(
            "norn_bridge_completions", "Actions completed, by outcome.", ["outcome"], registry=self.registry
        )
        self._requests = Counter(
            "norn_bridge_requests", "Requests, by route and status.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "norn_bridge_request_seconds", "How long a request took.", ["route"], registry=self.registry
        )

    def dispatched(self, answer: Dispatched) -> None:
        """Count a batch."""
        self._events.labels("accepted").inc(answer.accepted)
        self._events.labels("repeated").inc(answer.repeated)
        self._events.labels("refused").inc(len(answer.refused))
        self._events.labels("deferred").inc(len(answer.deferred))

    def completed(self, answer: Completed) -> None:
        """Count a completion."""
        self._completions.labels("repeated" if answer.repeated else answer.outcome).inc()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
