"""docker-compose.kafka.yml describes a cluster that holds together, as far as that can be seen without running it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.config import Settings
from streams.embedded import jars

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.kafka.yml"
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
WORKERS = ("fold", "history", "decide", "infer", "policy")

#: What a service of this file may say; a misspelt key is otherwise found only by a Docker engine.
SERVICE_KEYS = {
    "build", "command", "depends_on", "environment", "healthcheck", "image", "ports", "restart", "shm_size",
    "stop_grace_period", "ulimits", "volumes",
}  # fmt: skip
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return dict(compose["services"])


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service["environment"].items()}


def test_it_says_only_what_compose_understands(compose: dict[str, Any], services: dict[str, Any]) -> None:
    assert {key for key in compose if not key.startswith("x-")} == {"name", "services", "volumes"}
    for name, service in services.items():
        assert set(service) <= SERVICE_KEYS, name
        for value in service.get("environment", {}).values():
            assert isinstance(value, str | int), f"{name}: {value!r} would not be text"


def test_every_image_is_pinned_to_a_version(services: dict[str, Any]) -> None:
    for name, service in services.items():
        image, _, tag = service["image"].partition(":")
        assert tag not in ("", "latest"), f"{name} runs {image} of any version"


def test_the_brokers_are_of_the_version_that_runs_embedded(services: dict[str, Any]) -> None:
    assert {services[name]["image"] for name in BROKERS} == {f"apache/kafka:{jars.ENDPOINT.rpartition(':')[2]}"}


def test_three_brokers_form_one_cluster(services: dict[str, Any]) -> None:
    settings = [environment_of(services[name]) for name in BROKERS]
    assert len({each["CLUSTER_ID"] for each in settings}) == 1
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", settings[0]["CLUSTER_ID"])
    assert [each["KAFKA_NODE_ID"] for each in settings] == ["1", "2", "3"]
    (voters,) = {each["KAFKA_CONTROLLER_QUORUM_VOTERS"] for each in settings}
    assert voters.split(",") == [f"{n}@{name}:9093" for n, name in enumerate(BROKERS, start=1)]
    assert {name for name in services if name.startswith("kafka")} == set(BROKERS)


def test_every_event_is_on_two_brokers_before_it_is_acknowledged(services: dict[str, Any]) -> None:
    for name in BROKERS:
        settings = environment_of(services[name])
        factors = {key: value for key, value in settings.items() if key.endswith("REPLICATION_FACTOR")}
        in_sync = {key: value for key, value in settings.items() if key.endswith(("MIN_ISR", "MIN_INSYNC_REPLICAS"))}
        assert len(factors) == 4
        assert set(factors.values()) == {"3"}
        assert len(in_sync) == 3
        assert set(in_sync.values()) == {"2"}
        assert settings["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"


def test_every_listener_has_a_protocol_and_an_address_that_clients_reach(services: dict[str, Any]) -> None:
    outside = set()
    for name in BROKERS:
        settings = environment_of(services[name])
        listeners = dict(listener.split("://") for listener in settings["KAFKA_LISTENERS"].split(","))
        protocols = dict(pair.split(":") for pair in settings["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
        advertised = dict(listener.split("://") for listener in settings["KAFKA_ADVERTISED_LISTENERS"].split(","))
        assert set(listeners) == set(protocols)
        assert set(advertised) == set(listeners) - {settings["KAFKA_CONTROLLER_LISTENER_NAMES"]}
        assert settings["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
        assert advertised["INSIDE"] == f"{name}{listeners['INSIDE']}"
        (published,) = services[name]["ports"]
        assert published == f"{advertised['OUTSIDE']}{listeners['OUTSIDE']}"
        assert settings["KAFKA_LOG_DIRS"] == services[name]["volumes"][0].partition(":")[2]
        outside.add(advertised["OUTSIDE"])
    assert len(outside) == 3


def published_ports(services: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, service in services.items():
        for port in service.get("ports", []):
            yield name, port


def test_every_port_is_open_to_this_machine_alone_and_taken_once(services: dict[str, Any]) -> None:
    ports = list(published_ports(services))
    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port[1])] == []
    here = [port.split(":")[1] for _, port in ports]
    assert len(set(here)) == len(here)


def test_what_a_service_waits_for_is_there_and_can_come_true(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, f"{name} waits for {needed}, which is no service"
            assert how["condition"] in CONDITIONS
            if how["condition"] == "service_healthy":
                assert services[needed]["healthcheck"]["test"], f"nobody can tell whether {needed} is healthy"
            if how["condition"] == "service_completed_successfully":
                assert services[needed]["restart"] == "no", f"{needed} never completes"


def test_every_named_volume_is_declared_and_used_by_one_service(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    used = [volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    assert sorted(used) == sorted(compose["volumes"])


def test_every_role_has_a_worker_that_knows_every_server(services: dict[str, Any]) -> None:
    names = {f"NORN_{name.upper()}" for name in Settings.model_fields}
    for role in WORKERS:
        service = services[role]
        assert service["command"] == ["norn", "worker", role]
        assert service["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
        settings = environment_of(service)
        assert {"NORN_KAFKA", "NORN_POSTGRES", "NORN_CLICKHOUSE"} <= set(settings) <= names
        assert settings["NORN_KAFKA"].split(",") == [f"{broker}:19092" for broker in BROKERS]
    assert set(services["prepare"]["depends_on"]) == {*BROKERS, "postgres", "clickhouse"}


def test_the_databases_open_to_whom_the_workers_say_they_are(services: dict[str, Any]) -> None:
    workers = environment_of(services["fold"])
    postgres, clickhouse = (environment_of(services[name]) for name in ("postgres", "clickhouse"))
    user, password, database = (postgres[f"POSTGRES_{part}"] for part in ("USER", "PASSWORD", "DB"))
    assert workers["NORN_POSTGRES"] == f"postgresql://{user}:{password}@postgres:5432/{database}"
    user, password, database = (clickhouse[f"CLICKHOUSE_{part}"] for part in ("USER", "PASSWORD", "DB"))
    assert workers["NORN_CLICKHOUSE"] == f"http://{user}:{password}@clickhouse:8123/{database}"


def test_the_image_is_built_from_files_that_are_there(services: dict[str, Any]) -> None:
    (build,) = {tuple(services[role]["build"].items()) for role in (*WORKERS, "prepare")}
    dockerfile = ROOT / dict(build)["dockerfile"]
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in dockerfile.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == sent
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_compose_itself_accepts_the_file(services: dict[str, Any]) -> None:
    """Where Docker's compose is installed it has the last word; it needs no engine for that."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode != 0:
        return
    done = subprocess.run(
        [docker, "compose", "-f", str(FILE), "config", "--services"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(services)
