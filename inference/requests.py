"""Requests: the decisions that an event calls for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from inference.agent import Agent, Context
from inference.asking import Asking
from inference.prompts import canonical
from schemas import DecisionRequested, Event, derived_id
from schemas.stamps import time_ms


def requests_for(event: Event, agents: Mapping[str, Agent], world_version: int = 0) -> list[DecisionRequested]:
    """A request for each decision that the event calls for, of agents that are asked then.

    A decision's id follows from the event and the agent, so asking twice is asking for one decision; its deadline
    counts from the event's stamp. Where an agent is asked of each subject once in a while, all that call for it then
    are one decision, and the first is the one that counts.
    """
    fact = event.WhichOneof("fact")
    return [
        DecisionRequested(
            decision_id=decision_id,
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
        if fact in agent.triggers and agent.asking.enabled
        for decision_id, context in _decisions(event, agent)
    ]


def asked_as(agents: Mapping[str, Agent], settings: Mapping[str, Asking]) -> Mapping[str, Agent]:
    """The agents, each asked as the settings say of it; the names of others change nothing."""
    return {name: replace(agent, asking=settings.get(name, agent.asking)) for name, agent in agents.items()}


def _decisions(event: Event, agent: Agent) -> Iterator[tuple[str, Context]]:
    period = agent.asking.period(time_ms(event.stamp))
    for number, context in enumerate(agent.contexts(event)):
        occasion, several = _occasion(event), [str(number)] if number else []
        if not agent.asking.picks(derived_id(occasion, agent.name, *several)):
            continue
        if period is not None:
            occasion = derived_id("every", event.subject, str(agent.asking.every_s), str(period))
        yield derived_id(occasion, agent.name, *several), context


def _occasion(event: Event) -> str:
    # What a policy says twice after a crash is two events, but one occasion.
    if event.HasField("schedule_due"):
        return derived_id("schedule_due", event.schedule_due.schedule, str(event.schedule_due.due_ms))
    if event.HasField("decision_effective"):
        return derived_id("decision_effective", event.decision_effective.decision_id)
    return event.id.hex()
