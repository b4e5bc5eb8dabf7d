"""The sizes that the benchmark of the SDK tells are those of one and the same event, written twice."""

from __future__ import annotations

import json

from google.protobuf.json_format import ParseDict
from hypothesis import given

from benchmarks.produce import json_of, sizes
from schemas import Event
from tests.strategies import events


@given(events())
def test_the_json_that_is_measured_is_the_whole_event(event: Event) -> None:
    written = json_of(event.SerializeToString())
    assert ParseDict(json.loads(written), Event()) == event


def test_the_ratio_is_that_of_the_two_sizes() -> None:
    told = sizes(1_000)
    assert abs(told["bytes_ratio"] - told["bytes_json"] / told["bytes_protobuf"]) < 0.01
    assert told["bytes_protobuf"] < told["bytes_json"]
