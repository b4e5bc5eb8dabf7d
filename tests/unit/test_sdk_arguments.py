"""What the SDK is given: a clear error at once, or it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas import TOPICS, EventRefused, GoldGained, PermanentError, Topic
from streams.sdk import ArgumentRefused, Decisions, Producer
from streams.sdk.arguments import checked_bootstrap
from tests.sdk import nobody_listens, wait_for

GOLD = GoldGained(amount=3, reason="floor")
NOT_NUMBERS: tuple[Any, ...] = (-1, float("nan"), "5", None, True)


def word(name: str, value: Any) -> str:
    """What a refusal names: the argument, or the setting of librdkafka that may not be set."""
    settings = [setting for setting in value if isinstance(setting, str)] if isinstance(value, dict) else []
    return settings[0] if name == "client" and settings else name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("bootstrap", value) for value in ("", " ", b"localhost:9092", None, "host\0:9092", 9092)),
        *(("bootstrap", f"host:9092,{value}") for value in ("http://h:1", "h:port", "h:0", "h:65536", "h:", ":1")),
        *(("bootstrap", value) for value in (",", "a b", "host:9092;host:9093", "::1:9092")),
        *(("spill", value) for value in ("", None, 7, b"folder", "fol\0der")),
        *(("region", value) for value in ("", " ", "e\0u", "\ud800", "x" * 65, None, b"eu", 7)),
        *(("origin", value) for value in ("", "server 1", "server\0", "-server", "Zoë", "x" * 65, b"server", 7)),
        *(("topics", value) for value in (None, [], ["a"], {"a": 3})),
        *(("topics", {"a": topic}) for topic in (Topic("b", (), 1), Topic("a", (), 0))),
        *(("buffer_events_max", value) for value in (0, 1.5, *NOT_NUMBERS)),
        *(("buffer_bytes_max", value) for value in (0, 1.5, *NOT_NUMBERS)),
        *(("spill_bytes_max", value) for value in (1.5, *NOT_NUMBERS)),
        *(("away_s", value) for value in NOT_NUMBERS),
        *(("linger_ms", value) for value in (60_001, float("inf"), *NOT_NUMBERS)),
        *(("client", value) for value in ([], "acks=0", {7: 1}, {"acks": 0}, {"request.required.acks": 0})),
        *(("client", {name: "x"}) for name in ("bootstrap.servers", "metadata.broker.list", "error_cb")),
        *(("now_ms", value) for value in (None, 5, lambda: 1.5, lambda: "now", lambda: -1)),
        *(("random", value) for value in (None, 5, lambda size: "x" * size, lambda size: b"")),
    ],
)  # fmt: skip
def test_a_producer_refuses_an_argument_by_its_name(tmp_path: Path, name: str, value: Any) -> None:
    given = {"bootstrap": "localhost:1", "spill": tmp_path / "spill", name: value}
    with pytest.raises(ArgumentRefused, match=word(name, value)):
        Producer(given.pop("bootstrap"), **given)
    assert not list(tmp_path.glob("spill/*.spill"))
    assert issubclass(ArgumentRefused, PermanentError)
    assert issubclass(ArgumentRefused, ValueError)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("bootstrap", value) for value in ("", None, b"localhost:9092")),
        *(("group", value) for value in ("", " ", "g\0", "x" * 250, 7, b"games")),
        *(("subjects", value) for value in ("hero-1", b"hero-1", 7)),
        *(("timeout_s", value) for value in NOT_NUMBERS),
        *(("client", value) for value in ([], {"group.id": "mine"}, {"auto.offset.reset": "earliest"})),
    ],
)
def test_a_reader_of_decisions_refuses_an_argument_by_its_name(name: str, value: Any) -> None:
    given = {"bootstrap": "localhost:1", "timeout_s": 0, name: value}
    with pytest.raises(ArgumentRefused, match=word(name, value)):
        Decisions(given.pop("bootstrap"), **given)


@pytest.mark.parametrize("timeout_s", NOT_NUMBERS)
def test_a_time_to_wait_that_is_none_is_refused_wherever_one_is_given(tmp_path: Path, timeout_s: Any) -> None:
    with Producer(nobody_listens(), spill=tmp_path) as producer, Decisions(nobody_listens(), timeout_s=0) as decisions:
        for wait in (producer.flush, producer.close, decisions.poll):
            with pytest.raises(ArgumentRefused, match="timeout_s"):
                wait(timeout_s)
        producer.publish(GOLD, subject="hero-1")
        producer.close(0)


@pytest.mark.parametrize("subject", [None, 7, b"hero-1", ["hero-1"], {"hero": 1}, "a\0b", "x" * 257, "\ud800"])
def test_a_subject_that_is_none_is_refused_and_counted(tmp_path: Path, subject: Any) -> None:
    with Producer(nobody_listens(), spill=tmp_path) as producer:
        with pytest.raises(EventRefused, match="subject"):
            producer.publish(GOLD, subject=subject)
        assert producer.counters.refused == 1
        producer.close(0)


@pytest.mark.parametrize("stamp", ["5", None, 1.5, -1])
def test_a_stamp_that_is_none_is_refused(tmp_path: Path, stamp: Any) -> None:
    with Producer(nobody_listens(), spill=tmp_path) as producer:
        with pytest.raises(ArgumentRefused, match="stamp"):
            producer.observe(stamp)
        producer.close(0)


def test_a_folder_may_be_a_text_and_a_buffer_may_be_for_one_event(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    with Producer(
        nobody_listens(), spill=str(folder), buffer_events_max=1, away_s=0, origin="server-1.a_b"
    ) as producer:
        producer.publish(GOLD, subject="hero-1")
        wait_for(lambda: producer.counters.spilled == 1)
        assert producer.close(0) == 1
    assert list(folder.glob("*.spill"))


@pytest.mark.parametrize(
    "bootstrap", ["kafka", "kafka_1.inner:9092, 10.0.0.1:9093,", "[::1]:9092", "SASL_SSL://b-1.example.com:9096"]
)
def test_an_address_may_leave_out_its_port_or_name_its_protocol(bootstrap: str) -> None:
    assert checked_bootstrap(bootstrap) == bootstrap


def test_an_endless_wait_and_a_table_without_the_topic_work(tmp_path: Path) -> None:
    with Producer(nobody_listens(), spill=tmp_path, topics={}) as producer:
        assert producer.flush(float("inf")) == 0
        with pytest.raises(EventRefused, match=r"no players\.actions\.v1"):
            producer.publish(GOLD, subject="hero-1")
    assert set(TOPICS) > {"players.actions.v1"}


def test_a_closed_reader_says_so() -> None:
    decisions = Decisions(nobody_listens(), timeout_s=0)
    decisions.close()
    decisions.close()
    with pytest.raises(RuntimeError, match="closed"):
        decisions.poll()
