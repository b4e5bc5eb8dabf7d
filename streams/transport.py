"""Faust's transport with batches: one message per partition per poll, whose value is the poll's records in columns.

Stock Faust makes four asyncio tasks per message, which caps it near 6,000 events/s on a core; its driver underneath
delivers 600,000. Faust keeps assignment, rebalance, commits, processors, web views and monitor; the per-message path
is what is replaced. And truth is Postgres: on assignment the consumer claims its partitions there and seeks to what
it says; Kafka's committed offset only feeds lag tools.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from typing import Any, cast

import faust
from aiokafka.errors import ConsumerStoppedError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from schemas import PermanentError, TemporaryError
from streams import fetching
from streams.polls import Batch, Claims
from streams.records import Records
from streams.standby import OneMember
from streams.topic_ids import topic_ids

log = logging.getLogger(__name__)

# While some partitions are paused the others are waited for no longer than this at a time.
PAUSED_LOOK_S = 0.05
# Each waits 15 s for a broker.
PIN_ATTEMPTS = 20
# The broker stamps Norn's topics.
_APPEND_TIME = 1


class OffsetLost(PermanentError):
    """The log no longer holds the next event to fold: folding on would skip events in silence."""

    reason = "offset_lost"


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
        fetcher._client = self._tap = fetching.Tap(fetcher._client, self._topic_ids)

    async def pin(self, topics: Collection[str]) -> None:
        """Note the ids of topics whose positions are claimed, and which topics are `replaced`."""
        await self.call_thread(self._pin, topics)

    @property
    def topic_ids(self) -> Mapping[str, bytes]:
        """The ids that were noted."""
        return self._tap.ids

    @property
    def replaced(self) -> set[str]:
        """The topics that were deleted, or made anew, since their ids were noted."""
        return self._tap.replaced

    async def seek_all(self, offsets: Mapping[TP, int]) -> None:
        """Seek those partitions that are still assigned; never beside a poll, which would move them on."""
        await self.call_thread(self._seek_all, offsets)

    async def _pin(self, topics: Collection[str]) -> None:
        for _ in range(PIN_ATTEMPTS):
            try:
                return await self._tap.pin(topics)
            except TemporaryError as error:
                # What is away is said once, by whoever first misses it.
                log.info("%s; trying again", error)
        await self._tap.pin(topics)

    async def _seek_all(self, offsets: Mapping[TP, int]) -> None:
        for tp in self.assignment() & offsets.keys():
            self.seek(tp, offsets[tp])

    async def _topic_ids(self, topics: Collection[str]) -> Mapping[str, bytes]:
        servers = driver.server_list(self.transport.url, Transport.default_port)
        return await asyncio.to_thread(topic_ids, ",".join(servers), topics)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # What a transaction has not committed has not happened. Faust asks so only where it writes transactions.
        consumer._isolation_level = "read_committed"
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

    _thread: ConsumerThread

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _claims(self) -> Claims:
        claims: Claims = self.app.claims  # type: ignore[attr-defined]
        return claims

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: The offset that follows what was handed over last, or that was claimed.
        self._reading: dict[TP, int] = {}

    #: When the log was last asked for more, on the loop's clock.
    polled_at_s: float | None = None

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Poll once; yields a message per partition."""
        self.polled_at_s = asyncio.get_running_loop().time()
        claims = self._claims
        claim_number = claims.claim_number
        # Partitions that are opened again have records at hand, but nothing that would end a wait for new ones.
        wait_s = min(timeout, PAUSED_LOOK_S) if self._paused_partitions else timeout
        try:
            stretches = cast(Mapping[TP, Records] | None, (await self._wait_next_records(wait_s))[0])
        except OffsetOutOfRangeError as error:
            asked: Mapping[TP, int] = error.args[0]
            if all(self._reading.get(tp) == offset for tp, offset in asked.items()):
                raise await self._lost(asked) from None
            # Asked before a seek: the claimed offsets have not been asked for yet.
            await self._seek_to(claims.next_offsets)
            return
        if stretches is None or self.should_stop:
            return
        # A worker that had nothing may be handed records before it has claimed where they are from; the claim seeks.
        wanted = [(tp, stretch) for tp, stretch in stretches.items() if tp in claims.next_offsets]
        due = [tp for tp in claims.set_aside if tp in self._reading and tp not in stretches]
        wanted += [(tp, Records.of([], self._reading[tp])) for tp in due]
        skipping = any(stretch.low > self._reading.get(tp, stretch.low) for tp, stretch in wanted)
        if not self.flow_active or claim_number != claims.claim_number or skipping:
            # These records were read before a seek, or beside it: reading on from the claimed offsets loses nothing.
            await self._seek_to(claims.next_offsets)
            return
        generation = self.app.consumer_generation_id
        for index, (tp, stretch) in enumerate(wanted, start=1):
            # A rebalance while an earlier share was handed over leaves the rest to whoever claims it next.
            if not self.flow_active or claim_number != claims.claim_number:
                return
            self._reading[tp] = stretch.high
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            yield tp, _message(Batch(tp, stretch, claim_number, index < len(wanted)), generation)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Faust seeks nowhere when there is nothing to read; the claim must say so all the same. Raises OffsetLost."""
        if not assigned:
            # That may be because the topics are gone.
            await self._check_topics(self._claims.next_offsets)
            self._claims.release()
        await super().on_partitions_assigned(assigned, generation_id)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Claim the assigned partitions in Postgres and seek to where it says. Raises OffsetLost."""
        offsets = await self._claims.claim(self.assignment())
        self._reading = dict(offsets)
        await self._check_topics(offsets)
        await self._seek_to(offsets)
        return offsets

    async def _check_topics(self, offsets: Mapping[TP, int]) -> None:
        await self._thread.pin({tp.topic for tp in offsets})
        # Also what was made anew while no worker ran is not what was read.
        self._thread.replaced.update(await self._claims.recognise(self._thread.topic_ids))
        if lost := {tp: offset for tp, offset in offsets.items() if tp.topic in self._thread.replaced}:
            raise await self._lost(lost)

    async def _lost(self, offsets: Mapping[TP, int]) -> OffsetLost:
        """Crash, since the log does not hold these next offsets."""
        there = [tp for tp in offsets if tp.topic not in self._thread.replaced]
        earliest, latest = await self.earliest_offsets(*there), await self.highwaters(*there)
        found = {tp: f"the broker holds {earliest[tp]} to {latest[tp]}" for tp in there}
        said = [
            f"{tp.topic}/{tp.partition}: the next offset is {offset}, and "
            + found.get(tp, "the topic was deleted or made anew")
            for tp, offset in sorted(offsets.items())
        ]
        lost = OffsetLost(
            f"{'; '.join(said)}. Events that were not folded are gone. `norn accept-loss` records the loss as gaps and "
            "goes on; or restore the topic; or drop the projections and their positions and fold again from the start."
        )
        await self.app.crash(lost)
        return lost

    async def _seek_to(self, offsets: Mapping[TP, int]) -> None:
        self._reading = dict(offsets)
        await self._thread.seek_all(offsets)
        self._read_offset.update({tp: offset or None for tp, offset in offsets.items()})

    async def commit_and_end_transactions(self) -> None:
        """Commit for lag tools as the worker stops; not after a crash, which ends the thread that would answer."""
        if not self.crashed:
            await super().commit_and_end_transactions()

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
        max(records.high - 1, records.low),
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
