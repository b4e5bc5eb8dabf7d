"""ROLES: the kinds of worker, what each reads and what it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from inference import AGENTS
from inference.engines import choose_engine
from inference.worker import Worker
from projections import PROJECTIONS
from projections.decoding import Decoder
from projections.fold import Fold
from projections.postgres import Writer
from projections.projection import Projection
from schemas import TIERS, TOPICS
from streams.app import Role, Run, Run0, Shell
from streams.clickhouse import Events
from streams.processors.answering import Answering
from streams.processors.decide import DecideProcessor
from streams.processors.fold import FoldProcessor
from streams.processors.history import HistoryProcessor
from streams.processors.infer import InferProcessor
from streams.processors.outbox import Outbox
from streams.processors.taking import Taking

EVERYTHING = tuple(TOPICS)
REQUESTS = tuple(f"ai.requests.{tier}.v1" for tier in TIERS)


def fold_role(projections: Sequence[Projection] = PROJECTIONS, topics: tuple[str, ...] = EVERYTHING) -> Role:
    """A role that folds these projections from these topics into Postgres."""
    fold, decoder, writer = Fold(projections), Decoder(projections), Writer(projections)

    def build(shell: Shell) -> Run:
        return FoldProcessor(
            fold=fold,
            taking=Taking(fold, decoder, "fold"),
            writer=writer,
            positions=shell.positions,
            database=shell.database,
            metrics=shell.metrics,
            clock=shell.clock,
            regain=shell.regain,
        ).run

    def beside(shell: Shell) -> Run0:
        return Outbox(shell.database, shell.producer(), asyncio.sleep).run

    return Role(topics, build, beside, prepare=writer.prepare)


def history_role(topics: tuple[str, ...] = EVERYTHING) -> Role:
    """A role that writes every record of these topics into ClickHouse."""

    def build(shell: Shell) -> Run:
        return HistoryProcessor(
            events=Events(shell.servers.clickhouse),
            decoder=Decoder(()),
            positions=shell.positions,
            database=shell.database,
            metrics=shell.metrics,
            clock=shell.clock,
            waiting=shell.waiting,
            regain=shell.regain,
        ).run

    return Role(topics, build)


def _answering(shell: Shell, role: str) -> Answering:
    return Answering(
        role,
        publisher=shell.producer(),
        positions=shell.positions,
        database=shell.database,
        metrics=shell.metrics,
        regain=shell.regain,
    )


def _decide(shell: Shell) -> Run:
    answering = _answering(shell, "decide")
    return DecideProcessor(AGENTS, answering, shell.positions, shell.metrics, shell.clock).run


def _infer(shell: Shell) -> Run:
    worker = Worker(AGENTS, choose_engine(), now_ms=shell.clock.now_ms)
    return InferProcessor(worker, _answering(shell, "infer"), shell.positions, shell.metrics, shell.clock).run


ROLES: Mapping[str, Role] = {
    "fold": fold_role(),
    "history": history_role(),
    "decide": Role(("players.actions.v1", "world.facts.v1", "ai.decisions.v1"), _decide),
    "infer": Role(REQUESTS, _infer),
}
