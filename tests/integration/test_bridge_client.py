"""The sidecar against a real bridge: nothing is lost when the bridge is away or the sidecar is killed."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from examples import http_game
from schemas import DecisionClosed, Event, GoldGained, PermanentError, PlayerSaid
from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent
from schemas.stamps import pack
from streams.bridge.bridge import COMPLETIONS
from streams.bridge.client import HIGH, Action, BridgeClient, Ended, Refuse, replay
from streams.bridge.client.dead_letters import entries
from streams.bridge.client.service import Blocked, Failed, Service
from streams.bridge.problems import problem
from streams.bridge.routes import DISPATCH
from streams.embedded import Servers
from tests.bridges import bridge, dots, fold, logged, prepared
from tests.integration.test_bridge import effective
from tests.sdk import nobody_listens
from tests.waiting import WITHIN_S, eventually, eventually_async

QUICK: dict[str, Any] = {"flush_s": 0.05, "backoff_s": (0.01, 0.02, 0.04)}


@pytest.fixture
async def servers(kafka: str, postgres: str) -> Servers:
    return await prepared(kafka, postgres)


def quick(url: Any, open_s: float = 0.2) -> Service:
    return Service(str(url), open_s=open_s)


def gold(client: BridgeClient, start: int, end: int) -> None:
    for amount in range(start, end):
        client.put(GoldGained(amount=amount), player_id=f"p{amount % 5}")


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


async def finish(client: BridgeClient) -> int:
    return await asyncio.to_thread(client.close, WITHIN_S)


def check(events: list[Event], end: int) -> None:
    """Each once by its dot, and each player's in order."""
    first = {(event.subject, event.gold_gained.amount) for event in events}
    assert len(events) == len(first) == end - 1
    assert set(dots(events).values()) == {1}
    for player in range(5):
        own = sorted((e for e in events if e.subject == f"p{player}"), key=lambda e: e.sequence)
        amounts = [event.gold_gained.amount for event in own]
        assert amounts == sorted(amounts)
        assert [event.stamp for event in own] == sorted(event.stamp for event in own)


async def test_events_go_by_the_batch_and_what_is_left_when_it_closes(servers: Servers, tmp_path: Path) -> None:
    async with bridge(servers) as there:
        client = BridgeClient(str(there.make_url("/")), dead_letters=tmp_path / "dlq.log", **QUICK)
        gold(client, 1, 1234)
        assert await finish(client) == 0
        assert (client.counters.sent, client.counters.refused) == (1233, 0)
    check(await logged(servers, client.client), 1234)
    assert (tmp_path / "dlq.log").read_bytes() == b""


async def test_what_failed_is_in_the_file_and_goes_by_itself_when_the_bridge_is_back(
    servers: Servers, tmp_path: Path
) -> None:
    path, address = tmp_path / "log" / "dlq.log", nobody_listens()
    client = BridgeClient("", dead_letters=path, events_max=100, service=quick(f"http://{address}"), **QUICK)
    gold(client, 1, 301)
    await eventually_async(lambda: client.counters.dead >= 200, message="failed events are in the file")
    assert {one.sequence for _, one in entries(path) if one} >= set(range(1, 201))
    async with bridge(servers, port=port_of(address)):
        gold(client, 301, 351)
        await eventually_async(lambda: client.counters.sent == 350, message="the file and the ring are sent")
        await finish(client)
    check(await logged(servers, client.client), 351)
    assert path.read_bytes() == b""


async def test_the_breaker_leaves_a_failing_bridge_alone_and_tries_it_again(servers: Servers) -> None:
    address, now_ms, open_ms = nobody_listens(), 0, 60_000
    service = Service(f"http://{address}", open_s=open_ms / 1000, now_ms=lambda: now_ms)
    for _ in range(5):
        with pytest.raises(Failed):
            service.pending([])
    with pytest.raises(Blocked):
        service.pending([])
    assert service.blocked
    now_ms += open_ms
    assert not service.blocked, "a test is due"
    with pytest.raises(Failed):
        service.pending([])
    assert service.blocked
    async with bridge(servers, port=port_of(address)):
        now_ms += open_ms
        assert (await asyncio.to_thread(service.pending, []))["actions"] == []
    assert not service.blocked


