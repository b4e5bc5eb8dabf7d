"""What a worker that decides is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from faust.types import TP

from inference.agent import Agent
from inference.agents import AGENTS
from inference.requests import asked_as
from schemas import TIERS
from streams.app import Role, Run, Shell
from streams.judgements import DECISIONS_TOPIC
from streams.processors.answering import Answering
from streams.processors.decide import DecideProcessor
from streams.processors.intake import Intake
from streams.sdk.spill import Spill

#: What calls for decisions, what is decided, and what is asked.
TOPICS = (
    "players.actions.v1",
    "world.facts.v1",
    DECISIONS_TOPIC,
    *(f"ai.requests.{tier}.v1" for tier in TIERS),
)

# A poll is one transaction, and nothing else is answered until it is stored: some hundred milliseconds' worth.
POLL_EVENTS_MAX = 2_000


def decide_role(agents: Mapping[str, Agent] = AGENTS) -> Role:
    """A role that asks these agents, as the settings say, and alone gives what they propose its effect."""

    def build(shell: Shell) -> Run:
        asked = asked_as(agents, shell.settings.agents)
        shell.publisher = publisher = shell.open_producer(forget_left)

        async def ends(partitions: Iterable[TP]) -> Mapping[TP, int | None]:
            found: Mapping[TP, int | None] = await shell.app.consumer.highwaters(*partitions)
            return found

        commit = shell.commit()
        return DecideProcessor(
            asked,
            intake=Intake("decide"),
            answering=Answering("decide", publisher, commit),
            publisher=publisher,
            positions=shell.positions,
            database=shell.database,
            commit=commit,
            metrics=shell.metrics,
            clock=shell.clock,
            ends=ends,
        ).run

    return Role(TOPICS, build, poll_events_max=POLL_EVENTS_MAX)


def forget_left(spill: Path) -> None:
    """Drop what an earlier producer could not send. Raises SpillInUse.

    The positions have not moved over it, so it is decided again; sent late as well, it would be a second effect.
    """
    left = Spill(spill)
    for segment in spill.glob("*.spill"):
        segment.unlink()
    left.close()
