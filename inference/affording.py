"""Models that an agent's money never reaches for. A worker names them when it starts: no request changes that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inference.agent import Agent
from inference.bill import worst_of_call
from inference.engines.engine import Engine, links_of
from inference.prices import Prices
from inference.prompts import Prompt

# As few as an agent may have to choose from: more make the prompt longer, and dearer.
_ACTIONS = ("one", "other")


@dataclass(frozen=True)
class Unaffordable:
    """A link of a tier's chain that some of the tier's agents never ask, because one call may cost more than they have.

    agents: by their names, what each may spend on an answer. usd_micros: the least that one call of theirs may cost.
    """

    tier: str
    link: str
    usd_micros: int
    agents: Mapping[str, int]
    by_nobody: bool

    def __str__(self) -> str:
        """One line for a person, with what would mend it."""
        caps = ", ".join(f"{name} {cap:,}" for name, cap in self.agents.items())
        whom = "asked by no agent" if self.by_nobody else f"not asked by {len(self.agents)} agents"
        return (
            f"{self.tier}: {self.link} is {whom} of the tier, because one call may cost"
            f" {self.usd_micros:,} micro-dollars or more and an answer at most: {caps}."
            " Name a cheaper model, or tell its price by NORN_PRICES"
        )


def unaffordable(engines: Mapping[str, Engine | None], agents: Iterable[Agent], prices: Prices) -> list[Unaffordable]:
    """The links that agents never ask, by the shortest prompts that they may have. Raises UnknownPrice."""
    agents = list(agents)
    found: list[Unaffordable] = []
    for tier, engine in engines.items():
        asking = [agent for agent in agents if agent.tier == tier]
        for link, model in links_of(engine) if engine is not None else ():
            costs = {agent.name: _least(agent, model, prices) for agent in asking}
            caps = {agent.name: agent.cost_cap_usd_micros for agent in asking}
            without = {name: caps[name] for name, cost in costs.items() if cost > caps[name]}
            if without:
                least = min(costs[name] for name in without)
                found.append(Unaffordable(tier, link, least, without, by_nobody=len(without) == len(asking)))
    return found


def _least(agent: Agent, model: str, prices: Prices) -> int:
    """The least that may have to be reserved for one call, which is made with hardly any context."""
    try:
        turns = agent.prompt(agent.shown({}))
    except Exception:  # an agent may need a context to make a prompt of
        turns = ()
    return worst_of_call(model, Prompt(turns, agent.schema(_ACTIONS), agent.max_tokens, 0), agent.deadline_ms, prices)
