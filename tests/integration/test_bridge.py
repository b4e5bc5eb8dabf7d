"""The bridge on real servers: every event once on the log by its dot, whoever dies or is away in between."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import signal
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest

from schemas import (
    ActionCompleted,
    DecisionClosed,
    DecisionEffective,
    DecisionRejected,
    DecisionRequested,
    Event,
    GoldGained,
)
from schemas.gen.norn.v1.bridge_pb2 import DispatchRequest, OfferedEvent
from schemas.stamps import pack
from streams.bridge.bridge import COMPLETIONS, LEFT_BEHIND_S
from streams.bridge.routes import DECISIONS
from streams.bridge.server import PortTaken, create_app, serve
from streams.config import Settings
from streams.embedded import Servers
from streams.statements import statement
from tests.bridges import Process, bridge, dots, fold, logged, prepared
from tests.log import Life
from tests.proxy import proxy
from tests.sdk import free_port, nobody_listens
from tests.waiting import WITHIN_S, eventually_async

DISPATCH, PENDING, COMPLETE = "/api/v1/events/dispatch", "/api/v1/actions/pending", "/api/v1/actions/complete"


@pytest.fixture
async def servers(kafka: str, postgres: str) -> Servers:
    return await prepared(kafka, postgres)


def batch(client: str, *sequences: int, players: int = 5) -> dict[str, Any]:
    events = [
        {"sequence": number, "player_id": f"p{number % players}", "gold_gained": {"amount": number}}
        for number in sequences
    ]
    return {"client": client, "events": events}


async def ask(url: str, method: str = "GET", **request: Any) -> tuple[int, Any, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **request) as answer:
        said = await answer.json(content_type=None) if answer.content_type.endswith("json") else await answer.text()
        return answer.status, said, answer.headers


async def post(url: Any, **request: Any) -> tuple[int, Any, Any]:
    return await ask(str(url), "POST", **request)


async def rows(postgres: str, query: str, *arguments: Any) -> list[Any]:
    connection: Any = await asyncpg.connect(postgres)
    found: list[Any] = await connection.fetch(query, *arguments)
    await connection.close()
    return found


def effective(decision_id: str, subject: str, time_ms: int, region: str = "local", action: str = "greet") -> Event:
    event = Event(subject=subject, stamp=pack(time_ms), region=region, origin="decide", sequence=time_ms)
    event.decision_effective.CopyFrom(
        DecisionEffective(decision_id=decision_id, agent="dialogue", action=action, content='{"text": "hail"}',
                          about='{"npc": "smith"}', impact="low")
    )  # fmt: skip
    return event


async def test_a_batch_is_on_the_log_once_however_often_it_is_sent(servers: Servers) -> None:
    async with bridge(servers) as there:
        url = there.make_url(DISPATCH)
        status, said, _ = await post(url, json=batch("c1", *range(1, 51)))
        assert (status, said["accepted"], said["expected"]) == (200, 50, 51)
        request = DispatchRequest(client="c1")
        request.events.add(sequence=50, player_id="p0", gold_gained=GoldGained(amount=50))
        request.events.add(sequence=53, player_id="p3", gold_gained=GoldGained(amount=53))
        binary = {"data": request.SerializeToString(), "headers": {"Content-Type": "application/x-protobuf"}}
        _, said, _ = await post(url, **binary)
        assert (said["accepted"], said["repeated"], said["expected"]) == (1, 1, 51)
        answers = await asyncio.gather(*(post(url, json=batch("c1", *range(40, 60))) for _ in range(5)))
        assert sum(said["accepted"] for _, said, _ in answers) == 8
        assert {said["expected"] for _, said, _ in answers} == {60}
    events = await logged(servers, "c1")
    assert sorted(event.gold_gained.amount for event in events) == list(range(1, 60))
    assert set(dots(events).values()) == {1}
    assert all(len(event.id) == 16 for event in events)
    assert await rows(servers.postgres, "select * from bridge_outbox") == []


async def test_the_dots_of_a_client_have_no_holes_and_a_players_events_keep_their_order(servers: Servers) -> None:
    async with bridge(servers) as there:
        for start in range(1, 200, 20):
            await post(there.make_url(DISPATCH), json=batch("c2", *range(start, start + 20)))
    events = await logged(servers, "c2")
    for player in range(5):
        own = [event.gold_gained.amount for event in events if event.subject == f"p{player}"]
        assert own == sorted(own)
    found: dict[tuple[str, int], list[int]] = {}
    for topic, partition, sequence in dots(events):
        found.setdefault((topic, partition), []).append(sequence)
    assert all(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in found.values())


async def test_bad_events_do_not_fail_their_neighbours(servers: Servers) -> None:
    async with bridge(servers) as there:
        mixed = batch("c3", 1, 2, 3)
        mixed["events"][1] = {"sequence": 2, "player_id": "", "gold_gained": {}}
        mixed["events"] += [{"sequence": 4, "player_id": "p", "clock_ticked": {"time_ms": 1}}, 17]
        status, said, _ = await post(there.make_url(DISPATCH), json=mixed)
        assert (status, said["accepted"], said["expected"]) == (200, 2, 5)
        assert [(one["index"], one["sequence"], one["reason"]) for one in said["refused"]] == [
            (1, 2, "invalid_event"),
            (3, 4, "malformed"),
            (4, 0, "malformed"),
        ]
        _, again, _ = await post(there.make_url(DISPATCH), json=mixed)
        assert (again["repeated"], again["refused"]) == (2, said["refused"])


@pytest.mark.parametrize(
    "bad", [rb'{"text":"\ud83d"}', b'{"text":NaN}', b'{"text":1e999}', b'{"text":%s}' % (b"[" * 9_000 + b"]" * 9_000)]
)
async def test_one_event_that_cannot_be_read_leaves_forty_nine(servers: Servers, bad: bytes) -> None:
    events = [json.dumps(event).encode() for event in batch("c10", *range(1, 50))["events"]]
    events.insert(20, b'{"sequence":50,"player_id":"astrid","player_said":%s}' % bad)
    request = {
        "data": gzip.compress(b'{"client":"c10","events":[%s]}' % b",".join(events)),
        "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    }
    async with bridge(servers) as there:
        status, said, _ = await post(there.make_url(DISPATCH), **request)
        assert (status, said["accepted"], said["expected"]) == (200, 49, 51)
        assert [(one["index"], one["sequence"], one["reason"]) for one in said["refused"]] == [(20, 50, "malformed")]
    assert len(await logged(servers, "c10")) == 49


async def test_rubbish_is_a_problem_and_takes_nothing(servers: Servers) -> None:
    json_type = {"Content-Type": "application/json"}
    async with bridge(servers) as there:
        url = there.make_url(DISPATCH)
        wrong = [
            (400, {"data": b"{", "headers": json_type}),
            (400, {"data": b"\xff" * 40, "headers": {"Content-Type": "application/x-protobuf"}}),
            (400, {"json": {"client": "a b", "events": [{}]}}),
            (413, {"json": batch("c", *range(1, 52))}),
            (413, {"data": b" " * 1_100_000, "headers": json_type}),
            (415, {"data": b"<xml/>", "headers": {"Content-Type": "text/xml"}}),
        ]
        for expected, request in wrong:
            status, said, headers = await post(url, **request)
            assert (status, said["status"]) == (expected, expected), said
            assert headers["Content-Type"].startswith("application/problem+json")
            assert said["detail"]
        for path, status in ((COMPLETE, 405), ("/nowhere", 404)):
            assert (await ask(str(there.make_url(path)), "PUT"))[0] == status
        too_long = {"decision_id": "x", "outcome": "failed", "detail": "x" * 11_000}
        assert (await post(there.make_url(COMPLETE), json=too_long))[0] == 413
        assert (await ask(str(url), headers={"Host": "evil.example"}))[0] == 421
    assert await rows(servers.postgres, "select * from bridge_clients") == []


async def test_a_player_over_the_limit_waits_and_the_others_do_not(servers: Servers) -> None:
    async with bridge(servers, bridge_player_actions_per_second=1) as there:
        url = there.make_url(DISPATCH)
        noisy = batch("c4", *range(1, 51), players=1)
        assert (await post(url, json=noisy))[1]["accepted"] == 50
        mixed = batch("c4", 51, 52, players=1)
        mixed["events"].append({"sequence": 53, "player_id": "quiet", "gold_gained": {"amount": 53}})
        _, said, _ = await post(url, json=mixed)
        assert (said["accepted"], said["deferred"], said["expected"]) == (1, [51, 52], 51)
        assert 0 < said["retry_after_s"] <= 50
        status, said, headers = await post(url, json=batch("c4", 51, 52, players=1))
        assert (status, said["reason"]) == (429, "limited")
        assert int(headers["Retry-After"]) == math.ceil(said["retry_after_s"])
        assert (await post(url, json=noisy))[1]["repeated"] == 50, "a repeat is no action"
    assert len(await logged(servers, "c4")) == 51


async def test_a_hurried_address_is_asked_to_wait(servers: Servers) -> None:
    async with bridge(servers, bridge_requests_per_minute=3) as there:
        statuses = [(await ask(str(there.make_url(PENDING))))[0] for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert (await post(there.make_url(DISPATCH), json=batch("c5", 1)))[0] == 200


@pytest.mark.parametrize("die", ["taken", "published"])
async def test_a_bridge_killed_at_its_worst_moment_loses_and_doubles_nothing(
    servers: Servers, tmp_path: Path, die: str
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    for doomed, starts in ((die, (1,)), (die, (1,)), ("", (1, 21))):
        process = Process(servers, tmp_path, port, doomed)
        await eventually_async(lambda: _ready(url), message="the bridge is ready")
        try:
            for start in starts:
                status, said, _ = await post(f"{url}{DISPATCH}", json=batch("k", *range(start, start + 20)))
                assert (status, said["accepted"] + said["repeated"]) == (200, 20)
            assert not doomed, "it was to die before it could answer"
        except aiohttp.ClientError:
            assert doomed, (tmp_path / "bridge.log").read_text()
            assert process.process.wait(WITHIN_S) == -signal.SIGKILL
        process.kill()
    events = await logged(servers, "k")
    found = dots(events)
    assert sorted({event.gold_gained.amount for event in events}) == list(range(1, 41))
    assert len(found) == 40, "one dot an event"
    assert len({event.SerializeToString() for event in events}) == 40, "a repeat is the same bytes"
    assert (max(found.values()) > 1) == (die == "published"), "what was published and not marked is published again"


async def _ready(url: str) -> bool:
    try:
        return (await ask(f"{url}/readyz"))[0] == 200
    except aiohttp.ClientError:
        return False


async def test_with_the_broker_away_nothing_is_acknowledged_and_the_retry_is_the_same_event(servers: Servers) -> None:
    away = Servers(kafka=nobody_listens(), postgres=servers.postgres, clickhouse="")
    async with bridge(away, publish_timeout_s=1.0) as there:
        for _ in range(2):
            status, said, headers = await post(there.make_url(DISPATCH), json=batch("c6", 1, 2, 3))
            assert (status, said["reason"], headers["Retry-After"]) == (503, "log_away", "1")
        assert (await ask(str(there.make_url("/readyz"))))[0] == 503
        assert (await ask(str(there.make_url("/healthz"))))[0] == 200
    kept = await rows(servers.postgres, "select value from bridge_outbox order by number")
    assert len(kept) == 3
    async with bridge(servers) as there:
        _, said, _ = await post(there.make_url(DISPATCH), json=batch("c6", 1, 2, 3, 4))
        assert (said["accepted"], said["repeated"]) == (4, 0)
    events = await logged(servers, "c6")
    assert {row["value"] for row in kept} < {event.SerializeToString() for event in events}
    assert sorted(event.gold_gained.amount for event in events) == [1, 2, 3, 4]


async def test_what_a_dead_bridge_left_is_published_without_being_asked_for(servers: Servers) -> None:
    away = Servers(kafka=nobody_listens(), postgres=servers.postgres, clickhouse="")
    async with bridge(away, publish_timeout_s=1.0) as there:
        assert (await post(there.make_url(DISPATCH), json=batch("c7", 1, 2)))[0] == 503
    age = f"update bridge_outbox set taken_at = now() - interval '{LEFT_BEHIND_S + 1} s'"
    await rows(servers.postgres, age)
    async with bridge(servers):
        await eventually_async(lambda: _gone(servers.postgres), message="the outbox is empty")
    assert len(await logged(servers, "c7")) == 2


async def _gone(postgres: str) -> bool:
    return await rows(postgres, "select from bridge_outbox") == []


async def test_postgres_away_is_said_and_over_when_it_is_back(servers: Servers) -> None:
    where = urlsplit(servers.postgres)
    with proxy(str(where.hostname), int(where.port or 0)) as between:
        netloc = where.netloc.replace(str(where.port), str(between.port)).replace(str(where.hostname), "127.0.0.1")
        through = Servers(kafka=servers.kafka, postgres=where._replace(netloc=netloc).geturl(), clickhouse="")
        async with bridge(through) as there:
            url = there.make_url(DISPATCH)
            assert (await post(url, json=batch("c8", 1)))[0] == 200
            between.cut()
            status, said, _ = await post(url, json=batch("c8", 2))
            assert (status, said["reason"]) == (503, "store_away")
            assert "password" not in said["detail"]
            between.mend()
            await eventually_async(lambda: _accepts(str(url)), message="the bridge goes on")
    assert Counter(event.gold_gained.amount for event in await logged(servers, "c8")) == {1: 1, 2: 1}


async def _accepts(url: str) -> bool:
    return (await post(url, json=batch("c8", 2)))[0] == 200


async def test_actions_are_listed_oldest_first_until_completed(servers: Servers) -> None:
    await fold(servers.postgres, [effective(f"d{n}", f"p{n % 2}", 1_000 + n) for n in (3, 1, 2, 4)])
    await fold(servers.postgres, [effective("d1", "p1", 2_000, region="elsewhere")])
    async with bridge(servers) as there:
        pending = str(there.make_url(PENDING))

        async def listed(query: str = "") -> list[str]:
            return [one["decision_id"] for one in (await ask(pending + query))[1]["actions"]]

        _, page, _ = await ask(f"{pending}?limit=3")
        assert page["actions"][0] == {
            "decision_id": "d1", "subject": "p1", "agent": "dialogue", "action": "greet",
            "content": '{"text": "hail"}', "about": '{"npc": "smith"}', "impact": "low", "time_ms": 1001,
            "called_by": None,
        }  # fmt: skip
        assert [one["decision_id"] for one in page["actions"]] == ["d1", "d2", "d3"]
        _, rest, _ = await ask(f"{pending}?limit=3&after={page['next']}")
        assert ([one["decision_id"] for one in rest["actions"]], rest["next"]) == (["d4"], None)
        assert await listed("?subjects=p0&subjects=nobody") == ["d2", "d4"]
        assert await listed("?since_ms=1003") == ["d3", "d4"]

        said = {"decision_id": "d2", "outcome": "succeeded", "detail": "hailed", "server": "harbour"}
        status, first, _ = await post(there.make_url(COMPLETE), json=said)
        assert (status, first) == (200, {**said, "repeated": False})
        other = {"decision_id": "d2", "outcome": "failed", "detail": "", "server": "another"}
        answers = await asyncio.gather(*(post(there.make_url(COMPLETE), json=other) for _ in range(3)))
        assert [answer for _, answer, _ in answers] == [{**said, "repeated": True}] * 3
        assert await listed() == ["d1", "d3", "d4"]
        (event,) = await logged(servers, COMPLETIONS)
        assert event.subject == "p0"
        assert event.action_completed == ActionCompleted(
            decision_id="d2", agent="dialogue", outcome="succeeded", detail="hailed", server="harbour"
        )

        by_sdk = Event(subject="p1", stamp=pack(3_000), region="elsewhere", origin="sdk", sequence=1)
        by_sdk.action_completed.CopyFrom(ActionCompleted(decision_id="d3", outcome="refused", detail="asleep"))
        await fold(servers.postgres, [event, by_sdk])
        assert await listed() == ["d1", "d4"]
        status, third, _ = await post(there.make_url(COMPLETE), json={**said, "decision_id": "d3"})
        assert (third["outcome"], third["detail"], third["repeated"]) == ("refused", "asleep", True)
        unknown = await post(there.make_url(COMPLETE), json={**said, "decision_id": "d9"})
        assert (unknown[0], unknown[1]["reason"]) == (404, "no_such_decision")


async def test_what_became_of_a_decision_is_told_whether_it_took_effect_or_not(servers: Servers) -> None:
    written = Life(partitions=1)
    requests = [DecisionRequested(decision_id=f"d{n}", agent="dialogue", tier="silver") for n in range(3)]
    rejected = DecisionRejected(decision_id="d1", agent="dialogue", reason="nobody agreed")
    events = [written.event(fact, "astrid", (1_000 + n) << 16)[1] for n, fact in enumerate([*requests, rejected])]
    await fold(servers.postgres, [*events, effective("d2", "astrid", 2_000)])
    async with bridge(servers, bridge_requests_per_minute=2) as there:
        asked = f"{there.make_url(DECISIONS.path)}?decision_ids=d0&decision_ids=d1&decision_ids=d2&decision_ids=d9"
        status, said, _ = await ask(asked)
        assert status == 200
        told = {one.pop("decision_id"): one for one in said["decisions"]}
        assert {one: (told[one]["status"], told[one]["reason"], told[one]["ended"]) for one in told} == {
            "d0": ("requested", "", False),
            "d1": ("rejected", "nobody agreed", False),
            "d2": ("effective", "", True),
        }
        assert {one["subject"] for one in told.values()} == {"astrid"}
        assert (await ask(str(there.make_url(DECISIONS.path))))[0] == 400
        assert (await ask(asked))[0] == 429


async def test_a_completion_the_broker_did_not_take_is_completed_once_by_the_retry(servers: Servers) -> None:
    await fold(servers.postgres, [effective("d1", "p1", 1_000)])
    said = {"decision_id": "d1", "outcome": "succeeded"}
    away = Servers(kafka=nobody_listens(), postgres=servers.postgres, clickhouse="")
    async with bridge(away, publish_timeout_s=1.0) as there:
        assert (await post(there.make_url(COMPLETE), json=said))[0] == 503
    async with bridge(servers) as there:
        assert (await post(there.make_url(COMPLETE), json=said))[1]["outcome"] == "succeeded"
    assert len(await logged(servers, COMPLETIONS)) == 1


async def test_pending_actions_are_found_by_their_index(servers: Servers) -> None:
    connection: Any = await asyncpg.connect(servers.postgres)
    await connection.execute("set enable_seqscan = off")
    page = f"explain {statement('bridge_pending_actions')}"
    plan = "\n".join(row[0] for row in await connection.fetch(page, 0, "", None, 10))
    await connection.close()
    assert "actions_pending" in plan, plan


async def test_a_port_that_is_taken_is_said(servers: Servers) -> None:
    async with bridge(servers) as there:
        with pytest.raises(PortTaken, match="NORN_BRIDGE_PORT"):
            await serve(create_app(Settings(), servers), "127.0.0.1", int(there.port or 0))


async def test_what_is_counted_is_served(servers: Servers) -> None:
    async with bridge(servers) as there:
        await post(there.make_url(DISPATCH), json=batch("c9", 1, 2))
        await post(there.make_url(DISPATCH), json=batch("c9", 2))
        _, text, _ = await ask(str(there.make_url("/metrics")))
    assert 'norn_bridge_events_total{result="accepted"} 2.0' in text
    assert 'norn_bridge_events_total{result="repeated"} 1.0' in text
    assert 'norn_bridge_requests_total{route="dispatch",status="200"} 2.0' in text


def test_an_offered_event_is_no_fact() -> None:
    assert OfferedEvent.DESCRIPTOR.full_name not in {
        field.message_type.full_name for field in Event.DESCRIPTOR.oneofs_by_name["fact"].fields
    }


async def test_a_game_hears_of_an_end_without_an_effect_and_by_which_of_its_events_it_was_called_for(
    servers: Servers,
) -> None:
    async with bridge(servers) as there:
        ask_for = {"client": "c-link", "events": [
            {"sequence": 1, "player_id": "astrid", "player_levelled": {"level": 3}},
            {"sequence": 2, "player_id": "astrid", "player_moved": {"zone": "harbour"}},
            {"sequence": 3, "player_id": "astrid", "decision_requested": {"agent": "dialogue"}},
        ]}  # fmt: skip
        for _ in range(2):
            assert (await post(there.make_url(DISPATCH), json=ask_for))[0] == 200
        written = {event.WhichOneof("fact"): event.id.hex() for event in await logged(servers, "c-link")}
        done, elsewhere = effective("done", "astrid", 1_000), effective("elsewhere", "astrid", 1_001)
        done.decision_effective.called_by = written["player_levelled"]
        elsewhere.decision_effective.called_by = "ab" * 16
        ends = [Event(subject="astrid", stamp=pack(1_002 + n), region="local", origin="decide") for n in range(2)]
        for end, name in zip(ends, ("closed", "both"), strict=True):
            called = {"called_by": written["decision_requested"]}
            end.decision_closed.CopyFrom(
                DecisionClosed(decision_id=name, agent="dialogue", reason="refused: by Ada", **called)
            )
        await fold(servers.postgres, [done, elsewhere, effective("old", "astrid", 900), *ends])
        await fold(servers.postgres, [effective("both", "astrid", 1_100, region="far")])
        _, pending, _ = await ask(str(there.make_url(PENDING)))
        assert {one["decision_id"]: one["called_by"] for one in pending["actions"]} == {
            "old": None,
            "done": {"event_id": written["player_levelled"], "client": "c-link", "sequence": 1},
            "elsewhere": {"event_id": "ab" * 16, "client": None, "sequence": None},
            "both": None,
        }
        _, found, _ = await ask(str(there.make_url("/api/v1/decisions/ended?subjects=astrid")))
        assert found == {"ended": [{
            "decision_id": "closed", "subject": "astrid", "agent": "dialogue", "reason": "refused: by Ada",
            "time_ms": 1_002,
            "called_by": {"event_id": written["decision_requested"], "client": "c-link", "sequence": 3},
        }], "next": None}  # fmt: skip
        noted = {"decision_id": "closed", "outcome": "succeeded"}
        assert (await post(there.make_url(COMPLETE), json=noted))[1]["repeated"] is False
        assert (await post(there.make_url(COMPLETE), json=noted))[1]["repeated"] is True
        assert (await ask(str(there.make_url("/api/v1/decisions/ended"))))[1]["ended"] == []
