"""Chaos for the log: a hostile one is written while every worker runs; then each record of it is accounted for."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer

from schemas import NornError
from streams.chaos.hostile import Batch, hostile
from streams.config import Settings
from streams.counting import Counting
from streams.crew import Crew
from streams.embedded import Servers, start
from streams.preparing import prepare
from streams.reaching import postgres_at
from streams.reconcile import reconcile
from streams.statements import statement

#: A broker that has begun answers in milliseconds; a busy machine delays it by seconds.
WRITE_TIMEOUT_S = 60.0
#: Ten thousand records are gone through one by one in seconds by each of five workers on two cores.
SETTLE_WITHIN_S = 90.0


class NotWritten(NornError):
    """The broker did not take the hostile log."""

    reason = "not_written"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a hostile log. Records are all that were committed, those that the workers wrote included."""

    seed: int
    #: How many were committed by this run.
    written: int
    records: int
    folded: int
    dead_letters: int
    duplicates: int
    #: How often a worker ended by itself.
    stopped: int
    settled: bool
    reconcile_holds: bool
    #: Dead letters by why they are.
    reasons: dict[str, int]
    differences: tuple[str, ...]
    took_s: float

    @property
    def holds(self) -> bool:
        """Whether no worker stopped, and each record is in exactly one account."""
        accounted = self.folded + self.dead_letters + self.duplicates
        return not self.stopped and self.reconcile_holds and self.records == accounted >= self.written


def run(records: int, seed: int, say: Callable[[str], None]) -> Outcome:
    """Write so many records and see. Raises ServersError, ServerAway, BrokerAway, ChildFailed and NotWritten."""
    with tempfile.TemporaryDirectory(prefix="norn-chaos-", ignore_cleanup_errors=True) as folder:
        say("starting Kafka, Postgres and ClickHouse")
        with start(Path(folder) / "servers") as servers:
            return asyncio.run(_run(servers, Path(folder), records, seed, say))


async def _run(servers: Servers, home: Path, records: int, seed: int, say: Callable[[str], None]) -> Outcome:
    began_s = time.monotonic()
    await prepare(servers)
    crew, counting = Crew(Settings(home=home), servers, environment={"NORN_WEB_PORT": "0"}), Counting(servers)
    try:
        say("starting the workers")
        crew.start()
        await crew.ready()
        say(f"writing {records:,} records")
        batches = hostile(records, seed, time.time_ns() // 1_000_000)
        written = await asyncio.to_thread(write, servers.kafka, batches)
        say("waiting until every worker has caught up")
        settled = await counting.settled(SETTLE_WITHIN_S)
        counts = await counting.counts()
        stopped = crew.restarts
    finally:
        await crew.stop()
    verdict = reconcile(counts.partitions)
    read = [counted.log.scan for counted in counts.partitions if counted.log.scan]
    async with postgres_at(servers.postgres) as connection:
        reasons = await connection.fetch(statement("count_reasons"))
    return Outcome(
        seed=seed,
        written=written,
        records=sum(scan.events + scan.repeats + scan.unreadable for scan in read),
        folded=verdict.in_postgres,
        dead_letters=sum(counted.postgres.dead_letters for counted in counts.partitions),
        duplicates=verdict.duplicates_dropped,
        stopped=stopped,
        settled=settled,
        reconcile_holds=verdict.holds,
        reasons={row["reason"]: row["dead_letters"] for row in reasons},
        differences=verdict.differences,
        took_s=round(time.monotonic() - began_s, 1),
    )


def write(bootstrap: str, batches: Iterable[Batch]) -> int:
    """Write batches in their order, in transactions where they say so; gives how many records were committed.

    Blocks; raises NotWritten.
    """
    plain = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": "norn-chaos-log"})
    transactional.init_transactions(WRITE_TIMEOUT_S)
    committed = 0
    for batch in batches:
        producer = plain if batch.commits is None else transactional
        if batch.commits is not None:
            transactional.begin_transaction()
        for _, value in batch.records:
            producer.produce(batch.topic, value, partition=batch.partition)
        # Each batch before the next, so that the log has their order.
        if producer.flush(WRITE_TIMEOUT_S):
            raise NotWritten(f"Kafka at {bootstrap} took no records for {WRITE_TIMEOUT_S:g} s: look at its log")
        if batch.commits is False:
            transactional.abort_transaction(WRITE_TIMEOUT_S)
            continue
        if batch.commits:
            transactional.commit_transaction(WRITE_TIMEOUT_S)
        committed += len(batch.records)
    return committed
