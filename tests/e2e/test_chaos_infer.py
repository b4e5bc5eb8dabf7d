"""Decisions under fire: workers killed, a provider that fails, and a log that holds one effect of every request."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

WITHIN_S = 170.0

pytestmark = pytest.mark.timeout(WITHIN_S + 30)


def test_nothing_is_lost_decided_twice_or_left_unanswered() -> None:
    command = [sys.executable, "-m", "streams.cli", "chaos", "infer", "--json"]
    command += ["--requests", "300", "--seconds", "8", "--kills", "1", "--decide-kills", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    found = json.loads(ran.stdout)
    assert (found["lost"], found["duplicate_effective"], found["unanswered"]) == (0, 0, 0)
    assert found["holds"]
    assert found["published"] == 300 <= found["requests"]
    assert found["effective"] + found["rejected_for_good"] == found["requests"]
    assert found["kills"] == {"infer": 1, "decide": 1}
    assert found["died"] == {}
    assert found["provider"]["requests"] > 0
    assert found["settled"]
