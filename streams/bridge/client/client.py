"""BridgeClient: what a game server in Python hands its facts to, and is handed actions by."""

from __future__ import annotations

import atexit
import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import Message

from schemas import DecisionRequested, EventRefused, TemporaryError, check_subject, fact_name
from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent
from streams.bridge.client.actions import Act, ActionPoller
from streams.bridge.client.dead_letters import PATH
from streams.bridge.client.forking import Forked, let_go_in_children
from streams.bridge.client.queue import Batch, Counters, Queue, beside
from streams.bridge.client.ring import EVENTS_MAX
from streams.bridge.client.service import Answer, Rejected, Service, Wait
from streams.bridge.wire import OFFERED
from streams.clock import Clock

HIGH, NORMAL, LOW = 1, 0, -1

#: Spec A.12: a batch is sent when it is whole, or when its first event has waited this long.
FLUSH_S = 1.0
#: Spec C.11: how long after each attempt of a batch that fails the next is made; after the last, none is.
BACKOFF_S = (1.0, 2.0, 4.0)
CLOSE_S = 10.0
# How soon it is noticed that the breaker lets something through again.
_LOOK_EVERY_S = 0.25

_log = logging.getLogger(__name__)


class BridgeClient:
    """Sends facts to a bridge in the background; any thread may put, and none waits for the network.

    It belongs to the process that made it. In a child of `fork()` whatever is asked of it raises Forked at once, and
    closing it does nothing: make another there, with files of its own.

    url: the bridge's, http://127.0.0.1:8000.  dead_letters: the file for events that cannot be sent; beside it stand
    the journal, what was refused, and the journal of actions.  service: the bridge, when it is to be asked otherwise.
    refused: told of each event that the bridge will never take, and why, on the thread that sends; the event is in the
    file of those refused by then. Raises FileInUse, and OSError for the files.
    """

    def __init__(
        self,
        url: str,
        *,
        dead_letters: Path = PATH,
        name: str = "game",
        events_max: int = EVENTS_MAX,
        flush_s: float = FLUSH_S,
        backoff_s: Sequence[float] = BACKOFF_S,
        service: Service | None = None,
        refused: Callable[[OfferedEvent, str], None] = lambda event, why: None,
    ) -> None:
        self._service = service or Service(url)
        self._flush_s, self._backoff_s = flush_s, tuple(backoff_s)
        self._dead_letters, self._refused = dead_letters, refused
        self._queue = Queue(dead_letters, events_max, lambda: f"{name}-{uuid.uuid4().hex[:16]}", Clock())
        self._flushing = self._away = False
        self._closing = threading.Event()
        self._poller: ActionPoller | None = None
        self._forked = False
        let_go_in_children(self)
        self._thread = threading.Thread(target=self._run, name="norn-bridge-client", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def let_go(self) -> None:
        """In a child: nothing here is its own, and its end is not its parent's."""
        self._forked = True
        atexit.unregister(self.close)

    def _check_own(self) -> None:
        if self._forked:
            raise Forked(
                "this client was made before fork(), and what is put into it here would never be sent: make a"
                " BridgeClient in this process, with a dead_letters file of its own"
            )

    @property
    def client(self) -> str:
        """The name under which the bridge knows this sidecar's events."""
        return self._queue.client

    def put(self, fact: Message, *, player_id: str, priority: int = NORMAL) -> int:
        """Accept a fact; gives its number. Raises EventRefused and other PermanentErrors for what may not be written.

        What this has returned for survives `kill -9` of this process.
        """
        self._check_own()
        name = fact_name(fact)
        if name not in OFFERED:
            raise EventRefused(f"a game server does not produce {name}; it may produce {', '.join(OFFERED)}")
        if isinstance(fact, DecisionRequested) and not fact.agent:
            raise EventRefused("a request for a decision names its agent")
        check_subject(player_id)
        event = OfferedEvent(player_id=player_id)
        getattr(event, name).CopyFrom(fact)
        return self._queue.put(event, priority)

    def ask(
        self,
        agent: str,
        context: Mapping[str, Any],
        *,
        player_id: str,
        legal_actions: Sequence[str] = (),
        deadline_ms: int = 0,
        priority: int = HIGH,
    ) -> str:
        """Ask an agent for a decision; gives the id under which the answer comes to `act`. Raises as `put` does.

        legal_actions, deadline_ms: as the agent declares them when they are left out. The bridge refuses an agent that
        it does not know, actions that the agent does not have, and a request that reaches it after its deadline; that
        is told to `refused`.
        """
        decision_id = uuid.uuid4().hex
        try:
            request = DecisionRequested(
                decision_id=decision_id,
                agent=agent,
                context=json.dumps(context),
                legal_actions=legal_actions,
                deadline_ms=deadline_ms,
            )
        except (TypeError, ValueError) as error:
            raise EventRefused(f"this is no request for a decision: {error}") from None
        self.put(request, player_id=player_id, priority=priority)
        return decision_id

    def act(self, act: Act, **options: Any) -> None:
        """From now on have actions done: each is given to `act` once. The options are ActionPoller's."""
        self._check_own()
        assert self._poller is None, "actions are asked for once"
        self._poller = ActionPoller(self._service, beside(self._dead_letters, "actions"), act, **options)

    def decision(self, decision_id: str) -> Mapping[str, Any] | None:
        """How far a decision has come, its `status`, `reason` and whether it has `ended`; None when nothing is known.

        Waits for the bridge. Raises TemporaryErrors when it cannot be asked at present, and Rejected for an id that is
        none.
        """
        self._check_own()
        found: list[Mapping[str, Any]] = self._service.decisions([decision_id])["decisions"]
        return found[0] if found else None

    def flush(self, timeout_s: float = CLOSE_S) -> int:
        """Send all there is, at most for `timeout_s` or until the breaker opens; gives how many events are left."""
        self._check_own()
        with self._queue.changed:
            self._flushing = True
            self._queue.changed.notify_all()
            self._queue.changed.wait_for(lambda: not self._queue.left or self._service.blocked, timeout_s)
            self._flushing = False
            return self._queue.left

    @property
    def counters(self) -> Counters:
        """Where the events are."""
        self._check_own()
        return self._queue.counters

    def close(self, timeout_s: float = CLOSE_S) -> int:
        """Flush; what is left waits in the dead-letter file for the next life. Gives how many that are."""
        if self._forked:
            return 0
        if not self._closing.is_set():
            atexit.unregister(self.close)
            if self._poller is not None:
                self._poller.close()
            self.flush(timeout_s)
            self._closing.set()
            self._queue.shut()
            self._thread.join()
            self._queue.close()
            self._service.close()
        return self._queue.left

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._turn()
            except OSError:
                # The disk is full, say: nothing was taken from where it stood.
                _log.exception("events cannot be moved to their file")
                self._closing.wait(_LOOK_EVERY_S)

    def _turn(self) -> None:
        with self._queue.changed:
            due_s = self._queue.due_in_s(0.0 if self._flushing else self._flush_s)
            if due_s is None or due_s > 0 or self._service.blocked:
                self._queue.changed.wait(_LOOK_EVERY_S if due_s is None or due_s <= 0 else due_s)
                return
            batch = self._queue.take()
            if batch is None:
                self._queue.changed.wait(_LOOK_EVERY_S)
        while batch is not None and not self._closing.is_set():
            batch = self._attempt(batch)

    def _attempt(self, batch: Batch) -> Batch | None:
        """Send a batch, several times if it must be; gives what is to be sent next in its place."""
        why = ""
        for pause_s in (*self._backoff_s, None):
            try:
                answer = self._service.dispatch(batch.entries)
            except Wait as error:
                answer = Answer(0, 0, {}, frozenset(entry.sequence for entry in batch.entries), error.wait_s)
            except Rejected as error:
                answer = Answer(0, 0, dict.fromkeys((e.sequence for e in batch.entries), str(error)), frozenset(), 0.0)
            except TemporaryError as error:
                why = str(error)
                if pause_s is None or self._service.blocked or self._closing.wait(pause_s):
                    break
                continue
            self._note_success()
            again = self._queue.answered(batch, answer)
            self._tell_refused(batch, answer)
            if again is not None:
                self._closing.wait(answer.retry_after_s)
            return again
        self._note_failure(why)
        self._queue.failed(batch, why)
        return None

    def _tell_refused(self, batch: Batch, answer: Answer) -> None:
        for entry in batch.entries:
            if (why := answer.refused.get(entry.sequence)) is not None:
                try:
                    self._refused(entry.event, why)
                except Exception:
                    # The game's own mistake must not keep its other events from the log.
                    _log.exception("telling the game that event %d is refused failed", entry.sequence)

    def _note_failure(self, why: str) -> None:
        if not self._away:
            _log.warning("events cannot be sent and wait in %s until they can be: %s", self._dead_letters, why)
        self._away = True

    def _note_success(self) -> None:
        if self._away:
            _log.warning("events are sent again, and those in %s first", self._dead_letters)
        self._away = False
