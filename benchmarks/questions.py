"""BENCHMARKS: one file a question. Each prints one JSON object, with the peers run beside it where there are any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import decide, fold, gpu, history, latency, memory, overhead, produce
from benchmarks.ground import Ground

BENCHMARKS: Mapping[str, Callable[[Ground], dict[str, Any]]] = {
    "fold": fold.measure,
    "history": history.measure,
    "produce": lambda ground: produce.run(ground.servers.kafka),
    "latency": latency.measure,
    "memory": memory.measure,
    "decide": lambda ground: decide.measure(ground) | overhead.measure(),
    "gpu": lambda ground: gpu.measure(ground.say),
}
