"""An hour of the world as `norn world` lives it: a real game, real servers, and a model that answers at once."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from inference.agents import AGENTS
from schemas import TIERS
from streams.chaos.provider import started
from tests.commands import finished

# On a machine that runs nothing else it takes half a minute; seven processes import what they are made of.
WITHIN_S = 300.0
# From midnight until after one: a problem, a dungeon, hazards, treasures, two hours, and heroes all the while.
DAYS, SECONDS_PER_DAY = 0.05, 60
#: Agents whose time comes within it, whatever the heroes do.
CALLED = {"problem", "adaptive_dungeon", "map_hazard", "treasure", "economy", "faction", "weather"}

pytestmark = pytest.mark.timeout(WITHIN_S + 30)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    home = Path(tempfile.mkdtemp(prefix="norn-world-"))
    command = [sys.executable, "-m", "streams.cli", "world", "--json"]
    command += ["--days", str(DAYS), "--seconds-per-day", str(SECONDS_PER_DAY), "--heroes", "2", "--sample", "5"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NORN_")}
    with started() as provider:
        engine = f"openai:gpt-4o-mini@{provider.url}/v1"
        tiers = {f"NORN_{tier.upper()}": engine for tier in TIERS}
        environment = {**kept, **tiers, "NORN_STORY": engine, "NORN_HOME": str(home), "NORN_WEB_PORT": "0"}
        ran = finished(command, WITHIN_S, environment)
    shutil.rmtree(home, ignore_errors=True)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def test_nobody_waited_in_vain_nothing_happened_twice_and_the_world_never_stood_still(found: dict[str, Any]) -> None:
    assert found["holds"]
    assert (found["unanswered"], found["duplicate_effective"], found["standstills"]) == (0, 0, [])
    assert (found["stalled"], found["restarts"]) == (0, 0)


def test_whose_time_came_decided(found: dict[str, Any]) -> None:
    assert found["decisions_by_agent"].keys() >= CALLED
    assert found["agents_run"] == len(found["decisions_by_agent"])
    known = (found[part] for part in ("decisions_by_agent", "idle_agents", "awaiting_approval"))
    assert {agent for part in known for agent in part} == AGENTS.keys()
    assert found["decisions"] >= sum(found["decisions_by_agent"].values())


def test_every_call_is_told_of_with_its_cost_and_a_fallback_is_no_saving(found: dict[str, Any]) -> None:
    decisions, calls, fallbacks = found["decisions"], found["llm_calls"], found["fallbacks"]
    assert found["tier_shares"].keys() == {"rule", "cache", "batch", "full"}
    assert sum(found["tier_shares"].values()) == pytest.approx(1, abs=0.001)
    # On a machine with no time to spare some calls are given up, but somebody has wanted one.
    assert calls + fallbacks > 0
    assert fallbacks == sum(found["fallbacks_by_reason"].values())
    assert 1 - (calls + fallbacks) / decisions <= found["llm_calls_saved"] + 0.0001
    assert found["llm_calls_saved"] <= 1 - calls / decisions + 0.0001
    assert (found["cost_usd_micros"] > 0) == (calls > 0)
    assert found["cost_usd_micros"] == sum(found["cost_by_agent"].values())
    assert found["model"] == "gpt-4o-mini"


def test_it_says_how_many_a_call_answered(found: dict[str, Any]) -> None:
    assert 0 <= found["batches_of_enough"] <= found["batch_calls"] <= found["llm_calls"]
    assert (found["batch_size_mean"] or 0) >= bool(found["batch_calls"])
