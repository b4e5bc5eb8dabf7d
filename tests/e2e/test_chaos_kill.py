"""Stores under fire: workers, Postgres and Kafka killed while events come in, and each event in each store once."""

from __future__ import annotations

import json
import sys

import pytest

from tests.commands import finished

# On a machine that runs nothing else it takes 60 s.
WITHIN_S = 400.0

pytestmark = pytest.mark.timeout(WITHIN_S + 30)


def test_nothing_is_lost_or_doubled_whatever_is_killed() -> None:
    command = [sys.executable, "-m", "streams.cli", "chaos", "kill", "--json"]
    ran = finished([*command, "--events", "20000", "--kills", "4", "--seconds", "15"], WITHIN_S)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    found = json.loads(ran.stdout)
    assert (found["lost"], found["doubled"], found["events"]) == (0, 0, 20_000)
    assert found["kills"] == {"fold": 1, "history": 1, "postgres": 1, "kafka": 1}
    assert found["settled"]
    assert found["reconcile_holds"]