async def test_a_batch_that_fails_is_repeated_three_times_and_then_waits_in_the_file(tmp_path: Path) -> None:
    asked_s: list[float] = []
    dead: list[int] = []

    async def away(request: web.Request) -> web.Response:
        asked_s.append(time.monotonic())
        dead.append(client.counters.dead)
        return problem(503, "log_away", "try again", retry_after_s=1)

    app = web.Application()
    app.router.add_post(DISPATCH.path, away)
    backoff_s = (0.05, 0.1, 0.2)
    async with TestServer(app) as there:
        url = str(there.make_url("/"))
        client = BridgeClient(url, dead_letters=tmp_path / "dlq.log", flush_s=0.01, backoff_s=backoff_s)
        client.put(GoldGained(amount=1), player_id="p")
        await eventually_async(lambda: len(dead) == 5, message="the breaker opens")
        await finish(client)
    assert dead == [0, 0, 0, 0, 1], "the fifth comes from the file"
    for (before, after), pause_s in zip(pairwise(asked_s[:4]), backoff_s, strict=True):
        assert after - before >= pause_s


async def test_whoever_listens_there_but_is_no_bridge_fails_and_stops_nothing(tmp_path: Path) -> None:
    answers = [{}, {"actions": 7, "next": None}, {"actions": [7], "next": None}, {"actions": [{}], "next": None},
               {"actions": [], "next": 7}, {"accepted": "many"}]  # fmt: skip
    asked = 0

    async def elsewhere(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response(answers[asked % len(answers)])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere)
    async with TestServer(app) as there:
        url = str(there.make_url("/"))
        service = Service(url, failures_max=1_000)
        for _ in answers:
            with pytest.raises(Failed, match="is the URL right"):
                await asyncio.to_thread(service.pending, [])
            with pytest.raises(Failed, match="is the URL right"):
                await asyncio.to_thread(service.decisions, ["d"])
        client = BridgeClient(url, dead_letters=tmp_path / "dlq.log", service=service, **QUICK)
        client.act(lambda action: None, poll_s=0.01)
        client.put(GoldGained(amount=1), player_id="p")
        before = asked
        await eventually_async(lambda: asked > before + 2 * len(answers), message="it goes on asking")
        assert await asyncio.to_thread(client.close, 0.1) == 1


async def test_a_replay_by_hand_doubles_nothing(servers: Servers, tmp_path: Path) -> None:
    path = tmp_path / "dlq.log"
    client = BridgeClient("", dead_letters=path, service=quick(f"http://{nobody_listens()}", 60), **QUICK)
    gold(client, 1, 121)
    assert await asyncio.to_thread(client.close, 0.5) == 120
    copy = tmp_path / "copy.log"
    copy.write_bytes(path.read_bytes())
    async with bridge(servers) as there:
        url = str(there.make_url("/"))
        command = [sys.executable, "-m", "streams.cli", "bridge-replay", str(copy), "--to", url, "--json"]
        said = []
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
            said.append(json.loads((await process.communicate())[0]))
            assert process.returncode == 0
        assert said == [
            {"accepted": 120, "repeated": 0, "refused": 0, "damaged": 0},
            {"accepted": 0, "repeated": 120, "refused": 0, "damaged": 0},
        ]
        again = BridgeClient(url, dead_letters=path, **QUICK)
        assert again.client == client.client
        gold(again, 121, 131)
        assert await finish(again) == 0
        done = await asyncio.to_thread(replay, copy, quick(url))
        assert (done.accepted, done.repeated) == (0, 120)
    check(await logged(servers, client.client), 131)


async def test_a_player_over_the_limit_holds_up_nobody_else(servers: Servers, tmp_path: Path) -> None:
    async with bridge(servers, bridge_player_actions_per_second=50) as there:
        client = BridgeClient(str(there.make_url("/")), dead_letters=tmp_path / "dlq.log", **QUICK)
        for number in range(1, 121):
            client.put(GoldGained(amount=number), player_id="noisy")
        client.put(PlayerSaid(text="help"), player_id="quiet", priority=HIGH)

        async def heard() -> bool:
            return any(event.subject == "quiet" for event in await logged(servers, client.client))

        await eventually_async(heard, message="the quiet player is heard")
        assert await finish(client) == 0
    events = [event for event in await logged(servers, client.client) if event.subject == "noisy"]
    assert [event.gold_gained.amount for event in events] == list(range(1, 121))
    assert set(dots(events).values()) == {1}


