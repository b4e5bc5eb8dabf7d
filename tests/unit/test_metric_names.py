"""One name in Prometheus has one meaning and one set of labels, whichever process tells it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

STREAMS = Path(__file__).parents[2] / "streams"


def declared(source: str) -> Iterator[str]:
    """The names of metrics: each stands first in a call or a row, before the text that says what is counted."""
    for node in ast.walk(ast.parse(source)):
        said: Sequence[ast.expr] = ()
        if isinstance(node, ast.Call):
            said = node.args
        elif isinstance(node, ast.Tuple):
            said = node.elts
        match [one.value for one in said[:2] if isinstance(one, ast.Constant)]:
            case [str(name), str(_)] if name.startswith("norn_"):
                yield name


def test_a_metric_is_declared_in_one_place() -> None:
    found = Counter(name for file in sorted(STREAMS.rglob("*.py")) for name in declared(file.read_text()))
    assert {"norn_events", "norn_holes", "norn_proposals", "norn_bridge_events"} <= set(found)
    assert [name for name, times in found.items() if times > 1] == []


def test_a_name_that_is_another_with_an_ending_of_prometheus_is_not_taken() -> None:
    found = {name for file in sorted(STREAMS.rglob("*.py")) for name in declared(file.read_text())}
    endings = ("_total", "_created", "_count", "_sum", "_bucket")
    assert [name for name in found if any(name.removesuffix(end) in found - {name} for end in endings)] == []


def test_a_name_that_is_declared_twice_is_found() -> None:
    twice = 'Counter("norn_x", "One.", ["a"])\nROWS = (("norn_x", "Another.", len),)'
    assert list(declared(twice)) == ["norn_x", "norn_x"]
