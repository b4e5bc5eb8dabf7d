"""Commands that take a while: run to their end, and heard out where they do not come to it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

import pytest


def finished(
    command: Sequence[str], within_s: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What came of a command; one that hangs fails the test with what it had said until then."""
    try:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=within_s, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        # What was read so far is not decoded yet.
        said = b"".join(filter(None, (late.stderr, late.stdout))).decode(errors="replace")
    pytest.fail(f"it has not ended after {within_s:g} s, and had said:\n{said}")
