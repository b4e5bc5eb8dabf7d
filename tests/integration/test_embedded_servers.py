"""The three servers as a group: they start, share, survive, and never outlive whoever started them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import clickhouse_connect
import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams import embedded
from streams.embedded import ServerFailed, Servers, ServersError, ServersNotRunning, find, locate, ports, start
from tests.waiting import WITHIN_S, eventually

STARTER = """
import signal, sys
from pathlib import Path
from streams.embedded import start
# Whoever starts the tests in the background of a shell has them ignore it, and all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
with start(Path(sys.argv[1])) as servers:
    print("up", flush=True)
    signal.pause()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    with new_home() as folder:
        yield folder


@pytest.fixture(scope="module")
def busy_home() -> Iterator[Path]:
    """A home whose servers another process runs, and stops when it is told to."""
    with new_home() as folder:
        other = start_elsewhere(folder)
        yield folder
        other.send_signal(signal.SIGINT)
        other.wait(WITHIN_S)
        assert find(folder) is None


@contextmanager
def new_home() -> Iterator[Path]:
    # Not pytest's own folder, which it closes to the account that PostgreSQL runs under.
    folder = Path(tempfile.mkdtemp(prefix="norn-tests-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start_elsewhere(home: Path) -> subprocess.Popen[str]:
    """Another process that starts the servers, and holds them."""
    other = subprocess.Popen([sys.executable, "-c", STARTER, str(home)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "up\n"
    return other


def entries(home: Path) -> dict[str, Any]:
    return dict(json.loads((home / "servers.json").read_text())["entries"])


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    # It may end between two questions about it.
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def listens_on(process: psutil.Process) -> set[str]:
    # PostgreSQL's workers come and go.
    with suppress(psutil.NoSuchProcess):
        connections = process.net_connections("inet")
        return {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
    return set()


async def write_everywhere(servers: Servers) -> None:
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(WITHIN_S)
    producer = Producer({"bootstrap.servers": servers.kafka, "acks": "all"})
    producer.produce("kept", b"kept")
    assert producer.flush(WITHIN_S) == 0
    connection = await asyncpg.connect(servers.postgres)
    await connection.execute("create table kept as select 'kept' as word")
    await connection.close()
    client: Any = clickhouse_connect.get_client(dsn=servers.clickhouse)
    client.command("CREATE TABLE kept (word String) ENGINE = MergeTree ORDER BY word")
    client.insert("kept", [["kept"]], column_names=["word"])
    client.close()


async def read_everywhere(servers: Servers) -> list[str]:
    consumer = Consumer({"bootstrap.servers": servers.kafka, "group.id": "reader"})
    consumer.assign([TopicPartition("kept", 0, 0)])
    (message,) = eventually(lambda: consumer.consume(1, timeout=1), message="the message is still there")
    consumer.close()
    connection = await asyncpg.connect(servers.postgres)
    word = await connection.fetchval("select word from kept")
    await connection.close()
    client: Any = clickhouse_connect.get_client(dsn=servers.clickhouse)
    read = [bytes(message.value()).decode(), word, client.command("SELECT word FROM kept")]
    client.close()
    return read


def test_a_killed_starter_leaves_no_server_behind(home: Path) -> None:
    starter = start_elsewhere(home)
    pids = [entry[part]["pid"] for entry in entries(home).values() for part in ("server", "supervisor")]
    assert alive(pids) == pids
    # A server's own children come and go; those of now must go with it as well.
    pids += [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    eventually(lambda: not alive(pids), message="the servers of a killed starter are gone")
    assert find(home) is None


async def test_what_was_written_survives_the_death_of_every_server(home: Path) -> None:
    with start(home) as before:
        await write_everywhere(before)
        for entry in entries(home).values():
            os.kill(entry["server"]["pid"], signal.SIGKILL)
        eventually(lambda: find(home) is None, message="the dead servers are not found")
    with start(home) as after:
        assert after == before
        assert await read_everywhere(after) == ["kept"] * 3


def test_every_port_is_open_to_this_machine_alone(busy_home: Path) -> None:
    processes = [process for entry in entries(busy_home).values() for process in family(entry["server"]["pid"])]
    assert {address for process in processes for address in listens_on(process)} == {"127.0.0.1"}


def test_a_second_start_on_a_home_shares_the_set_and_leaves_it_running(busy_home: Path) -> None:
    stages: set[str] = set()
    with start(busy_home, progress=lambda _server, stage, _done, _total: stages.add(stage)) as shared:
        assert shared == find(busy_home) == locate(busy_home)
    assert stages == {"sharing"}
    assert find(busy_home) == shared


def test_a_home_without_servers_says_how_to_start_them(home: Path) -> None:
    assert find(home) is None
    with pytest.raises(ServersNotRunning, match=r"norn up.*NORN_KAFKA, NORN_CLICKHOUSE"):
        locate(home, postgres="postgresql://elsewhere/norn")


def test_a_set_without_all_servers_cannot_be_shared_for_all(home: Path) -> None:
    with start(home, kafka="elsewhere:9092", postgres="postgresql://elsewhere/norn") as some:
        assert some.kafka == "elsewhere:9092"
        with pytest.raises(ServersError, match="NORN_HOME"), start(home):
            raise AssertionError("started beside a running set")


def test_servers_given_by_url_are_not_started(home: Path) -> None:
    urls = {"kafka": "a:1", "postgres": "postgresql://b", "clickhouse": "http://c"}
    with start(home, **urls) as servers:
        assert servers == Servers(**urls) == locate(home, **urls)
    assert list(home.iterdir()) == []


def test_a_server_that_cannot_start_says_why_and_takes_the_others_along(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "PG_VERSION").write_text("9\n")
    (home / "postgres.password").write_text("unused")
    before = set(psutil.Process().children())
    with pytest.raises(ServerFailed, match=r"(?s)postgres ended .*postgres.*norn doctor"), start(home):
        raise AssertionError("started on a broken cluster")
    assert set(psutil.Process().children()) <= before
    assert not (home / "servers.json").exists()


def test_a_port_lost_to_another_process_is_chosen_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as taken:
        lost: int = taken.getsockname()[1]
        monkeypatch.setattr(ports, "choose", lambda *_: {"clickhouse": lost})
        with embedded.start(home, kafka="elsewhere:9092", postgres="postgresql://elsewhere/norn") as servers:
            assert not servers.clickhouse.endswith(f":{lost}")
            assert clickhouse_connect.get_client(dsn=servers.clickhouse).command("SELECT 1") == 1


def test_no_secret_is_on_a_command_line_or_in_a_file_that_others_read(busy_home: Path) -> None:
    password = (busy_home / "postgres.password").read_text()
    said = entries(busy_home).values()
    lines = [
        " ".join(psutil.Process(entry[part]["pid"]).cmdline()) for entry in said for part in entry if part != "url"
    ]
    assert len(lines) == 6
    for secret in (password, os.environ["PATH"]):
        assert [line for line in lines if secret in line] == []
    for file in ("postgres.password", "servers.json"):
        assert (busy_home / file).stat().st_mode & 0o077 == 0
