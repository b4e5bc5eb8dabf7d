"""Decisions under fire: workers killed, a provider that fails, and a log that holds one effect of every request."""

from __future__ import annotations

import json
import sys

import pytest

from tests.commands import finished

# On a machine that runs nothing else it takes 40 s.
WITHIN_S = 300.0

pytestmark = pytest.mark.timeout(WITHIN_S + 30)


def test_nothing_is_lost_decided_twice_or_left_unanswered() -> None:
    command = [sys.executable, "-m", "streams.cli", "chaos", "infer", "--json"]
    command += ["--requests", "300", "--seconds", "8", "--kills", "1", "--decide-kills", "1"]
    ran = finished(command, WITHIN_S)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    found = json.loads(ran.stdout)
    assert (found["lost"], found["duplicate_effective"], found["unanswered"]) == (0, 0, 0)
    assert found["holds"]
    assert found["published"] == 300 <= found["requests"]
    assert found["effective"] + found["waiting"] + found["rejected_for_good"] == found["requests"]
    assert found["kills"] == {"infer": 1, "decide": 1}
    assert found["died"] == {}, ran.stderr
    assert found["provider"]["requests"] > 0
    assert found["settled"]
