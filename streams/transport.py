"""Faust's transport with batches: one message per partition per poll, whose value is the poll's records in columns.

Stock Faust makes four asyncio tasks per message, which caps it near 6,000 events/s on a core; its driver underneath
delivers 600,000. Faust keeps assignment, rebalance, commits, processors, web views and monitor; the per-message path
is what is replaced. And truth is Postgres: on assignment the consumer claims its partitions there and seeks to what
it says; Kafka's committed offset only feeds lag tools.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import faust
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from schemas import PermanentError
from streams import fetching
from streams.records import Records
from streams.standby import OneMember

#: Called with the claim that was fenced: wait for the rebalance that should follow, or claim anew if none does.
Regain = Callable[[int], Awaitable[None]]

# While some partitions are paused the others are waited for no longer than this at a time.
PAUSED_LOOK_S = 0.05
# The broker stamps Norn's topics.
_APPEND_TIME = 1


class OffsetLost(PermanentError):
    """The log no longer holds the next event to fold: folding on would skip events in silence."""

    reason = "offset_lost"


class Claims(Protocol):
    """Where a group's positions are kept; `streams.positions.Positions` in Postgres."""

    #: Counts the claims made: a batch read under an older claim is stale.
    claim_number: int

    async def claim(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """Take the partitions, fencing whoever had them; gives the next offset to fold of each."""

    def release(self) -> None:
        """Have no partitions any more."""

    @property
    def next_offsets(self) -> Mapping[TP, int]:
        """The next offset of each claimed partition, as stored."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One partition's share of one poll; `more` says that another share of the same poll follows.

    It may hold no records and cover offsets all the same: those of a transaction's markers, say.
    """

    tp: TP
    records: Records
    claim_number: int
    more: bool


@dataclass(slots=True)
class Poll:
    """All that one poll brought: the records of each partition, in the order of the log."""

    claim_number: int
    records: dict[TP, Records] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.records.values()))


