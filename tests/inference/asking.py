"""Agents, events and requests for the tests: a guard who chooses, the real chronicler, and a clock that stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from inference.agent import Agent, Answer, Content, Context
from inference.agents import AGENTS
from inference.batching import Batches
from inference.cache import Cache
from inference.engines import Engine
from inference.prompts import Turn, as_data, conversation, data
from inference.requests import requests_for
from inference.router import Router
from inference.worker import Worker
from schemas import TIERS, DecisionRequested, DepthReached, Event, PlayerDied, PlayerSaid, event_id, fact_name
from schemas.stamps import pack

NOW_MS = 1_800_000_000_000
LINE = '{"line":"Astrid fell to a jackal on the 3rd level of the Dungeons of Doom, far from home."}'


def now_ms() -> int:
    """A clock that stands still."""
    return NOW_MS


class Order(Content):
    """What the guard does, and why."""

    action: str
    why: str


guard = Agent(
    name="guard",
    trigger=(PlayerSaid,),
    asks=lambda event: {"heard": event.player_said.text},
    legal_actions=lambda context: ("greet", "ignore"),
    prompt=lambda context: conversation("You guard a gate.", [], data(as_data(context["heard"], 80))),
    output=Order,
    check=lambda context, answer: "",
    rules=lambda context: None,
    default=lambda context: Answer("ignore", Order(action="ignore", why="The gate is shut.")),
    tier="gold",
    deadline_ms=1_000,
    cost_cap_usd_micros=1_000,
    max_tokens=40,
)
#: A chronicler who leaves no death to the rules.
chronicler = replace(AGENTS["chronicler"], complexity=lambda context: 0.5)
ALL = {"chronicler": chronicler, "guard": guard}


def worker(
    engine: Engine | None,
    clock: Callable[[], int] = now_ms,
    *,
    agents: Mapping[str, Agent] = ALL,
    tiers: Iterable[str] = TIERS,
    **others: Any,
) -> Worker:
    """A worker in which one engine serves every tier."""
    parts = {"router": Router(Cache(None, now_ms=clock)), "batches": Batches(now_ms=clock), **others}
    return Worker(agents, dict.fromkeys(tiers, engine), now_ms=clock, **parts)


async def answer_all(inference: Worker, events: Iterable[Event]) -> list[list[Message]]:
    """The facts of each event, all asked at once."""
    return await asyncio.gather(*map(inference.answer, events))


def happened(fact: Message, *, subject: str = "astrid", at_ms: int = NOW_MS, number: int = 1) -> Event:
    """An event that holds a fact."""
    event = Event(id=event_id(at_ms, number.to_bytes(10, "big")), subject=subject, stamp=pack(at_ms))
    getattr(event, fact_name(fact)).CopyFrom(fact)
    return event


def death(killer: str = "a jackal", *, hero: str = "astrid", number: int = 1, at_ms: int = NOW_MS) -> Event:
    """A hero's death."""
    fact = PlayerDied(zone="Dungeons of Doom 3", depth=3, killer=killer)
    return happened(fact, subject=hero, number=number, at_ms=at_ms)


def descent(*, hero: str = "astrid", number: int = 1) -> Event:
    """A hero deeper than ever."""
    return happened(DepthReached(zone="Dungeons of Doom 4", depth=4), subject=hero, number=number)


def asked(event: Event) -> Event:
    """The request that an event leads to, as an event."""
    [request] = requests_for(event, ALL)
    return happened(request, subject=event.subject)


def request(**changes: object) -> DecisionRequested:
    """The request for Astrid's chronicle, with changes."""
    made = asked(death()).decision_requested
    made.MergeFrom(DecisionRequested(**changes))  # type: ignore[arg-type]
    return made


def names(facts: Sequence[Message]) -> list[str]:
    """The facts by name."""
    return [fact_name(fact) for fact in facts]


def shown(turns: Sequence[Turn]) -> str:
    """All that a model is shown."""
    return "\n".join(turn.content for turn in turns)


def context_of(event: Event) -> Context:
    """The context an agent gives to an event."""
    [agent] = [agent for agent in ALL.values() if event.WhichOneof("fact") in agent.triggers]
    [context] = agent.contexts(event)
    return context
