"""Asking: a game server's own request for a decision, checked against the agent that it names, and made whole.

What follows from the request alone is filled in when it is read; what follows from who asks and when, as it is taken.
A request that has come through here has an answer: the agent can read its context, and its default is legal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from inference.agent import Agent, Context
from inference.agents import AGENTS
from inference.attempt import read_context
from inference.prompts import canonical
from schemas import DecisionRequested, EventRefused, PermanentError
from schemas.topics import DAY_MS
from streams.bridge.wire import check_context_size

#: A person may have to agree, and may be away for some days; what is further ahead is in another unit.
AHEAD_MAX_MS = 7 * DAY_MS

#: The facts that may call for a decision, by name; and a game's own request does.
CALLING = frozenset(fact for agent in AGENTS.values() for fact in agent.triggers)


class UnknownAgent(PermanentError):
    """Nobody of this name decides anything."""

    reason = "unknown_agent"


class IllegalActions(PermanentError):
    """Actions that the agent does not have in this context, or too few of those that it has."""

    reason = "illegal_actions"


class DeadlinePassed(PermanentError):
    """The answer would come too late to be of use."""

    reason = "deadline_passed"


def asked(request: DecisionRequested, agents: Mapping[str, Agent] = AGENTS) -> DecisionRequested:
    """The request, with what it leaves out as its agent declares it, but for its id, its deadline and its world.

    What is wrong with a request whatever its agent is found before, by `check_offered`. Raises UnknownAgent,
    ContextTooLarge, IllegalActions, and EventRefused for a context that the agent cannot read.
    """
    agent = agents.get(request.agent)
    if agent is None:
        raise UnknownAgent(f"there is no agent {request.agent[:40]!r}; there are {', '.join(agents)}")
    context = _context(request.context)
    try:
        legal, default, impact = agent.legal_actions(context), agent.default(context).action, agent.impact(context)
    except Exception as error:  # anybody may have written the context
        raise EventRefused(f"{agent.name} cannot read this context: {type(error).__name__}: {error}") from error
    made = DecisionRequested(
        decision_id=request.decision_id,
        agent=agent.name,
        tier=request.tier or agent.tier,
        context=canonical(context),
        legal_actions=_legal(agent, request.legal_actions, legal, default),
        deadline_ms=request.deadline_ms,
        cost_cap_usd_micros=request.cost_cap_usd_micros or agent.cost_cap_usd_micros,
        impact=request.impact or impact,
        world_version=request.world_version,
    )
    # Written anew it may be longer: 1e9 becomes 1000000000.0.
    check_context_size(made.context)
    return made


def addressed(
    request: DecisionRequested, decision_id: str, asked_ms: int, now_ms: int, world_version: int
) -> DecisionRequested:
    """The whole request of an event that happened at `asked_ms`; `request` is what `asked` gave.

    Raises DeadlinePassed, and EventRefused for a deadline that is no time at all.
    """
    deadline_ms = request.deadline_ms or asked_ms + AGENTS[request.agent].deadline_ms
    if deadline_ms <= now_ms:
        raise DeadlinePassed(f"its deadline, {deadline_ms}, was {now_ms - deadline_ms} ms ago by the bridge's clock")
    if deadline_ms > now_ms + AHEAD_MAX_MS:
        raise EventRefused(f"deadline_ms is milliseconds since 1970, at most {AHEAD_MAX_MS} ahead, not {deadline_ms}")
    whole = DecisionRequested()
    whole.CopyFrom(request)
    whole.decision_id = decision_id
    whole.deadline_ms = deadline_ms
    whole.world_version = request.world_version or world_version
    return whole


def _context(written: str) -> Context:
    try:
        context = read_context(written or "{}")
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise EventRefused(f"context is no JSON: {error}") from None
    if not isinstance(context, dict):
        raise EventRefused('context is a JSON object as text, "{...}"')
    return context


def _legal(agent: Agent, wanted: Sequence[str], legal: Sequence[str], default: str) -> Sequence[str]:
    """The actions that the game wants of those that the agent has; all of them where it names none."""
    chosen = list(dict.fromkeys(wanted)) or legal
    if others := [action for action in chosen if action not in legal]:
        raise IllegalActions(f"{agent.name} may here {', '.join(legal)}, and not {', '.join(others)[:200]}")
    if default not in chosen:
        raise IllegalActions(
            f"legal_actions leaves out {default}, which {agent.name} does when nothing else is possible"
        )
    return chosen
