"""The sending thread: takes events from the outbox and sees them to the broker, by way of the disk when it must.

While the broker answers, events go from memory to it. When it has acknowledged nothing for `away_s`, or memory is
half full, all that is not acknowledged goes to disk, in order, and what is published meanwhile goes behind it. When the
broker is back the disk is sent first, and only when all of it is acknowledged are events sent from memory again. So at
any time either the disk is empty or all that is in flight came from it, and the order of each partition holds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from schemas import NornError
from streams.sdk.outbox import Batch, Outbox
from streams.sdk.session import PartitionsDiffer, Session
from streams.sdk.spill import Spill

_log = logging.getLogger(__name__)

# The part of the outbox that may be in flight at a time: the rest is room for what is published meanwhile.
_IN_FLIGHT_PART = 4
# The outbox must hold what is published while a probe waits.
_PROBE_TIMEOUT_S = 0.5
_PROBE_EVERY_S = 1.0
# Once something is on disk, what a killed process can lose is kept to about this much.
_SPILL_EVERY_S = 1.0
_SYNC_EVERY_S = 1.0
_IDLE_S = 1.0
_AWAY_TICK_S = 0.05
# After an error nobody foresaw.
_RETRY_S = 1.0


class Sender:
    """Owns the session and the spill; `start` and `stop` once each."""

    def __init__(
        self,
        outbox: Outbox,
        spill: Spill,
        new_session: Callable[[], Session],
        *,
        away_s: float,
        linger_s: float,
        spill_bytes_max: int,
    ) -> None:
        self._outbox = outbox
        self._spill = spill
        self._new_session = new_session
        self._away_s = away_s
        self._linger_s = linger_s
        self._spill_bytes_max = spill_bytes_max
        self._session = new_session()
        self._ready = False
        self._probed_at = float("-inf")
        self._synced_at = float("-inf")
        #: Events out of the outbox that are neither sent nor on disk.
        self._backlog: deque[Batch] = deque()
        #: Since when something is in memory and nothing was acknowledged.
        self._kept_since = time.monotonic()
        #: Whether the last session failed and nothing was acknowledged since.
        self._failing = False
        self._stopping = False
        self._said: set[str] = set()
        #: What keeps events from being sent at present, or "".
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="norn-sender", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._outbox.found(self._spill.events)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Put everything unacknowledged on disk and end the thread; whether that was done within `timeout_s`."""
        self._stopping = True
        self._outbox.wake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def after_fork(self) -> None:
        """In the child of a fork: let the parent alone have the folder, also when it ends before the child."""
        self._spill.abandon()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._step()
            except Exception as error:
                if not isinstance(error, (NornError, OSError)):
                    _log.exception("the sending thread goes on after an error that nobody foresaw")
                self._say(str(error))
                time.sleep(_RETRY_S)
        try:
            self._leave()
        except OSError as error:
            _log.error("%d events are lost, the disk does not take them: %s", self._outbox.events, error)

    def _step(self) -> None:
        self._settle()
        self._look_for_broker()
        if self._session.failure:
            self._say(self._session.failure)
            self._let_go()
            self._failing = True
        self._move_to_disk()
        self._sync_disk()
        if self._ready:
            self._send()
        self._wait()

    def _settle(self) -> None:
        for batch in self._session.acknowledged():
            if self._spill.events:
                self._spill.release()
                self._outbox.replayed(batch)
            else:
                self._outbox.sent(batch)
                self._kept_since = time.monotonic()
            self._failing = False

    def _look_for_broker(self) -> None:
        if self._ready or time.monotonic() - self._probed_at < _PROBE_EVERY_S:
            return
        self._ready = self._session.probe(_PROBE_TIMEOUT_S)
        self._probed_at = time.monotonic()
        if not self._ready:
            self._say(self._session.complaint)

    def _let_go(self) -> None:
        """End the session and begin another; what was in flight is in the backlog again, or still on disk."""
        begun = self._new_session()
        self._take_back()
        self._session = begun
        self._ready = False
        self._probed_at = time.monotonic()

    def _take_back(self) -> None:
        rest = self._session.close()
        if self._spill.events:
            self._spill.rewind()
            return
        for batch, acknowledged in rest:
            if acknowledged:
                self._outbox.sent(batch)
        self._backlog.extendleft(batch for batch, acknowledged in reversed(rest) if not acknowledged)

    def _move_to_disk(self) -> None:
        if not self._overdue():
            return
        # The game may have held the interpreter for so long that an answer is there and was not heard.
        self._session.poll(0)
        self._settle()
        if not self._overdue():
            return
        self._kept_since = time.monotonic()
        try:
            self._spill_waiting()
        except OSError as error:
            self._say(f"events wait in memory until it is full, the disk does not take them: {error}")

    def _overdue(self) -> bool:
        hindered = self._spill.events or self._session.in_flight or self._failing or not self._ready
        now = time.monotonic()
        if not self._outbox.events or not hindered:
            self._kept_since = now
            return False
        patience_s = _SPILL_EVERY_S if self._spill.events else self._away_s
        return now - self._kept_since > patience_s or self._outbox.crowded

    def _spill_waiting(self) -> None:
        if self._spill.bytes >= self._spill_bytes_max:
            self._say(f"events wait in memory until it is full, the spill files have {self._spill.bytes} bytes")
            return
        if not self._spill.events and self._session.in_flight:
            self._say(f"no answer for {self._away_s:g} s, or events come too fast. {self._session.complaint}")
            self._let_go()
        self._backlog.extend(self._outbox.take())
        self._spill_backlog()

    def _spill_backlog(self) -> None:
        while self._backlog:
            self._spill.append(self._backlog[0])
            self._outbox.spilled(self._backlog.popleft())

    def _sync_disk(self) -> None:
        if time.monotonic() - self._synced_at > _SYNC_EVERY_S:
            self._spill.sync()
            self._synced_at = time.monotonic()

    def _send(self) -> None:
        session = self._session
        room = max(1, self._outbox.events_max // _IN_FLIGHT_PART)
        try:
            while session.in_flight < room and (batch := self._first()) is not None:
                if not session.has_place_for(batch):
                    self._say(f"{batch.topic} is not on the broker: create it with `norn topics`")
                    self._ready = False
                    return
                session.send(batch)
                if self._spill.events:
                    self._spill.advance()
                else:
                    self._backlog.popleft()
        except PartitionsDiffer as error:
            self._say(str(error))
            self._outbox.refuse(error)
            self._ready = False
            return
        self._outbox.refuse(None)
        # A session after one that failed has still to show that the broker takes what it is sent.
        if not self._failing:
            self._say("")

    def _first(self) -> Batch | None:
        if self._spill.events:
            return self._spill.peek()
        if not self._backlog:
            self._backlog.extend(self._outbox.take())
        return self._backlog[0] if self._backlog else None

    def _wait(self) -> None:
        """Let events gather for the linger; sleep when there is nothing to do."""
        outbox = self._outbox
        if not self._ready:
            self._session.poll(_AWAY_TICK_S)
        elif outbox.events or self._spill.events:
            self._session.poll(self._linger_s)
        else:
            outbox.wake.clear()
            outbox.idle = True
            if not outbox.events and not self._stopping:
                outbox.wake.wait(_IDLE_S)
            outbox.idle = False
            self._kept_since = time.monotonic()
            self._session.poll(0)

    def _leave(self) -> None:
        self._settle()
        self._take_back()
        self._backlog.extend(self._outbox.take())
        try:
            self._spill_backlog()
        finally:
            self._spill.close()

    def _say(self, trouble: str) -> None:
        self.trouble = trouble
        if not trouble and self._said:
            _log.info("events are sent again")
            self._said.clear()
        elif trouble and trouble not in self._said:
            _log.warning("events wait: %s", trouble)
            self._said.add(trouble)
