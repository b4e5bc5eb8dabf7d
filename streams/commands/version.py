"""norn version."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of

from streams.commands.output import Json, answers, emit


def version(as_json: Json = False) -> None:
    """Say which version of Norn this is, and of what it runs on."""
    found = {"norn": version_of("norn"), "python": platform.python_version()}
    found |= {name: version_of(name) for name in ("faust-streaming", "confluent-kafka", "polars", "protobuf")}
    if as_json:
        emit(found)
    else:
        answers.print(" ".join(f"{name} {number}" for name, number in found.items()), highlight=False)
