"""What is decided: AI agents, the engines that answer them, and what becomes of their answers."""

from inference.agents import AGENTS

__all__ = ["AGENTS"]
