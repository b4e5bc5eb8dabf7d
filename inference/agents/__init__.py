"""AGENTS: every AI agent, by name. A leaf that is not in this table does not run."""

from __future__ import annotations

from collections.abc import Mapping

from inference.agent import Agent
from inference.agents.chronicler import chronicler

AGENTS: Mapping[str, Agent] = {agent.name: agent for agent in (chronicler,)}
