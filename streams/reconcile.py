"""Reconciliation: is what the stores hold exactly what the log holds? Pure: counts in, verdict out.

Every partition is counted three times, each time by those who have it: the log by reading it from end to end, Postgres
by what its fold counted and the dots it remembers, ClickHouse by its rows. Nobody's count is made from another's, so a
loss, a repeat or a skipped batch in any one of them shows as a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Scan:
    """What reading a partition from its beginning to its end gave."""

    #: Different events: dots, each counted once.
    events: int = 0
    #: Records whose dot had been read before.
    repeats: int = 0
    #: Numbers that an origin skipped.
    missing: int = 0
    #: Records without a dot by which they could be told from a repeat, or that are no events at all.
    unreadable: int = 0
    #: Offsets that hold no committed record: transactions' markers, and what was aborted.
    passed: int = 0


@dataclass(frozen=True, slots=True)
class Log:
    """One partition as the broker has it, up to the last record that was committed.

    `scan` is None when the log is too large to be read for this.
    """

    begin: int = 0
    end: int = 0
    scan: Scan | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """One partition as a store has it."""

    #: The offset of the record that it takes up next.
    next_offset: int = 0
    #: Events it holds the effect of.
    events: int = 0
    #: Different dots that it has had: those of its events, and in Postgres of the dead letters that have one.
    distinct: int = 0
    #: Repeats it dropped.
    duplicates: int = 0
    #: Numbers below an origin's highest that it has not had.
    missing: int = 0
    #: Records it could not use, and kept as dead letters.
    dead_letters: int = 0
    #: Dead letters whose dot it did not take as had, because nobody could tell whether it was a repeat.
    untold: int = 0
    #: Offsets that hold no committed record.
    passed: int = 0
    #: Records that were deleted before it read them, accepted as lost.
    lost: int = 0
    #: Whether it still knows each number: no gap was given up, and no producer's life forgotten.
    remembers_all: bool = True


@dataclass(frozen=True, slots=True)
class Account:
    """What one life of a producer says that the broker has acknowledged."""

    origin: str
    sent: int
    #: False when it was killed and could not say the last of it: the log's word is taken for what it wrote.
    complete: bool = True


@dataclass(frozen=True, slots=True)
class PartitionCount:
    """One partition, counted in all three places."""

    topic: str
    partition: int
    log: Log = field(default_factory=Log)
    postgres: Store = field(default_factory=Store)
    clickhouse: Store = field(default_factory=Store)
    #: Records that at least one worker could not use.
    dead_letters: int = 0

    @property
    def name(self) -> str:
        """TOPIC/PARTITION."""
        return f"{self.topic}/{self.partition}"

    @property
    def in_kafka(self) -> int:
        """Different events that were appended; without a scan, Postgres' word on which records were repeats."""
        if self.log.scan:
            return self.log.begin + self.log.scan.events
        return self.log.end - self.postgres.duplicates - self.postgres.passed

    @property
    def holes(self) -> int:
        """Numbers below an origin's highest that the log does not have, by dots alone, as the page counts them."""
        return self.log.scan.missing if self.log.scan else self.postgres.missing


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the counts agree, and what does not, in words."""

    in_kafka: int
    in_postgres: int
    in_clickhouse: int
    holes: int
    duplicates_dropped: int
    dead_letters: int
    #: Events that producers say were acknowledged, with those already in the log; None when nobody was asked.
    produced: int | None
    differences: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was lost and nothing was counted twice."""
        return not self.differences


