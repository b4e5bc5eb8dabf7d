"""The service: the bridge as its client sees it. A few connections, one breaker, and errors that say what to do."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from schemas import PermanentError, TemporaryError
from schemas.breaker import RUN_MAX, RUN_OPEN_MS, RunBreaker
from schemas.gen.norn.v1.bridge_pb2 import DispatchRequest
from streams.bridge.client.forking import let_go_in_children
from streams.bridge.client.ring import Entry

#: Spec C.11.
CONNECTIONS = 10
# Longer than the bridge waits for the log before it says that it is away.
READ_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 2.0

_NO_BRIDGE = "the answer is none of a bridge; is the URL right?"

JSON, PROTOBUF = "application/json", "application/x-protobuf"


class Failed(TemporaryError):
    """The bridge does not answer, or cannot do what it was asked at present."""

    reason = "bridge_away"


class Blocked(TemporaryError):
    """The breaker is open: nothing was asked."""

    reason = "breaker_open"


class Wait(TemporaryError):
    """The bridge asks for patience."""

    reason = "limited"

    def __init__(self, detail: str, wait_s: float) -> None:
        super().__init__(detail)
        self.wait_s = wait_s


class Rejected(PermanentError):
    """The bridge will never take this."""

    reason = "rejected"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a batch: the events that will never be taken, with why, and those to be sent again later."""

    accepted: int
    repeated: int
    refused: Mapping[int, str]
    deferred: frozenset[int]
    retry_after_s: float


class Service:
    """One bridge. Any thread asks it, and so may a child of this process."""

    def __init__(
        self,
        url: str,
        *,
        failures_max: int = RUN_MAX,
        open_s: float = RUN_OPEN_MS / 1000,
        now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        self._url, self._prefix = url, (urllib3.util.parse_url(url).path or "").rstrip("/")
        self._breaker = RunBreaker(open_ms=int(open_s * 1000), run_max=failures_max)
        self._now_ms = now_ms
        self._connect()
        let_go_in_children(self)

    def _connect(self) -> None:
        self._pool = urllib3.connection_from_url(
            self._url,
            maxsize=CONNECTIONS,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
        )
        self._lock = threading.Lock()

    def let_go(self) -> None:
        """In a child: connections of its own, since the answers on those of its parent are not for it."""
        self._connect()

    @property
    def blocked(self) -> bool:
        """Whether the breaker is open, and not even a test is due."""
        with self._lock:
            return self._breaker.state(self._now_ms()) == "open"

    def dispatch(self, entries: Sequence[Entry]) -> Answer:
        """Send a batch, all of one client. Raises Failed, Blocked, Wait and Rejected."""
        request = DispatchRequest(client=entries[0].client, events=[entry.event for entry in entries])
        said = self._ask("POST", "/api/v1/events/dispatch", request.SerializeToString(), PROTOBUF)
        try:
            return Answer(
                int(said["accepted"]),
                int(said["repeated"]),
                {entries[one["index"]].sequence: f"{one['reason']}: {one['detail']}" for one in said["refused"]},
                frozenset(said["deferred"]),
                float(said["retry_after_s"]),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise Failed(f"{_NO_BRIDGE} {error!r}") from None

    def pending(self, fields: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        """A page of actions. Raises Failed, Blocked, Wait and Rejected."""
        said = self._ask("GET", f"/api/v1/actions/pending?{urlencode(fields)}")
        _check_listed(said, "actions")
        if not isinstance(said.get("next"), str | None):
            raise Failed(_NO_BRIDGE)
        return said

    def decisions(self, decision_ids: Sequence[str]) -> Mapping[str, Any]:
        """How far decisions have come. Raises Failed, Blocked, Wait and Rejected."""
        said = self._ask("GET", f"/api/v1/decisions?{urlencode([('decision_ids', one) for one in decision_ids])}")
        _check_listed(said, "decisions")
        return said

    def ended(self, fields: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        """A page of ends without an effect. Raises Failed, Blocked, Wait and Rejected."""
        return self._ask("GET", f"/api/v1/decisions/ended?{urlencode(fields)}")

    def complete(self, said: Mapping[str, str]) -> Mapping[str, Any]:
        """Say what became of an action. Raises Failed, Blocked, Wait and Rejected."""
        return self._ask("POST", "/api/v1/actions/complete", json.dumps(said).encode(), JSON)

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Mapping[str, Any]:
        with self._lock:
            permit = self._breaker.begin(self._now_ms())
        if permit is None:
            raise Blocked("the bridge has failed several times in a row, and is left alone for a while")
        ok: bool | None = False
        try:
            answer = self._pool.request(
                method, f"{self._prefix}{path}", body=body, headers={"Content-Type": kind} if kind else None
            )
            said = _said(answer)
            # Whoever asks for patience, or says what is wrong with a request, is there.
            ok = True
            return said
        except (Wait, Rejected):
            ok = True
            raise
        except HTTPError as error:
            raise Failed(f"the bridge does not answer: {error}") from error
        finally:
            with self._lock:
                self._breaker.end(permit, self._now_ms(), ok=ok)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


def _check_listed(said: Mapping[str, Any], name: str) -> None:
    """Raises Failed unless there is a list of this name, each with the id of a decision: anybody may listen there."""
    listed = said.get(name)
    if not isinstance(listed, list) or not all(
        isinstance(one, dict) and isinstance(one.get("decision_id"), str) for one in listed
    ):
        raise Failed(_NO_BRIDGE)


def _said(answer: Any) -> Mapping[str, Any]:
    try:
        said = json.loads(answer.data)
    except ValueError:
        said = None
    if answer.status == 200 and isinstance(said, dict):
        return said
    detail = str(said.get("detail", "")) if isinstance(said, dict) else ""
    if answer.status == 429:
        raise Wait(detail, _retry_after_s(answer, said))
    reason = said.get("reason") if isinstance(said, dict) else None
    if reason == "no_such_decision" or (answer.status in (400, 413, 415) and reason):
        raise Rejected(f"{reason}: {detail}")
    raise Failed(f"the bridge answers {answer.status}: {detail or answer.data[:200]!r}")


def _retry_after_s(answer: Any, said: Any) -> float:
    """What the body says to the millisecond, else the header to the second."""
    given = said.get("retry_after_s") if isinstance(said, dict) else None
    try:
        wait_s = float(answer.headers.get("Retry-After", 1) if given is None else given)
    except (TypeError, ValueError):
        wait_s = 1.0
    return wait_s if math.isfinite(wait_s) and wait_s > 0 else 1.0