class BatchSchema(faust.Schema[Any, Any]):
    """Hands a batch through: decoding it is the processor's work, a whole batch in one native call."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        """Batches have no key."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """The batch itself."""
        return message.value


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that fetches, into columns."""

    async def on_start(self) -> None:
        """Start the consumer, and tap what it fetches."""
        await super().on_start()
        fetcher = self._ensure_consumer()._fetcher
        fetcher._client = fetching.Tap(fetcher._client)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        if getattr(self.app, "alone", False):
            # Faust offers no other assignor to an app without tables; it is asked for only once the consumer starts.
            consumer._partition_assignment_strategy = (OneMember.here(lambda: time.time_ns() // 1_000_000),)
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        if not self.consumer.flow_active:
            return {}
        assert max_records is not None
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            records = await fetching.poll(fetcher, active_partitions, max_records)
            if not records and timeout:
                waiter = fetcher._create_fetch_waiter()
                done, _ = await asyncio.wait({waiter}, timeout=timeout)
                if not done:
                    waiter.cancel()
                    return {}
                # Raises what went wrong, an authorisation say.
                waiter.result()
                records = await fetching.poll(fetcher, active_partitions, max_records)
        return records


class Consumer(driver.Consumer):
    """A consumer that gives batches, and whose positions are kept by `app.claims`."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _claims(self) -> Claims:
        claims: Claims = self.app.claims  # type: ignore[attr-defined]
        return claims

    #: When the log was last asked for more, on the loop's clock.
    polled_at_s: float | None = None

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Poll once; yields a message per partition."""
        self.polled_at_s = asyncio.get_running_loop().time()
        claims = self._claims
        claim_number = claims.claim_number
        # Partitions that are opened again have records at hand, but nothing that would end a wait for new ones.
        wait_s = min(timeout, PAUSED_LOOK_S) if self._paused_partitions else timeout
        records, active = await self._wait_next_records(wait_s)
        if records is None or self.should_stop:
            return
        if not self.flow_active or claim_number != claims.claim_number:
            # These records were read before a seek, or beside it: reading on from the claimed offsets loses nothing.
            self._seek_to(claims.next_offsets)
            return
        generation = self.app.consumer_generation_id
        # A worker that had nothing may be handed records before it has claimed where they are from; the claim seeks.
        held = claims.next_offsets.keys() & (records.keys() if active is None else active)
        stretches = cast(Mapping[TP, Records], records)
        wanted = [(tp, stretch) for tp, stretch in stretches.items() if tp in held]
        for index, (tp, stretch) in enumerate(wanted, start=1):
            # A rebalance while an earlier share was handed over leaves the rest to whoever claims it next.
            if not self.flow_active or claim_number != claims.claim_number:
                return
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            yield tp, _message(Batch(tp, stretch, claim_number, index < len(wanted)), generation)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Faust seeks nowhere when there is nothing to read; the claim must say so all the same."""
        if not assigned:
            self._claims.release()
        await super().on_partitions_assigned(assigned, generation_id)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Claim the assigned partitions in Postgres and seek to where it says. Raises OffsetLost."""
        assignment = self.assignment()
        offsets = await self._claims.claim(assignment)
        await self._check_held(offsets)
        self._seek_to(offsets)
        return offsets

    async def _check_held(self, offsets: Mapping[TP, int]) -> None:
        earliest = await self.earliest_offsets(*offsets)
        latest = await self.highwaters(*offsets)
        for tp, offset in offsets.items():
            low, high = earliest.get(tp) or 0, latest.get(tp)
            if offset < low or (high is not None and offset > high):
                lost = OffsetLost(
                    f"{tp.topic}/{tp.partition}: the next offset is {offset}, but the broker holds {low} to {high}. "
                    "Restore the topic, or drop the projections and their positions and fold again from the start."
                )
                await self.app.crash(lost)
                raise lost

    def _seek_to(self, offsets: Mapping[TP, int]) -> None:
        for tp in self.assignment() & offsets.keys():
            self._thread.seek(tp, offsets[tp])
            self._read_offset[tp] = offsets[tp] or None

    def ack(self, message: Any) -> bool:
        """Note that a processor is done with a message; what is committed is what Postgres has stored."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter(list(self._claims.next_offsets))

    def _new_offset(self, tp: TP) -> int | None:
        offset: int | None = self._claims.next_offsets.get(tp)
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps between batches are how batches are numbered, not events that were lost: dots find those."""

    def on_buffer_full(self, tp: TP) -> None:
        """A full buffer holds the poll loop itself, so that waiting happens in the broker and batches grow."""

    def on_buffer_drop(self, tp: TP) -> None:
        """See on_buffer_full."""


class Transport(driver.Transport):
    """Faust's aiokafka transport with the batching consumer."""

    Consumer = Consumer


def _message(batch: Batch, generation: int) -> ConsumerMessage:
    records = batch.records
    return ConsumerMessage(
        batch.tp.topic,
        batch.tp.partition,
        # Faust drops a message below its read offset: that is where this one begins.
        records.high - 1,
        int(records.timestamps[-1]) / 1000 if len(records) else 0.0,
        _APPEND_TIME,
        [],
        b"",
        cast(Any, batch),
        None,
        0,
        0,
        batch.tp,
        # Without the generation the stream drops every batch in silence.
        generation_id=generation,
    )


async def polls(stream: AsyncIterator[Batch], claims: Claims) -> AsyncIterator[Poll]:
    """Put the shares of each poll together again; shares read under an older claim are dropped."""
    shares: dict[TP, list[Records]] = {}
    claim_number = 0
    async for batch in stream:
        if batch.claim_number != claim_number:
            shares, claim_number = {}, batch.claim_number
        if batch.claim_number != claims.claim_number:
            continue
        shares.setdefault(batch.tp, []).append(batch.records)
        if not batch.more:
            yield Poll(claim_number, {tp: Records.joined(stretches) for tp, stretches in shares.items()})
            shares = {}
