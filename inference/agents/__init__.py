"""AGENTS: every AI agent, by name. A leaf that is not in this table does not run."""

from __future__ import annotations

from collections.abc import Mapping

from inference.agent import Agent
from inference.agents.adaptive_dungeon import adaptive_dungeon
from inference.agents.archaeology import archaeology
from inference.agents.chronicler import chronicler
from inference.agents.decision import decision
from inference.agents.dialogue import dialogue
from inference.agents.dynamic_boss import dynamic_boss
from inference.agents.dynamic_npc import dynamic_npc
from inference.agents.economy import economy
from inference.agents.economy_social import economy_social
from inference.agents.event_chain import event_chain
from inference.agents.faction import faction
from inference.agents.karma import karma
from inference.agents.map_hazard import map_hazard
from inference.agents.memory import memory
from inference.agents.problem import problem
from inference.agents.quest import quest
from inference.agents.reputation import reputation
from inference.agents.social import social
from inference.agents.story_teller import story_teller
from inference.agents.storyline import storyline
from inference.agents.treasure import treasure
from inference.agents.weather import weather
from inference.agents.world import world
from inference.agents.world_event import world_event

_ALL = (
    adaptive_dungeon,
    archaeology,
    chronicler,
    decision,
    dialogue,
    dynamic_boss,
    dynamic_npc,
    economy,
    economy_social,
    event_chain,
    faction,
    karma,
    map_hazard,
    memory,
    problem,
    quest,
    reputation,
    social,
    story_teller,
    storyline,
    treasure,
    weather,
    world,
    world_event,
)
AGENTS: Mapping[str, Agent] = {agent.name: agent for agent in _ALL}
