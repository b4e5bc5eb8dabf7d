"""The tests have the same names in every process: else several workers refuse to share them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COLLECT = ("-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")


def collect(hash_seed: int) -> subprocess.Popen[str]:
    """Collect all tests in a process of its own, in which sets have an order of their own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.Popen(
        [sys.executable, *COLLECT],
        cwd=ROOT,
        env={**ours, "PYTHONHASHSEED": str(hash_seed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def names(collecting: subprocess.Popen[str]) -> list[str]:
    told, _ = collecting.communicate()
    assert collecting.returncode == 0, told
    return [line for line in told.splitlines() if "::" in line]


@pytest.mark.timeout(300)
def test_two_processes_at_two_times_collect_the_same_tests_in_the_same_order() -> None:
    # One after the other: they are seconds apart, so that the time of day in a name is found.
    first = names(collect(1))
    assert len(first) > 1_000
    assert names(collect(2)) == first
