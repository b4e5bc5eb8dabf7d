"""Publishing: records to the broker byte for byte, each call waiting for its own to be acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import TemporaryError
from streams.bridge.admission import Record

# Longer than the election of a partition's leader takes; shorter than a client waits for an answer.
PUBLISH_TIMEOUT_S = 8.0
METADATA_TIMEOUT_S = 2.0
_POLL_S = 0.1
# How much later than its own time limit the client may tell of it.
_GRACE_S = 2.0


class LogAway(TemporaryError):
    """No broker acknowledged the records in time; whether it has them is not known."""

    reason = "log_away"


@dataclass(eq=False)
class _Publication:
    """Records that are acknowledged together, or not."""

    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    left: int
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def settle(self, error: KafkaError | None, _message: Message | None = None) -> None:
        """One record has been answered."""
        self.end(error.str() if error is not None else "")

    def end(self, failure: str) -> None:
        """One record is done with, on the log or for this reason not; called on any thread."""
        with self.lock:
            if failure:
                self.failures.append(failure)
            self.left -= 1
            ended = not self.left
        if ended:
            # The loop may have ended with the process.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self.done.done():
            return
        if self.failures:
            self.done.set_exception(LogAway(f"the log did not acknowledge the events ({self.failures[0]}): try again"))
        else:
            self.done.set_result(None)


class Publisher:
    """Writes records in the order they are given; the records of two calls may be mixed."""

    def __init__(self, bootstrap: str, timeout_s: float = PUBLISH_TIMEOUT_S) -> None:
        self._settings: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": int(timeout_s * 1000),
            "compression.type": "lz4",
            "linger.ms": 1,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
            "error_cb": self._on_error,
        }
        self._timeout_s = timeout_s
        self._broken = False
        self._producer = Producer(self._settings)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="norn-bridge-publisher", daemon=True)
        self._thread.start()

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when all are acknowledged. Raises LogAway, and then any of them may be on the log or not."""
        if not records:
            return
        if self._broken:
            self._broken = False
            self._producer = Producer(self._settings)
        loop = asyncio.get_running_loop()
        publication = _Publication(loop, loop.create_future(), len(records))
        self._produce(records, publication)
        try:
            # A client that has failed for good, and was replaced, says nothing more of what it was given.
            await asyncio.wait_for(publication.done, self._timeout_s + _GRACE_S)
        except TimeoutError:
            raise LogAway(f"the log did not answer within {self._timeout_s:g} s: try again") from None

    def _produce(self, records: Iterable[Record], publication: _Publication) -> None:
        producer = self._producer
        for record in records:
            try:
                producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    partition=record.partition,
                    on_delivery=partial(_Publication.settle, publication),
                )
            except (BufferError, KafkaException) as error:
                publication.end(str(error))

    async def reach(self) -> str:
        """Why the broker cannot be reached, or "" when it can."""
        try:
            await asyncio.to_thread(self._producer.list_topics, timeout=METADATA_TIMEOUT_S)
        except KafkaException as error:
            return str(error.args[0].str())
        return ""

    def _poll(self) -> None:
        while not self._ended.is_set():
            self._producer.poll(_POLL_S)

    def _on_error(self, error: KafkaError) -> None:
        # A client that has failed for good is replaced; what it had under way is reported as not acknowledged.
        if error.fatal():
            self._broken = True

    def close(self) -> None:
        """Stop. What is under way is in the outbox."""
        self._ended.set()
        self._thread.join(2 * _POLL_S + 1)
