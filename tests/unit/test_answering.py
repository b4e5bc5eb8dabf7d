"""What an event leads to, and may not be written, is told and left: it stops no worker."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from schemas import DecisionRejected, Event
from streams.processors.answering import Answering
from streams.processors.commit import Commit
from streams.sdk import Producer
from tests.sdk import nobody_listens


@pytest.mark.parametrize(
    ("event", "decision_id", "written"),
    [
        (Event(subject="hero-1"), "d", 2),
        (Event(subject="hero-1"), "x" * 300, 1),
        (Event(subject="x" * 300), "d", 0),
        (Event(subject="hero\0"), "d", 0),
        (Event(subject="hero-1", trace="\n"), "d", 0),
    ],
)
def test_an_answer_that_may_not_be_written_is_told_and_the_others_are_published(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, event: Event, decision_id: str, written: int
) -> None:
    with Producer(nobody_listens(), spill=tmp_path) as producer:
        answering = Answering("infer", producer, cast(Commit, None))
        answering.publish(event, [DecisionRejected(decision_id=decision_id), DecisionRejected(decision_id="d2")])
        assert producer.close(0) == written
    assert caplog.text.count("was not written") == 2 - written
