"""Replaying: a dead-letter file sent by hand. The bridge knows each event by its number, so none is doubled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.bridge.client.dead_letters import entries
from streams.bridge.client.ring import Entry
from streams.bridge.client.service import Answer, Service, Wait
from streams.bridge.wire import BATCH_EVENTS_MAX


@dataclass(slots=True)
class Replayed:
    """What became of a file's events."""

    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    damaged: int = 0


def replay(path: Path, service: Service, pause: Callable[[float], None] = time.sleep) -> Replayed:
    """Send every event of a file, which stays as it is. Raises Failed and Blocked, and is then simply done again."""
    done = Replayed()
    for batch in _batches(path, done):
        while batch:
            answer = _ask(service, batch)
            done.accepted += answer.accepted
            done.repeated += answer.repeated
            done.refused += len(answer.refused)
            batch = [entry for entry in batch if entry.sequence in answer.deferred]
            if batch:
                pause(answer.retry_after_s)
    return done


def _ask(service: Service, batch: Sequence[Entry]) -> Answer:
    try:
        return service.dispatch(batch)
    except Wait as error:
        return Answer(0, 0, {}, frozenset(entry.sequence for entry in batch), error.wait_s)


def _batches(path: Path, done: Replayed) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    for _, entry in entries(path):
        if entry is None:
            done.damaged += 1
            continue
        if batch and (entry.client != batch[0].client or len(batch) == BATCH_EVENTS_MAX):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch
