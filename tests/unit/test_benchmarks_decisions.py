"""The benchmarks of decisions run to their end and say what they are to say; a quiet machine tells how fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import decide, overhead
from benchmarks.ground import Ground

ENTRIES, LOOKUPS, SAID, REQUESTS = 60, 10, 40, 32


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A ground whose servers nobody starts, because these need none."""
    return Ground(tmp_path, lambda what: None)


def test_every_route_without_a_model_is_timed_over_a_full_cache(ground: Ground) -> None:
    found = decide.measure(ground, entries=ENTRIES, lookups=LOOKUPS, said=SAID)
    assert (found["entries"], found["lookups"], found["said"]) == (ENTRIES, LOOKUPS, SAID)
    for route in ("rule", "exact", "semantic"):
        assert 0 < found[f"{route}_p50_ms"] <= found[f"{route}_p99_ms"]
        assert len(found[f"{route}_p99_runs_ms"]) == found["runs"]
    assert found["hits_false"] == 0 < found["hits_exact"] + found["hits_semantic"]


def test_the_worker_is_timed_beside_the_bare_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "REQUESTS", REQUESTS)
    monkeypatch.setattr(overhead, "packaged_weights", lambda: None)
    found: dict[str, Any] = overhead.measure()
    steady = found["steady"]
    assert (found["llamacpp"], found["overhead"], steady["requests"]) == (None, steady["overhead"], REQUESTS)
    assert len(steady["runs"]) == overhead.RUNS
    assert min(steady["worker_per_s"], steady["bare_per_s"]) > 0