async def test_the_game_is_told_what_the_bridge_will_never_take(servers: Servers, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    def refused(event: OfferedEvent, why: str) -> None:
        told.append((event.decision_requested.agent, why))
        raise RuntimeError("the game's own mistake")

    async with bridge(servers) as there:
        url, path = str(there.make_url("/")), tmp_path / "dlq.log"
        client = BridgeClient(url, dead_letters=path, refused=refused, **QUICK)
        client.ask("smith", {}, player_id="p")
        client.ask("dialogue", {}, player_id="p", legal_actions=["dance"])
        client.ask("dialogue", {}, player_id="p", deadline_ms=1)
        client.ask("dialogue", {}, player_id="p")
        wrong: list[dict[str, Any]] = [
            {"agent": ""}, {"agent": 7}, {"deadline_ms": -1}, {"player_id": "\ud83d"}, {"player_id": ""},
            {"context": {"x": math.nan}}, {"context": {"x": "y" * 8_000}}, {"context": {"x": {1}}},
        ]  # fmt: skip
        for one in wrong:
            with pytest.raises(PermanentError):
                client.ask(**{"agent": "dialogue", "context": {}, "player_id": "p", **one})
        assert await finish(client) == 0
    assert [(agent, why.partition(":")[0]) for agent, why in told] == [
        ("smith", "unknown_agent"),
        ("dialogue", "illegal_actions"),
        ("dialogue", "deadline_passed"),
    ]
    assert (client.counters.sent, client.counters.refused) == (1, 3)


GAME = """
import sys
from pathlib import Path
from schemas import GoldGained
from streams.bridge.client import BridgeClient

client = BridgeClient(sys.argv[1], dead_letters=Path(sys.argv[2]), flush_s=0.02)
number = int(sys.argv[3])
while True:
    client.put(GoldGained(amount=number), player_id=f"p{number % 5}")
    print(number, client.client, flush=True)
    number += 1
"""


async def test_a_game_that_is_killed_loses_nothing_it_had_put(servers: Servers, tmp_path: Path) -> None:
    path, put, name = tmp_path / "dlq.log", 0, ""
    async with bridge(servers) as there:
        url = str(there.make_url("/"))
        for events in (150, 400, 900):
            game = await asyncio.create_subprocess_exec(
                sys.executable, "-c", GAME, url, str(path), str(put + 1), stdout=subprocess.PIPE, env=os.environ
            )
            assert game.stdout is not None
            while put < events:
                number, _, name = (await game.stdout.readline()).decode().strip().partition(" ")
                put = int(number)
            game.send_signal(signal.SIGKILL)
            rest = (await game.stdout.read()).decode().splitlines()
            put = max([put, *(int(line.split()[0]) for line in rest if " " in line)])
            await game.wait()
        last = BridgeClient(url, dead_letters=path, **QUICK)
        assert last.client == name
        assert await finish(last) == 0
    events = await logged(servers, name)
    assert set(dots(events).values()) == {1}
    # One more may have been accepted than could be printed, in each life; the next then began with its number again.
    assert {event.gold_gained.amount for event in events} >= set(range(1, put + 1))
    assert len(events) <= put + 3


async def test_actions_are_done_once_and_reported(servers: Servers, tmp_path: Path) -> None:
    decisions = [
        effective(f"d{n}", "p", 1_000 + n, action=("greet", "dance", "explode", "lie")[n % 4]) for n in range(8)
    ]
    await fold(servers.postgres, decisions)
    done: list[str] = []

    def act(action: Action) -> str:
        done.append(action.decision_id)
        if action.action == "dance":
            raise Refuse("nobody dances here")
        if action.action == "explode":
            raise RuntimeError("boom")
        return f"{action.about['npc']} says {action.content['text']}"

    async with bridge(servers) as there:
        client = BridgeClient(str(there.make_url("/")), dead_letters=tmp_path / "dlq.log", **QUICK)
        told = await asyncio.to_thread(client.decision, "d0")
        assert told is not None
        assert (told["status"], told["ended"]) == ("effective", True)
        assert await asyncio.to_thread(client.decision, "nobodys") is None
        allowed = ("greet", "dance", "explode")
        client.act(act, actions=allowed, server="harbour", poll_s=0.05, validate=_not_the_fifth)

        async def reported() -> bool:
            return len(await logged(servers, COMPLETIONS)) == 8

        await eventually_async(reported, message="all actions are reported")
        await finish(client)
    outcomes = {e.action_completed.decision_id: e.action_completed for e in await logged(servers, COMPLETIONS)}
    assert {one: outcomes[one].outcome for one in sorted(outcomes)} == {
        "d0": "succeeded", "d1": "refused", "d2": "failed", "d3": "refused",
        "d4": "refused", "d5": "refused", "d6": "failed", "d7": "refused",
    }  # fmt: skip
    assert outcomes["d0"].detail == "smith says hail"
    assert outcomes["d2"].detail == "RuntimeError: boom"
    assert outcomes["d3"].detail == "this game cannot do 'lie'"
    assert outcomes["d4"].detail == "not the fifth"
    assert {one.server for one in outcomes.values()} == {"harbour"}
    assert sorted(done) == ["d0", "d1", "d2", "d5", "d6"]


def _not_the_fifth(action: Action) -> str:
    return "not the fifth" if action.decision_id == "d4" else ""


async def test_a_game_is_told_once_of_an_end_without_an_effect(servers: Servers, tmp_path: Path) -> None:
    event = Event(subject="p", stamp=pack(1_000), region="local", origin="decide")
    event.decision_closed.CopyFrom(DecisionClosed(decision_id="d1", agent="dialogue", reason="refused: by Ada"))
    await fold(servers.postgres, [event])
    heard: list[Ended] = []
    async with bridge(servers) as there:
        client = BridgeClient(str(there.make_url("/")), dead_letters=tmp_path / "dlq.log", **QUICK)
        client.act(lambda action: None, ended=heard.append, poll_s=0.05)

        async def noted() -> bool:
            return len(await logged(servers, COMPLETIONS)) == 1

        await eventually_async(noted, message="the end is noted")
        await finish(client)
    assert heard == [Ended("d1", "p", "dialogue", "refused: by Ada", 1_000)]


DOOMED = """
import os, sys
from pathlib import Path
from streams.bridge.client import BridgeClient

def act(action):
    with open(sys.argv[3], "a") as log:
        log.write(action.decision_id)
    os.kill(os.getpid(), 9)

BridgeClient(sys.argv[1], dead_letters=Path(sys.argv[2])).act(act, poll_s=0.05)
import time
while True:
    time.sleep(1)
"""


async def test_an_action_the_game_died_of_is_not_done_again(servers: Servers, tmp_path: Path) -> None:
    await fold(servers.postgres, [effective("d1", "p", 1_000)])
    log, path = tmp_path / "done", tmp_path / "dlq.log"
    async with bridge(servers) as there:
        url = str(there.make_url("/"))
        game = await asyncio.create_subprocess_exec(sys.executable, "-c", DOOMED, url, str(path), str(log))
        assert await asyncio.wait_for(game.wait(), WITHIN_S) == -signal.SIGKILL
        client = BridgeClient(url, dead_letters=path, **QUICK)
        client.act(lambda action: log.write_text("twice"), poll_s=0.05)

        async def reported() -> bool:
            return bool(await logged(servers, COMPLETIONS))

        await eventually_async(reported, message="it is reported")
        await finish(client)
    (event,) = await logged(servers, COMPLETIONS)
    assert event.action_completed.outcome == "failed"
    assert "died" in event.action_completed.detail
    assert log.read_text() == "d1"


async def test_the_example_plays(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await fold(servers.postgres, [effective("d1", "astrid", 1_000, action="greet")])
    monkeypatch.chdir(tmp_path)
    turns = iter(range(40))

    def pause(seconds: float) -> None:
        if next(turns) == 0:
            eventually(lambda: asyncio.run(logged(servers, COMPLETIONS)), message="what was decided is done")

    # The game goes on until it has acted, however long its machine takes to fetch an action.
    monkeypatch.setattr(http_game, "time", SimpleNamespace(sleep=pause))
    async with bridge(servers) as there:
        arguments = [str(there.make_url("/")), "--turns", "40"]
        play: Callable[..., None] = http_game.main
        await asyncio.to_thread(play, arguments)
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["dead"] == said["queued"] == said["refused"] == 0
    events = await logged(servers, said["client"])
    assert len(events) == said["sent"] >= 40
    (completed,) = await logged(servers, COMPLETIONS)
    assert completed.action_completed.outcome == "succeeded"
