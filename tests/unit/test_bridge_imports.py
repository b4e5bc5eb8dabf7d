"""What a game server imports to speak with a bridge: neither the bridge nor the agents, nor what they stand on."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

IMPORTED = "import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
#: Ours that a client may know; the facts, and what is below streams.bridge.client, are not listed.
KNOWN = {"streams", "streams.bridge", "streams.bridge.wire", "streams.clock", "streams.harmless"}
HEAVY = {"inference", "projections", "aiohttp", "asyncpg", "confluent_kafka", "faust", "numpy", "orjson", "pydantic"}


@pytest.mark.parametrize("module", ["streams.bridge.client", "streams.bridge.client.replaying"])
def test_a_client_is_light(module: str) -> None:
    command = [sys.executable, "-c", IMPORTED.format(module=module)]
    found = set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout))
    assert not HEAVY & found
    ours = {name for name in found if name.partition(".")[0] == "streams"}
    assert {name for name in ours if not name.startswith("streams.bridge.client")} == KNOWN
