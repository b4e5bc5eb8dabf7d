"""Requests: the decisions that an event calls for."""

from __future__ import annotations

from collections.abc import Mapping

from inference.agent import Agent
from inference.prompts import canonical
from schemas import DecisionRequested, Event, derived_id
from schemas.stamps import time_ms


def requests_for(event: Event, agents: Mapping[str, Agent], world_version: int = 0) -> list[DecisionRequested]:
    """A request for each decision that the event calls for.

    A decision's id follows from the event and the agent, so asking twice is asking for one decision; its deadline
    counts from the event's stamp.
    """
    fact = event.WhichOneof("fact")
    return [
        DecisionRequested(
            decision_id=_decision_id(event, agent, number),
            agent=agent.name,
            tier=agent.tier,
            context=canonical(context),
            legal_actions=agent.legal_actions(context),
            deadline_ms=time_ms(event.stamp) + agent.deadline_ms,
            cost_cap_usd_micros=agent.cost_cap_usd_micros,
            impact=agent.impact(context),
            world_version=world_version,
        )
        for agent in agents.values()
        if fact in agent.triggers
        for number, context in enumerate(agent.contexts(event))
    ]


def _decision_id(event: Event, agent: Agent, number: int) -> str:
    return derived_id(_occasion(event), agent.name, *([str(number)] if number else []))


def _occasion(event: Event) -> str:
    # What a policy says twice after a crash is two events, but one occasion.
    if event.HasField("schedule_due"):
        return derived_id("schedule_due", event.schedule_due.schedule, str(event.schedule_due.due_ms))
    if event.HasField("decision_effective"):
        return derived_id("decision_effective", event.decision_effective.decision_id)
    return event.id.hex()
