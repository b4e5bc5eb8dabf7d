"""ROLES: the kinds of worker, what each reads and what it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from projections import PROJECTIONS
from projections.fold import Fold
from projections.postgres import Writer
from projections.projection import Projection
from schemas import TOPICS
from streams.app import Role, Run, Run0, Shell
from streams.clickhouse import Events
from streams.deciding import decide_role
from streams.inferring import infer_role
from streams.processors.fold import FoldProcessor
from streams.processors.history import HistoryProcessor
from streams.processors.intake import Intake
from streams.processors.outbox import Outbox
from streams.reacting import policy_role

EVERYTHING = tuple(TOPICS)


def fold_role(projections: Sequence[Projection] = PROJECTIONS, topics: tuple[str, ...] = EVERYTHING) -> Role:
    """A role that folds these projections from these topics into Postgres."""
    fold, writer = Fold(projections), Writer(projections)

    def build(shell: Shell) -> Run:
        return FoldProcessor(
            fold=fold,
            intake=Intake("fold", projections),
            writer=writer,
            positions=shell.positions,
            commit=shell.commit(),
            metrics=shell.metrics,
            clock=shell.clock,
        ).run

    def beside(shell: Shell) -> Run0:
        return Outbox(shell.database, shell.producer(), asyncio.sleep).run

    return Role(topics, build, beside, prepare=writer.prepare)


def history_role(topics: tuple[str, ...] = EVERYTHING) -> Role:
    """A role that writes every record of these topics into ClickHouse."""

    def build(shell: Shell) -> Run:
        return HistoryProcessor(
            events=Events(shell.servers.clickhouse),
            intake=Intake("history"),
            positions=shell.positions,
            database=shell.database,
            commit=shell.commit(),
            metrics=shell.metrics,
            clock=shell.clock,
            waiting=shell.waiting,
        ).run

    return Role(topics, build)


ROLES: Mapping[str, Role] = {
    "fold": fold_role(),
    "history": history_role(),
    "decide": decide_role(),
    "infer": infer_role(),
    "policy": policy_role(),
}
