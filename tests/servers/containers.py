"""The servers in containers, of the images that docker-compose.kafka.yml names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException
from testcontainers.community.clickhouse import ClickHouseContainer
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from streams.embedded import kafka, ports
from tests.waiting import eventually

COMPOSE = Path(__file__).parents[2] / "docker-compose.kafka.yml"
PING_TIMEOUT_S = 2
KAFKA_WITHIN_S = 60.0
#: One node that clients of this machine reach, with the settings that the embedded one has and tests rely on.
KAFKA_SETTINGS = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "2000",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
}


def docker_answers() -> bool:
    """Whether a Docker engine is there to run containers."""
    try:
        client = docker.from_env(timeout=PING_TIMEOUT_S)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except DockerException:
        return False


@contextmanager
def started(names: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The URLs of the named servers, each in a container of its own, for as long as the block lasts."""
    with ExitStack() as stack:
        yield {name: STARTERS[name](stack) for name in names}


def image(start_of_name: str) -> str:
    """The image that the compose file pins, by the beginning of its name."""
    found = re.search(rf"image: ({re.escape(start_of_name)}\S+)", COMPOSE.read_text())
    assert found is not None, f"{COMPOSE.name} names no image {start_of_name}"
    return found.group(1)


def _kafka(stack: ExitStack) -> str:
    # Chosen here and not by Docker: the node has to name the port under which clients reach it.
    url = f"{ports.LOOPBACK}:{ports.any_free()}"
    container = DockerContainer(image("apache/kafka"))
    for name, value in {**KAFKA_SETTINGS, "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{url}"}.items():
        container.with_env(name, value)
    container.ports["9092/tcp"] = (ports.LOOPBACK, int(url.rpartition(":")[2]))
    stack.enter_context(container)
    eventually(lambda: kafka.healthy(url), KAFKA_WITHIN_S, f"Kafka in a container answers at {url}")
    return url


def _postgres(stack: ExitStack) -> str:
    container: Any = stack.enter_context(PostgresContainer(image("pgvector/pgvector"), driver=None))
    return str(container.get_connection_url())


def _clickhouse(stack: ExitStack) -> str:
    container: Any = stack.enter_context(ClickHouseContainer(image("clickhouse/clickhouse-server"), port=8123))
    address = f"{container.get_container_host_ip()}:{container.get_exposed_port(8123)}"
    return f"http://{container.username}:{container.password}@{address}/{container.dbname}"


STARTERS = {"kafka": _kafka, "postgres": _postgres, "clickhouse": _clickhouse}
