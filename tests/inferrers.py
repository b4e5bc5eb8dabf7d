"""Infer workers as processes of their own, with an engine that waits when it is told to."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.engines import Completion
from inference.prompts import Prompt
from inference.purse import Purse
from inference.worker import Worker
from schemas import TIERS
from streams.app import Shell, create_app
from streams.config import Settings
from streams.embedded import Servers
from streams.inferring import infer_role
from streams.worker import run
from tests.inference.asking import worker
from tests.waiting import eventually_async
from tests.workers import Workers

GREET = '{"action":"greet","why":"It is a fine day."}'
GO_WITHIN_S = 300.0
#: In what a guard hears: the engine keeps such a prompt until the file `go` is there.
SLOW = "slow"


class Patient:
    """Greets at once, or when `go` is there."""

    name = "scripted"
    model = "scripted"
    slots = 8

    def __init__(self, go: Path) -> None:
        self._go = go

    async def start(self) -> None:
        """Nothing to make ready."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Greet."""
        with prompt.call(self.model) as call:
            if SLOW in prompt.turns[-1].content:
                await eventually_async(self._go.exists, GO_WITHIN_S)
            return call.answered(Completion(GREET, 10, 10, 1, "stop"))

    async def close(self) -> None:
        """Nothing to give back."""


@dataclass
class Inferrers(Workers):
    """Starts infer workers of one group; `topic` begins the names of the tiers' topics."""

    role: str = "infer"

    @property
    def go(self) -> Path:
        """Lets the engine answer what it keeps."""
        return self.home / "go"

    def start(self, tiers: Sequence[str] = TIERS) -> subprocess.Popen[bytes]:
        """One more worker."""
        command = [sys.executable, "-m", "tests.inferrers", self.group, self.topic, str(self.go), *tiers]
        return self.spawn(command)


def main() -> None:
    """Run one infer worker until it is told to stop."""
    parser = argparse.ArgumentParser()
    for name in ("group", "topic", "go"):
        parser.add_argument(name)
    parser.add_argument("tiers", nargs="+")
    chosen = parser.parse_args()
    settings = Settings()
    servers = Servers(
        kafka=settings.kafka or "", postgres=settings.postgres or "", clickhouse=settings.clickhouse or ""
    )

    def make(shell: Shell, tiers: Collection[str], purse: Purse) -> Worker:
        return worker(Patient(Path(chosen.go)), shell.clock.now_ms, tiers=tiers)

    role = infer_role(chosen.tiers, make=make, topic_of=lambda tier: f"{chosen.topic}_{tier}")
    run(create_app(settings, servers, "infer", role, group=chosen.group), "info")


if __name__ == "__main__":
    main()