def reconcile(partitions: Sequence[PartitionCount], produced: int | None = None) -> Verdict:
    """Hold the counts against each other; `produced` is what `produced_events` gives."""
    differences = [difference for counted in partitions for difference in _differences(counted)]
    in_kafka = sum(counted.in_kafka for counted in partitions)
    if produced is not None and produced != in_kafka:
        differences.append(_unlike(produced, in_kafka))
    return Verdict(
        in_kafka=in_kafka,
        in_postgres=sum(counted.postgres.events for counted in partitions),
        in_clickhouse=sum(counted.clickhouse.events for counted in partitions),
        holes=sum(counted.holes for counted in partitions),
        duplicates_dropped=sum(counted.postgres.duplicates for counted in partitions),
        dead_letters=sum(counted.dead_letters for counted in partitions),
        produced=produced,
        differences=tuple(differences),
    )


def produced_events(before: int, accounts: Iterable[Account], in_log: Mapping[str, int]) -> int:
    """How many events there should be: those there were, and what each producer since then says it has sent.

    `in_log` is how many events of each origin the log has.
    """
    return before + sum(
        account.sent if account.complete else max(account.sent, in_log.get(account.origin, 0)) for account in accounts
    )


def _unlike(produced: int, in_kafka: int) -> str:
    what = (
        f"{produced - in_kafka:,} were lost" if produced > in_kafka else f"{in_kafka - produced:,} nobody answers for"
    )
    return f"producers had {produced:,} events acknowledged and the log has {in_kafka:,}: {what}"


def _differences(counted: PartitionCount) -> Iterator[str]:
    name, log = counted.name, counted.log
    if counted.holes:
        yield f"{name}: {counted.holes:,} events that were numbered never arrived"
    for store_name, store in (("Postgres", counted.postgres), ("ClickHouse", counted.clickhouse)):
        for difference in _store_differences(store, log):
            yield f"{name}: {store_name} {difference}"


def _store_differences(store: Store, log: Log) -> Iterator[str]:
    if store.next_offset < log.end:
        yield f"is {log.end - store.next_offset:,} records behind"
    elif store.next_offset > log.end:
        yield f"is {store.next_offset - log.end:,} records ahead of the log: was the topic made anew?"
    accounted = store.events + store.duplicates + store.dead_letters + store.passed + store.lost
    if accounted != store.next_offset:
        word = "too few" if accounted < store.next_offset else "too many"
        yield (
            f"stepped over {store.next_offset:,} offsets and holds {store.events:,} events, {store.duplicates:,}"
            f" repeats, {store.dead_letters:,} dead letters, {store.passed:,} offsets without a record and"
            f" {store.lost:,} lost: {abs(store.next_offset - accounted):,} {word}"
        )
    if store.events > store.distinct:
        yield f"has {store.events - store.distinct:,} events twice"
    elif store.remembers_all and store.distinct > store.events + store.dead_letters:
        yield f"has had {store.distinct - store.events:,} events whose effect is missing"
    if log.scan and not log.begin and store.next_offset == log.end:
        yield from _scan_differences(store, log.scan)


def _scan_differences(store: Store, scan: Scan) -> Iterator[str]:
    """A store that has caught up, against the whole log."""
    if store.passed != scan.passed:
        yield f"passed over {store.passed:,} offsets as holding no record, and reading the log gave {scan.passed:,}"
    # What has no dot is a dead letter everywhere; the other dead letters are different events of the log, but for the
    # untold, each of which may be a repeat.
    refused = store.dead_letters - scan.unreadable
    if refused < 0:
        yield f"keeps {store.dead_letters:,} dead letters, and {scan.unreadable:,} records are no events"
    elif store.events + refused - store.untold > scan.events:
        yield f"holds {store.events + refused - store.untold - scan.events:,} events more than the log has"
    elif store.events + refused < scan.events:
        yield f"lacks {scan.events - store.events - refused:,} events that the log has"
    elif store.remembers_all and store.distinct > store.events + refused - store.untold:
        yield f"has had {store.distinct - store.events - refused + store.untold:,} events whose effect is missing"
    if store.missing != scan.missing and store.remembers_all and not store.untold:
        word = "more" if store.missing > scan.missing else "fewer"
        yield f"misses {abs(store.missing - scan.missing):,} numbers {word} than the log"
