"""The demo as a newcomer runs it: real servers, a real game, a real model; one run, looked at from all sides."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import finished

# Servers are initialised, workers import what they are made of, and a machine that runs tests is busy.
DEMO_WITHIN_S = 300.0

pytestmark = pytest.mark.timeout(DEMO_WITHIN_S + 30)


@dataclass(frozen=True)
class Run:
    home: Path
    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    home = Path(tempfile.mkdtemp(prefix="norn-demo-"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NORN_")}
    command = [sys.executable, "-m", "streams.cli", "demo", "--seconds", "15", "--heroes", "8", "--json"]
    environment = {**kept, "NORN_HOME": str(home), "NORN_WEB_PORT": "0"}
    ran = finished(command, DEMO_WITHIN_S, environment)
    yield Run(home, ran.returncode, ran.stdout, ran.stderr)
    shutil.rmtree(home, ignore_errors=True)


def test_the_reconciliation_holds(run: Run) -> None:
    assert run.code == 0, run.err + run.out
    assert run.report["holds"]
    assert run.report["differences"] == []


def test_every_event_that_was_produced_is_in_kafka_in_postgres_and_in_clickhouse(run: Run) -> None:
    report = run.report
    counts = [report[f"events_{where}"] for where in ("produced", "in_kafka", "in_postgres", "in_clickhouse")]
    assert len(set(counts)) == 1, counts
    assert counts[0] > 100
    assert (report["holes"], report["dead_letters"]) == (0, 0)


def test_a_model_was_asked_and_its_answers_took_effect_and_cost_something(run: Run) -> None:
    assert run.report["decisions"] >= 1
    assert run.report["cost_usd_micros"] > 0


def test_latency_and_memory_were_measured(run: Run) -> None:
    assert 0 < run.report["p50_ms"] <= run.report["p99_ms"]
    assert 100 < run.report["memory_mb"] < 3000


def test_standard_output_is_one_json_object_and_progress_goes_elsewhere(run: Run) -> None:
    assert len(run.out.splitlines()) == 1
    assert "kafka: starting" in run.err


def test_no_worker_had_to_be_started_again(run: Run) -> None:
    assert run.report["restarts"] == 0


def test_nothing_is_left_running(run: Run) -> None:
    assert [process.cmdline() for process in psutil.process_iter() if _belongs_to(process, run.home)] == []


def _belongs_to(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get("NORN_HOME") == str(home) or any(str(home) in part for part in process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False
