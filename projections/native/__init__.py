"""The parts written in C, where a compiler was at hand when Norn was installed. Each has a twin in Python."""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType


def native(name: str) -> ModuleType | None:
    """A module written in C; None where it was not built, or where NORN_NATIVE=0 asks for the twin in Python."""
    if os.environ.get("NORN_NATIVE") == "0":
        return None
    try:
        return import_module(name)
    except ImportError:
        return None
