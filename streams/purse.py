"""The purse of a worker: asks the budget's writer over the log, ahead of need, so that calls seldom wait for it.

An ask reserves several calls at once, for one agent. Calls draw on what is reserved; when little is left the next ask
is under way already. What is left at its end is returned. If the worker dies, its reservations lapse by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition
from google.protobuf.message import Message

from inference.budget import SUBJECT, Amount
from inference.purse import Reservation
from inference.validation import Refused
from schemas import (
    TOPICS,
    BudgetAsked,
    BudgetReserved,
    BudgetReturned,
    NornError,
    Topic,
    decode,
    fact_name,
)
from schemas.partitions import partition_of
from streams.dead_letters import Publisher

log = logging.getLogger(__name__)

# So many calls are asked for at once: a busy agent waits for the log once in eight calls, an idle one holds little.
CALLS_PER_ASK = 8
# What a reservation that was forgotten keeps from others for at most; an agent that calls at all calls within it.
HELD_MS = 60_000
# A reservation is not drawn upon in its last seconds: most calls have ended before it lapses. What a longer one costs
# is counted by its sample, so that it may pass a cap by what is in flight.
DRAWN_UNTIL_MS = 15_000
# After a refusal the same agent asks again no sooner: caps are of hours, and each ask is two facts.
REFUSED_AGAIN_MS = 5_000
POLL_S = 0.2
POLL_EVENTS_MAX = 500


@dataclass(slots=True)
class _Ask:
    """An ask of ours, from when it is published to when it is returned."""

    ask_id: str
    #: Until when it may be drawn upon, by the clock that measures.
    until_ms: int
    calls: int
    usd_micros: int
    granted: asyncio.Future[Refused | None]
    #: Reserved for calls that have not been settled, and spent by those that have.
    open_calls: int = 0
    open_usd_micros: int = 0
    spent_calls: int = 0
    spent_usd_micros: int = 0

    def has(self, worst: Amount, now_ms: int) -> bool:
        """Whether it is granted and so much more fits."""
        return (
            self.granted.done()
            and not self.granted.cancelled()
            and self.granted.result() is None
            and now_ms < self.until_ms - DRAWN_UNTIL_MS
            and self.open_calls + self.spent_calls + worst.calls <= self.calls
            and self.open_usd_micros + self.spent_usd_micros + worst.usd_micros <= self.usd_micros
        )


@dataclass(slots=True)
class _Refusal:
    until_ms: int
    refused: Refused


@dataclass(slots=True)
class _Account:
    """An agent's asks in one tier: what is reserved in a tier counts against that tier's caps."""

    asks: list[_Ask] = field(default_factory=list)
    refusal: _Refusal | None = None

    def refused(self, now_ms: int) -> Refused | None:
        """The refusal after which it is too early to ask again; None when it may be asked."""
        return self.refusal.refused if self.refusal is not None and now_ms < self.refusal.until_ms else None


class LogPurse:
    """Asks over the log. `run` must be running beside whoever takes."""

    def __init__(
        self,
        bootstrap: str,
        publisher: Publisher,
        *,
        holder: str,
        now_ms: Callable[[], int],
        running_ms: Callable[[], int] | None = None,
        calls_per_ask: int = CALLS_PER_ASK,
        topics: Mapping[str, Topic] = TOPICS,
    ) -> None:
        """`now_ms` is what events are stamped by; `running_ms` measures, and a clock that is set does not move it."""
        carries = next(topic for topic in topics.values() if fact_name(BudgetReserved) in topic.facts)
        self._verdicts = carries.name, partition_of(SUBJECT, carries.partitions)
        self._bootstrap = bootstrap
        self._publisher = publisher
        # Two lives of one process id on one host must not answer to each other's verdicts.
        self._holder = f"{holder}:{uuid.uuid4().hex[:12]}"
        self._now_ms = now_ms
        self._running_ms = running_ms or now_ms
        self._stamped_ms = 0
        self._calls_per_ask = calls_per_ask
        self._accounts: defaultdict[tuple[str, str], _Account] = defaultdict(_Account)
        self._asks: dict[str, tuple[_Account, _Ask]] = {}
        self._listening = asyncio.Event()
        self._stopping = threading.Event()

    async def take(
        self, agent: str, tier: str, worst_usd_micros: int, *, calls: int = 1, within_ms: int
    ) -> Reservation | Refused:
        """Draw so many calls on what is reserved for the agent, asking for more where that is too little."""
        try:
            async with asyncio.timeout(within_ms / 1000):
                await self._listening.wait()
                return await self._take(agent, tier, Amount(calls, worst_usd_micros))
        except TimeoutError:
            return Refused("budget_timeout", f"the budget's writer gave no verdict within {within_ms} ms")
        except NornError as error:  # the log takes no more: a call that nobody can be asked about is not made
            return Refused(error.reason, f"the budget's writer cannot be asked: {error}")

    async def _take(self, agent: str, tier: str, worst: Amount) -> Reservation | Refused:
        ours = self._accounts[agent, tier]
        # What was granted may be gone again before it is this call's turn.
        while (found := self._with_room(ours, worst)) is None:
            early = ours.refused(self._running_ms())
            if early is not None:
                return early
            refused = await self._granted(ours, agent, tier, worst)
            if refused is not None:
                ours.refusal = _Refusal(self._running_ms() + REFUSED_AGAIN_MS, refused)
                return refused
        found.open_calls += worst.calls
        found.open_usd_micros += worst.usd_micros
        if found.open_calls + found.spent_calls > found.calls // 2 and found.calls > worst.calls:
            # This call has its money; the next one will be told what is wrong.
            with suppress(NornError):
                self._ask_ahead(ours, agent, tier, worst)
        return Reservation(found.ask_id, worst.usd_micros, worst.calls)

    def _with_room(self, ours: _Account, worst: Amount) -> _Ask | None:
        self._retire(ours)
        return next((one for one in ours.asks if one.has(worst, self._running_ms())), None)

    async def _granted(self, ours: _Account, agent: str, tier: str, worst: Amount) -> Refused | None:
        """Wait for the ask that is under way, or a new one; near a cap, where several do not fit, one may."""
        waiting = next((one for one in ours.asks if not one.granted.done()), None)
        asked = waiting or self._ask(ours, agent, tier, self._several(worst))
        refused = await asyncio.shield(asked.granted)
        if refused is None or asked.calls <= worst.calls:
            return refused
        return await asyncio.shield(self._ask(ours, agent, tier, worst).granted)

    def _ask_ahead(self, ours: _Account, agent: str, tier: str, worst: Amount) -> None:
        others = [one for one in ours.asks if not one.granted.done() or one.has(worst, self._running_ms())]
        if len(others) < 2 and ours.refused(self._running_ms()) is None:
            self._ask(ours, agent, tier, self._several(worst))

    def _several(self, worst: Amount) -> Amount:
        """As many attempts as the calls of an ask are enough for, if none needs all that it may; at least one."""
        attempts = max(1, self._calls_per_ask // worst.calls)
        return Amount(max(self._calls_per_ask, worst.calls), attempts * worst.usd_micros)

    def _ask(self, ours: _Account, agent: str, tier: str, most: Amount) -> _Ask:
        # Stamps do not go back with their clock, and how long an ask is held is counted from its stamp.
        self._stamped_ms = max(self._stamped_ms, self._now_ms())
        granted: asyncio.Future[Refused | None] = asyncio.get_running_loop().create_future()
        asked = _Ask(uuid.uuid4().hex, self._running_ms() + HELD_MS, most.calls, most.usd_micros, granted)
        self._publish(
            BudgetAsked(
                ask_id=asked.ask_id,
                holder=self._holder,
                agent=agent,
                tier=tier,
                calls=asked.calls,
                usd_micros=asked.usd_micros,
                until_ms=self._stamped_ms + HELD_MS,
            )
        )
        # Only now: nobody shall wait for an ask that was never put.
        ours.asks.append(asked)
        self._asks[asked.ask_id] = ours, asked
        return asked

    def settle(self, reservation: Reservation, spent_usd_micros: int, calls: int) -> None:
        """Note what the calls of a reservation have cost; an ask that is used up is returned."""
        if reservation.ask_id not in self._asks:
            return
        ours, asked = self._asks[reservation.ask_id]
        asked.open_calls -= reservation.calls
        asked.open_usd_micros -= reservation.usd_micros
        asked.spent_calls += calls
        asked.spent_usd_micros += spent_usd_micros
        self._retire(ours)

    def _retire(self, ours: _Account) -> None:
        """Give back what is used up, refused, or near its end, once no call draws on it any more."""
        now_ms = self._running_ms()
        for asked in list(ours.asks):
            lapsed = now_ms >= asked.until_ms - DRAWN_UNTIL_MS
            refused = asked.granted.done() and (asked.granted.cancelled() or asked.granted.result() is not None)
            over = asked.spent_calls >= asked.calls or lapsed or refused
            if not over or asked.open_calls > 0:
                continue
            ours.asks.remove(asked)
            del self._asks[asked.ask_id]
            if not asked.granted.done():
                asked.granted.set_result(Refused("budget_timeout", "the budget's writer gave no verdict"))
            if not refused:
                self._return(asked)

    def _return(self, asked: _Ask) -> None:
        back = BudgetReturned(
            ask_id=asked.ask_id, holder=self._holder, calls=asked.spent_calls, usd_micros=asked.spent_usd_micros
        )
        try:
            self._publish(back)
        except NornError as error:
            # It lapses by itself, to what its cost samples add up to: no answer is to be lost for it.
            log.warning("a reservation cannot be returned and will lapse: %s", error)

    def _publish(self, fact: Message) -> None:
        self._publisher.publish(fact, subject=SUBJECT)

    async def run(self) -> None:
        """Listen for verdicts until cancelled; then return what is left."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._listen, loop)
        finally:
            self._stopping.set()
            for ours in self._accounts.values():
                for asked in ours.asks:
                    asked.until_ms = 0
                self._retire(ours)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                # Never joined: partitions are assigned by hand, and nothing is committed.
                "group.id": f"norn-purse-{self._holder}",
                "enable.auto.commit": False,
                "log_level": 2,
            }
        )
        try:
            self._assign(consumer)
            self._tell(loop, self._listening.set)
            while not self._stopping.is_set():
                for message in consumer.consume(POLL_EVENTS_MAX, POLL_S):
                    if message.error() is None:
                        self._tell(loop, self._hear, message.value() or b"")
        finally:
            consumer.close()

    def _tell(self, loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: Any) -> None:
        try:
            loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop may be closed while this thread still waits for its last messages.
            if not self._stopping.is_set():
                raise

    def _assign(self, consumer: Consumer) -> None:
        """From now on; waits for a broker, since a verdict that is missed is a call that waits in vain."""
        while not self._stopping.is_set():
            try:
                end = consumer.get_watermark_offsets(TopicPartition(*self._verdicts), timeout=POLL_S * 5)[1]
            except KafkaException:
                # A topic that is not there yet is said at once, not after the timeout.
                self._stopping.wait(POLL_S)
                continue
            consumer.assign([TopicPartition(*self._verdicts, end if end >= 0 else OFFSET_END)])
            return

    def _hear(self, value: bytes) -> None:
        try:
            event = decode(value)
        except NornError:
            return
        name = event.WhichOneof("fact")
        verdict: Any = getattr(event, name) if name in ("budget_reserved", "budget_refused") else None
        if verdict is None or verdict.holder != self._holder:
            return
        _, asked = self._asks.get(verdict.ask_id, (None, None))
        if asked is None or asked.granted.done():
            return
        granted = isinstance(verdict, BudgetReserved)
        asked.granted.set_result(None if granted else Refused("budget", f"{verdict.cap}: {verdict.detail}"))
