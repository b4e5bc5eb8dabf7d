"""Engines, and which one to use."""

from __future__ import annotations

from inference.engines.anthropic import Anthropic
from inference.engines.choosing import choose_engine
from inference.engines.engine import (
    Completion,
    Engine,
    EngineBusy,
    EngineRefused,
    EngineTimeout,
    PromptRefused,
    QueueFull,
    models_of,
    service_of,
)
from inference.engines.llamacpp import LlamaCpp, packaged_weights
from inference.engines.openai import OpenAI
from inference.engines.scripted import Scripted

__all__ = [
    "Anthropic",
    "Completion",
    "Engine",
    "EngineBusy",
    "EngineRefused",
    "EngineTimeout",
    "LlamaCpp",
    "OpenAI",
    "PromptRefused",
    "QueueFull",
    "Scripted",
    "choose_engine",
    "models_of",
    "packaged_weights",
    "service_of",
]
