"""Bytewax: stateful_map by key, without recovery."""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from benchmarks.peers.folding import Meter, State, arguments, step

bootstrap, topic = arguments()
meter = Meter("bytewax")


class Counting(StatelessSinkPartition[Any]):
    """Counts what was folded."""

    def write_batch(self, items: list[Any]) -> None:
        """Count a batch."""
        meter.add(len(items))


class Sink(DynamicSink[Any]):
    """One counting partition."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Counting:
        """The partition."""
        return Counting()


def fold(state: State | None, value: bytes) -> tuple[State, int]:
    """Fold one event."""
    return step(state, value), 1


flow = Dataflow("bench")
records = op.input("records", flow, KafkaSource([bootstrap], [topic], tail=False, batch_size=10_000))
keyed = op.map("keyed", records, lambda record: (record.key.decode(), record.value))
op.output("sink", op.stateful_map("fold", keyed, fold), Sink())
run_main(flow)
