"""The provider that fails on purpose: it fails as planned, answers well otherwise, and counts what it did."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agents import AGENTS
from streams.chaos.faults import FAULTS, Plan, UnknownFault
from streams.chaos.instances import smallest
from streams.chaos.provider import Provider, started
from tests.waiting import eventually_async

CHAT = "/v1/chat/completions"


async def post(url: str, body: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_it_answers_every_agent_in_the_shape_that_is_asked_for(agent: Any) -> None:
    said = json.dumps(smallest(agent.schema(("one", "two"))))
    content = agent.written.model_validate_json(said)
    assert getattr(content, "action", "one") == "one"


@pytest.mark.parametrize(
    ("schema", "instance"),
    [
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "string", "minLength": 2}, "aa"),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "number", "maximum": -1}, -1.0),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 2}, [1, 2]),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, ""),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"const": "x"}}}, "x"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "a"),
        ({"type": ["null", "string"]}, None),
        ({"properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["b"]}, {"b": 2}),
        ({"$ref": "#"}, None),
        ({}, None),
    ],
)
def test_the_smallest_instance_of_a_schema(schema: Any, instance: Any) -> None:
    assert smallest(schema) == instance


@given(st.sampled_from([r"^[A-Z]\d{2,4}x?$", r"(ab|c)+-\w{3}", r"[^a-z]?.b\s", r"\p{Lu}[\p{L}']{2}"]))
def test_the_shortest_text_of_a_pattern_matches_it(pattern: str) -> None:
    plain = pattern.replace(r"[\p{L}", "[A-Za-z").replace(r"\p{Lu}", "[A-Z]")
    assert re.fullmatch(plain, smallest({"type": "string", "pattern": pattern}))


@given(st.integers(0, 1_000))
def test_a_plan_is_the_same_for_the_same_seed_and_keeps_its_shares(seed: int) -> None:
    plan = Plan({"hang": 0.1, "error": 0.3}, seed)
    met = [plan.fault(number) for number in range(200)]
    assert met == [Plan({"hang": 0.1, "error": 0.3}, seed).fault(number) for number in range(200)]
    counts = Counter(met)
    assert set(counts) <= {"", "hang", "error"}
    # Nine standard deviations: a share that is really another is found, a seed that is only odd is not.
    assert abs(counts["error"] - 60) <= 58


def test_a_plan_is_read_as_it_is_written_and_refused_when_it_cannot_be_followed() -> None:
    assert Plan.of(" hang=0.1, error=0.2,", seed=3) == Plan({"hang": 0.1, "error": 0.2}, 3)
    assert Plan.of("") == Plan()
    for wrong in ("hang", "hang=often", "flood=0.1", "hang=0.6,error=0.6", "hang=-0.1"):
        with pytest.raises(UnknownFault):
            Plan.of(wrong)


async def test_every_fault_can_be_met_and_is_counted() -> None:
    for fault in FAULTS:
        with started(Provider(Plan({fault: 1.0}), slow_s=0.01)) as provider:
            async with aiohttp.ClientSession() as session:
                asking = asyncio.create_task(_read(session, provider.url + CHAT))
                if fault == "hang":
                    await eventually_async(lambda served=provider.served: served["hang"])  # type: ignore[misc]
                    asking.cancel()
                [left] = await asyncio.gather(asking, return_exceptions=True)
                async with session.get(f"{provider.url}/stats") as stats:
                    counted = await stats.json()
        wanted = {"hang": asyncio.CancelledError, "reset": aiohttp.ServerDisconnectedError}.get(fault, bytes)
        assert isinstance(left, wanted)
        assert counted["requests"] == counted[fault] == 1


async def _read(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.post(url, json={"messages": []}) as response:
        return await response.read()


async def test_it_falls_ill_and_gets_well_as_it_is_told() -> None:
    with started() as provider:
        async with aiohttp.ClientSession() as session:
            async with session.put(f"{provider.url}/plan", json={"shares": {"error": 1}, "seed": 4}) as told:
                assert await told.json() == {"shares": {"error": 1}, "seed": 4}
            assert (await post(provider.url + CHAT, {}))[0] == 500
            async with session.put(f"{provider.url}/plan", json={"shares": {"plague": 1}}) as told:
                assert told.status == 400
            async with session.put(f"{provider.url}/plan", json={}) as told:
                assert told.status == 200
            assert (await post(provider.url + CHAT, {}))[0] == 200
        assert provider.stats() == {"requests": 2, "error": 1, "answered": 1}


async def test_a_body_that_is_no_request_is_refused() -> None:
    with started() as provider:
        assert (await post(provider.url + CHAT, [1, 2]))[0] == 400


async def test_as_a_process_it_prints_its_port_and_ends_when_told() -> None:
    command = [sys.executable, "-m", "streams.chaos.provider", "--faults", "error=1", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            port = int(await asyncio.to_thread(child.stdout.readline))
            assert (await post(f"http://127.0.0.1:{port}{CHAT}", {}))[0] == 500
        finally:
            child.send_signal(signal.SIGTERM)
