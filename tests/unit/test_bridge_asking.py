"""Asking over HTTP: what a request leaves out is as its agent declares it; what nobody could answer is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from inference.agents import AGENTS
from inference.court import Case, learned, ruled
from inference.prompts import canonical
from inference.requests import requests_for
from schemas import DecisionEffective, DecisionRequested, Event, PlayerSaid, decode
from schemas.requests import CONTEXT_BYTES_MAX
from schemas.stamps import pack
from streams.bridge.admission import Admission, Client, Here, admit
from streams.bridge.asking import AHEAD_MAX_MS
from streams.bridge.offers import read
from streams.bridge.wire import JSON
from streams.sdk.envelope import FACT_BYTES_MAX

NOW_MS = 1_800_000_000_000
SAID = {"npc": "smith", "said": "Hello there!"}


def take(client: Client, *requests: Any, sequence: int = 1, now_ms: int = NOW_MS, **event: Any) -> Admission:
    events = [
        {"sequence": sequence + at, "player_id": "astrid", "decision_requested": request, **event}
        for at, request in enumerate(requests)
    ]
    batch = read(JSON, orjson.dumps({"client": "harbour-1", "events": events}))
    done = admit(client, batch, (), Here("local", now_ms, world_version=7))
    return Admission(done.records, done.repeated, done.deferred, (*batch.refusals, *done.refusals))


def new_client() -> Client:
    return Client("harbour-1", "bridge-harbour-1-x")


def whole(request: Any, **event: Any) -> tuple[str, DecisionRequested]:
    done = take(new_client(), request, **event)
    assert not done.refusals, done.refusals
    (record,) = done.records
    return record.topic, decode(record.value).decision_requested


def refused(request: Any, **event: Any) -> tuple[str, str]:
    done = take(new_client(), request, **event)
    assert not done.records
    (refusal,) = done.refusals
    assert (refusal.index, refusal.sequence) == (0, 1)
    return refusal.reason, refusal.detail


def test_what_is_left_out_is_as_when_an_event_asks() -> None:
    said = Event(id=b"e" * 16, subject="astrid", stamp=pack(NOW_MS))
    said.player_said.CopyFrom(PlayerSaid(text="Hello there!", channel="whisper:smith"))
    (own,) = requests_for(said, {"dialogue": AGENTS["dialogue"]}, world_version=7)
    topic, request = whole({"agent": "dialogue", "context": own.context})
    assert topic == "ai.requests.silver.v1"
    assert len(request.decision_id) == 36
    own.decision_id = request.decision_id
    assert request == own


def test_what_is_said_stays() -> None:
    said: dict[str, Any] = {
        "decision_id": "harbour:17",
        "agent": "dialogue",
        "tier": "gold",
        "context": canonical(SAID),
        "legal_actions": ["refuse", "answer"],
        "deadline_ms": NOW_MS + 1,
        "cost_cap_usd_micros": 3,
        "impact": "medium",
        "world_version": 4,
    }
    topic, request = whole(said)
    assert topic == "ai.requests.gold.v1"
    assert request == DecisionRequested(**said)


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_can_be_asked_and_its_answer_is_legal(agent: str) -> None:
    _, request = whole({"agent": agent})
    event = Event(subject="astrid", stamp=pack(NOW_MS), decision_requested=request)
    ruling = ruled(learned(Case(request.decision_id, "astrid"), event, NOW_MS), AGENTS, request.deadline_ms)
    (effect,) = [fact for fact in ruling.facts if isinstance(fact, DecisionEffective)]
    assert effect.action in request.legal_actions


@pytest.mark.parametrize(
    ("changes", "reason", "word"),
    [
        ({"agent": "smith"}, "unknown_agent", "dialogue"),
        ({"agent": ""}, "unknown_agent", "dialogue"),
        ({"legal_actions": ["refuse", "greet"]}, "illegal_actions", "not greet"),
        ({"legal_actions": ["refuse", "trade"]}, "illegal_actions", "gossip, and not trade"),
        ({"legal_actions": ["answer"]}, "illegal_actions", "leaves out refuse"),
        ({"context": canonical({"said": "x" * CONTEXT_BYTES_MAX})}, "context_too_large", "8000"),
        ({"context": "x" * FACT_BYTES_MAX}, "too_large", "10240"),
        ({"context": "hello"}, "invalid_event", "JSON"),
        ({"context": "[]"}, "invalid_event", "JSON object"),
        ({"context": '{"npc":%s}' % ("[" * 500 + "]" * 500)}, "invalid_event", "Recursion"),
        ({"tier": "lead"}, "invalid_event", "gold, silver, bronze"),
        ({"impact": "dire"}, "invalid_event", "low, medium"),
        ({"decision_id": "a b"}, "invalid_event", "decision_id"),
        ({"deadline_ms": NOW_MS}, "deadline_passed", "0 ms ago"),
        ({"deadline_ms": NOW_MS // 1000}, "deadline_passed", "ms ago"),
        ({"deadline_ms": NOW_MS + AHEAD_MAX_MS + 1}, "invalid_event", "milliseconds"),
    ],
)
def test_what_nobody_could_answer_is_refused_with_the_reason(changes: Any, reason: str, word: str) -> None:
    said, detail = refused({"agent": "dialogue", "context": canonical(SAID), **changes})
    assert said == reason
    assert word in detail


def test_only_agents_that_are_given_may_be_asked() -> None:
    events = [{"sequence": 1, "player_id": "astrid", "decision_requested": {"agent": "dialogue"}}]
    body = orjson.dumps({"client": "harbour-1", "events": events})
    (refusal,) = read(JSON, body, {"quest": AGENTS["quest"]}).refusals
    assert (refusal.reason, refusal.detail) == ("unknown_agent", "there is no agent 'dialogue'; there are quest")


def test_an_agent_that_cannot_read_the_context_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def legal_actions(context: Any) -> tuple[str, ...]:
        return (context["npc"],)

    monkeypatch.setitem(vars(AGENTS["dialogue"]), "legal_actions", legal_actions)
    assert refused({"agent": "dialogue"}) == ("invalid_event", "dialogue cannot read this context: KeyError: 'npc'")


def test_a_deadline_that_is_left_out_counts_from_the_events_own_time() -> None:
    allowed_ms = AGENTS["dialogue"].deadline_ms
    _, request = whole({"agent": "dialogue"}, time_ms=NOW_MS - 1_000)
    assert request.deadline_ms == NOW_MS - 1_000 + allowed_ms
    assert refused({"agent": "dialogue"}, time_ms=NOW_MS - allowed_ms)[0] == "deadline_passed"


def test_the_same_number_is_the_same_decision_and_another_is_another() -> None:
    ids = set()
    for client, sequence in (("harbour-1", 1), ("harbour-1", 1), ("harbour-1", 2), ("harbour-2", 1)):
        done = take(Client(client, f"bridge-{client}"), {"agent": "dialogue"}, sequence=sequence)
        ids.add(decode(done.records[0].value).decision_requested.decision_id)
    assert len(ids) == 3


def test_a_request_that_was_taken_is_a_repeat_also_after_its_deadline() -> None:
    client = new_client()
    assert len(take(client, {"agent": "dialogue"}).records) == 1
    late = take(client, {"agent": "dialogue"}, now_ms=NOW_MS + 60_000, time_ms=NOW_MS)
    assert (late.records, late.repeated, late.refusals) == ((), (1,), ())


def test_what_comes_too_late_is_no_gap_and_leaves_no_hole_among_the_dots() -> None:
    client = new_client()
    done = take(client, {"agent": "dialogue", "deadline_ms": 1}, {"agent": "dialogue"})
    assert [one.sequence for one in done.refusals] == [1]
    assert [decode(one.value).sequence for one in done.records] == [1]
    assert client.expected == 3


def test_the_largest_request_fits_a_fact() -> None:
    context = canonical({"said": "x" * (CONTEXT_BYTES_MAX - len(canonical({"said": ""})))})
    for agent in AGENTS:
        _, request = whole({"agent": agent, "context": context, "decision_id": "x" * 128})
        assert request.ByteSize() <= FACT_BYTES_MAX
