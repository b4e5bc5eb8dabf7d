"""The README's example, run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas import fact_of
from streams.admin import create_topics
from streams.sdk import Producer
from tests.sdk import read

README = Path(__file__).parents[2] / "README.md"


def test_the_ten_lines_of_the_readme_send_two_facts(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
    assert len(example.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    create_topics(kafka)
    names: dict[str, object] = {}
    exec(example.replace("127.0.0.1:9092", kafka), names)
    producer = names["producer"]
    assert isinstance(producer, Producer)
    # By its origin, since others write to the same log.
    found = [event for events in read(kafka, [producer.origin]).values() for event in events]
    facts = [type(fact_of(event)).__name__ for event in found]
    assert sorted(facts) == ["GoldGained", "PlayerMoved"]
