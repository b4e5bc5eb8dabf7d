"""Requests: the decisions that an event calls for."""

from __future__ import annotations

from collections.abc import Mapping

from inference.agent import Agent
from inference.prompts import canonical
from schemas import DecisionRequested, Event, derived_id
from schemas.stamps import time_ms


def requests_for(event: Event, agents: Mapping[str, Agent]) -> list[DecisionRequested]:
    """One request for each agent that the event calls for.

    The decision's id follows from the event and the agent, so asking twice is asking for one decision; its deadline
    counts from the event's stamp.
    """
    fact = event.WhichOneof("fact")
    requests = []
    for agent in agents.values():
        if fact not in agent.triggers:
            continue
        context = agent.asks(event)
        if context is None:
            continue
        requests.append(
            DecisionRequested(
                decision_id=derived_id(event.id.hex(), agent.name),
                agent=agent.name,
                tier=agent.tier,
                context=canonical(context),
                legal_actions=agent.legal_actions(context),
                deadline_ms=time_ms(event.stamp) + agent.deadline_ms,
                cost_cap_usd_micros=agent.cost_cap_usd_micros,
            )
        )
    return requests
