"""Settings of a topic that a promise rests on: told of, mended by one command, and refused by a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from schemas import TOPICS
from streams import doctor
from streams.admin import TopicsDiffer, check_topics, create_topics, mend_topics, topic_differences
from streams.config import Settings
from streams.embedded import Servers
from tests.commands import finished

TOPIC = TOPICS["players.actions.v1"]
NORN = [sys.executable, "-m", "streams.cli"]


def alter(kafka: str, settings: Mapping[str, str]) -> None:
    """Set a topic's settings as anybody may who has the broker's tools."""
    entries = [ConfigEntry(name, text, incremental_operation=AlterConfigOpType.SET) for name, text in settings.items()]
    resource = ConfigResource(ResourceType.TOPIC, TOPIC.name, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": kafka})
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(30)


@pytest.fixture
def kafka_of_norn(servers: Servers) -> Iterator[str]:
    """A broker with Norn's topics, which are as they must be again after the test."""
    create_topics(servers.kafka)
    mend_topics(servers.kafka, topic_differences(servers.kafka))
    yield servers.kafka
    mend_topics(servers.kafka, topic_differences(servers.kafka))


def environment(servers: Servers, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "NORN_HOME": str(home),
        "NORN_KAFKA": servers.kafka,
        "NORN_POSTGRES": servers.postgres,
        "NORN_CLICKHOUSE": servers.clickhouse,
        "COLUMNS": "300",
    }


def test_topics_made_by_norn_have_the_settings_that_it_needs(kafka_of_norn: str) -> None:
    check_topics(kafka_of_norn)


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("message.timestamp.type", "CreateTime"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", "3600000"),
        ("retention.bytes", "1000000000"),
        ("max.message.bytes", "1000"),
    ],
)
def test_a_setting_that_breaks_a_promise_is_named_and_mended(kafka_of_norn: str, setting: str, found: str) -> None:
    alter(kafka_of_norn, {setting: found})
    with pytest.raises(TopicsDiffer, match=rf"{TOPIC.name} has {setting}={found} .*`norn topics --fix`"):
        check_topics(kafka_of_norn)
    mend_topics(kafka_of_norn, topic_differences(kafka_of_norn))
    check_topics(kafka_of_norn)


def test_mending_leaves_other_settings_alone(kafka_of_norn: str) -> None:
    alter(kafka_of_norn, {"message.timestamp.type": "CreateTime", "segment.bytes": "134217728"})
    mend_topics(kafka_of_norn, topic_differences(kafka_of_norn))
    resource = ConfigResource(ResourceType.TOPIC, TOPIC.name)
    admin = AdminClient({"bootstrap.servers": kafka_of_norn})
    (told,) = admin.describe_configs([resource]).values()
    assert told.result(30)["segment.bytes"].value == "134217728"


def test_the_commands_tell_mend_and_refuse(kafka_of_norn: str, servers: Servers, tmp_path: Path) -> None:
    alone = environment(servers, tmp_path)
    alter(kafka_of_norn, {"message.timestamp.type": "CreateTime"})

    told = finished([*NORN, "topics"], 60, alone)
    assert told.returncode == 1
    assert "message.timestamp.type=CreateTime" in told.stderr
    assert "norn topics --fix" in told.stderr

    found = doctor.topics(Settings(home=tmp_path, kafka=servers.kafka))
    assert found is not None
    assert (found.ok, found.mend) == (False, "norn topics --fix")

    refused = finished([*NORN, "worker", "fold", "--web-port", "0"], 60, alone)
    assert refused.returncode == 3
    assert "norn topics --fix" in refused.stderr
    assert "Traceback" not in refused.stderr

    mended = finished([*NORN, "topics", "--fix", "--json"], 60, alone)
    assert mended.returncode == 0
    assert [one["setting"] for one in json.loads(mended.stdout)["mended"]] == ["message.timestamp.type"]
    found = doctor.topics(Settings(home=tmp_path, kafka=servers.kafka))
    assert found is not None
    assert found.ok


def test_a_worker_waits_for_a_broker_that_is_away_and_says_so(servers: Servers, tmp_path: Path) -> None:
    alone = {**environment(servers, tmp_path), "NORN_KAFKA": "127.0.0.1:1"}
    with subprocess.Popen([*NORN, "worker", "fold", "--web-port", "0"], env=alone, stderr=subprocess.PIPE) as worker:
        assert worker.stderr is not None
        try:
            assert any(b"waits for Kafka at 127.0.0.1:1" in line for line in iter(worker.stderr.readline, b""))
        finally:
            worker.send_signal(signal.SIGTERM)
        worker.wait(30)
