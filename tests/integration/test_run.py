"""`norn run` as a person uses it: it starts and keeps a machine's workers, says what happens, and stops them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from streams import doctor
from streams.config import Settings
from streams.embedded import Servers
from streams.preparing import make_topics, migrate_postgres
from streams.roster import members
from tests.commands import finished
from tests.waiting import eventually

NORN = [sys.executable, "-m", "streams.cli"]


@pytest.fixture
async def environment(servers: Servers, postgres: str, clickhouse: str, tmp_path: Path) -> dict[str, str]:
    make_topics(servers.kafka)
    await migrate_postgres(postgres)
    return {
        **os.environ,
        "NORN_HOME": str(tmp_path),
        "NORN_KAFKA": servers.kafka,
        "NORN_POSTGRES": postgres,
        "NORN_CLICKHOUSE": clickhouse,
        "COLUMNS": "300",
    }


@contextmanager
def running(command: list[str], environment: dict[str, str], output: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that runs meanwhile; what it prints is added to `output`, line by line."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: output.extend(process.stdout or ()), daemon=True)
        reader.start()
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            reader.join(30)


async def test_two_workers_started_in_one_second_both_run(environment: dict[str, str], tmp_path: Path) -> None:
    first: list[str] = []
    second: list[str] = []
    with running([*NORN, "worker", "fold"], environment, first) as fold:
        with running([*NORN, "worker", "history"], environment, second) as history:
            eventually(lambda: [member.role for member in members(tmp_path)] == ["fold", "history"], message=str(first))
            assert len({member.url for member in members(tmp_path)}) == 2
            for process in (fold, history):
                process.terminate()
            assert [process.wait(60) for process in (fold, history)] == [0, 0], first + second
    assert "Traceback" not in "".join(first + second)


async def test_workers_are_kept_listed_and_stopped(environment: dict[str, str], tmp_path: Path) -> None:
    output: list[str] = []

    def changes(what: str) -> list[dict[str, Any]]:
        return [change for line in output if line.startswith("{") and (change := json.loads(line))["what"] == what]

    with running([*NORN, "run", "--workers", "fold=1,policy=2", "--json"], environment, output) as keeper:
        eventually(lambda: len(changes("runs")) == 3, message=str(output))
        assert [member.role for member in members(tmp_path)] == ["fold", "policy", "policy"]
        found = doctor.workers(Settings(home=tmp_path))
        assert found.detail == "1 fold, 2 policy"

        killed = next(change["pid"] for change in changes("runs") if change["name"] == "fold-1")
        psutil.Process(killed).kill()
        eventually(lambda: len(changes("runs")) == 4, message=str(output))
        (died,) = changes("died")
        assert died["name"] == "fold-1"
        assert changes("runs")[-1]["pid"] != killed

        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(60) == 0, output
    assert sorted(change["name"] for change in changes("stopped")) == ["fold-1", "policy-1", "policy-2"], output
    assert members(tmp_path) == []
    assert "stopping the workers\n" in output


def test_a_killed_keeper_leaves_no_worker_behind(environment: dict[str, str], tmp_path: Path) -> None:
    output: list[str] = []
    with running([*NORN, "run", "--workers", "fold=1"], environment, output) as keeper:
        eventually(lambda: members(tmp_path), message=str(output))
        keeper.kill()
        eventually(lambda: not members(tmp_path), message=str(output))


def test_without_servers_it_says_how_to_start_them(tmp_path: Path) -> None:
    alone = {name: text for name, text in os.environ.items() if not name.startswith("NORN_")}
    done = finished([*NORN, "run"], 60, {**alone, "NORN_HOME": str(tmp_path)})
    assert done.returncode == 3
    assert "norn up" in done.stderr


def test_workers_that_cannot_be_understood_are_refused(tmp_path: Path) -> None:
    done = finished([*NORN, "run"], 60, {**os.environ, "NORN_HOME": str(tmp_path), "NORN_WORKERS": "dragon=1"})
    assert done.returncode == 3
    assert "'dragon' is none of fold" in done.stderr
