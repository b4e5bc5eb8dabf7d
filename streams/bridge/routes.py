"""The routes: what is asked over HTTP, into the bridge and back. The OpenAPI document is made of this table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import version
from typing import TypeVar

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ValidationError

from schemas.gen.norn.v1.bridge_pb2 import DispatchRequest
from streams.bridge.bodies import BODY_WITHIN_S, body_of
from streams.bridge.bridge import Bridge
from streams.bridge.limits import Limit
from streams.bridge.meters import Meters
from streams.bridge.models import (
    Actions,
    ActionsQuery,
    Completed,
    Completion,
    Decisions,
    DecisionsQuery,
    Dispatched,
    Ends,
)
from streams.bridge.offers import read
from streams.bridge.openapi import Operation, document
from streams.bridge.problems import Limited, WrongContentType, problem
from streams.bridge.wire import BODY_BYTES_MAX, CONTENT_TYPES, JSON, Malformed
from streams.clock import Clock

#: Spec C.9, for every body that is no batch.
REQUEST_BYTES_MAX = 10 * 1024
TEXT = "text/plain"

M = TypeVar("M", bound=BaseModel)

_BAD = {400: "It is malformed; nothing was taken.", 503: "Kafka or Postgres is away; nothing was acknowledged."}
_BODY = {408: "It did not come in time.", 413: "It is too large.", 415: "A body of another kind."}
_LIMITED = {429: "Over a limit: send it again after Retry-After; nothing was taken."}

DISPATCH = Operation(
    "POST",
    "/api/v1/events/dispatch",
    "dispatch",
    "Put a batch of events on the log, each exactly once.",
    Dispatched,
    {**_BAD, **_BODY, **_LIMITED, 409: "So many gaps that the bridge would lose count: send what is missing first."},
    body=DispatchRequest,
)
PENDING = Operation(
    "GET",
    "/api/v1/actions/pending",
    "pending",
    "List what is to be done, oldest first.",
    Actions,
    {**_BAD, **_LIMITED},
    query=ActionsQuery,
)
DECISIONS = Operation(
    "GET",
    "/api/v1/decisions",
    "decisions",
    "Tell how far decisions have come, and which have ended with nothing to do.",
    Decisions,
    {**_BAD, **_LIMITED},
    query=DecisionsQuery,
)
ENDED = Operation(
    "GET",
    "/api/v1/decisions/ended",
    "ended",
    "List the decisions that ended without an effect, oldest first.",
    Ends,
    {**_BAD, **_LIMITED},
    query=ActionsQuery,
)
COMPLETE = Operation(
    "POST",
    "/api/v1/actions/complete",
    "complete",
    "Say what became of an action; the first word stays.",
    Completed,
    {**_BAD, **_BODY, **_LIMITED, 404: "No such decision is in effect."},
    body=Completion,
)
OPENAPI = Operation("GET", "/openapi.json", "openapi", "This document.", JSON)
HEALTHZ = Operation("GET", "/healthz", "healthz", "Whether the bridge runs.", TEXT)
READYZ = Operation(
    "GET", "/readyz", "readyz", "Whether it can take events.", TEXT, {503: "It waits for what the detail names."}
)
METRICS = Operation("GET", "/metrics", "metrics", "Prometheus's text format.", TEXT)
OPERATIONS = (DISPATCH, PENDING, ENDED, DECISIONS, COMPLETE, OPENAPI, HEALTHZ, READYZ, METRICS)


class Routes:
    """The handlers."""

    def __init__(
        self,
        bridge: Bridge,
        reach: Callable[[], Awaitable[list[str]]],
        limit: Limit,
        clock: Clock,
        meters: Meters,
        body_within_s: float = BODY_WITHIN_S,
    ) -> None:
        self._bridge = bridge
        self._reach = reach
        self._limit = limit
        self._clock = clock
        self._meters = meters
        self._body_within_s = body_within_s
        self._document = document(OPERATIONS, version("norn"))

    def table(self) -> Iterable[tuple[Operation, Callable[[web.Request], Awaitable[web.StreamResponse]]]]:
        """Which handler answers which operation."""
        return [(operation, getattr(self, operation.name)) for operation in OPERATIONS]

    async def dispatch(self, request: web.Request) -> web.Response:
        """POST /api/v1/events/dispatch."""
        if request.content_type not in CONTENT_TYPES:
            raise WrongContentType(f"a batch is one of {', '.join(CONTENT_TYPES)}, not {request.content_type}")
        body = await body_of(request, BODY_BYTES_MAX, self._body_within_s)
        answer = await self._bridge.dispatch(read(request.content_type, body))
        self._meters.dispatched(answer)
        return _json(answer)

    async def pending(self, request: web.Request) -> web.Response:
        """GET /api/v1/actions/pending."""
        self._count(request, PENDING)
        return _json(await self._bridge.pending(_query(request, ActionsQuery, "subjects")))

    async def decisions(self, request: web.Request) -> web.Response:
        """GET /api/v1/decisions."""
        self._count(request, DECISIONS)
        return _json(await self._bridge.decisions(_query(request, DecisionsQuery, "decision_ids")))

    async def ended(self, request: web.Request) -> web.Response:
        """GET /api/v1/decisions/ended."""
        self._count(request, ENDED)
        return _json(await self._bridge.ended(_query(request, ActionsQuery, "subjects")))

    async def complete(self, request: web.Request) -> web.Response:
        """POST /api/v1/actions/complete."""
        self._count(request, COMPLETE)
        if request.content_type != JSON:
            raise WrongContentType(f"a completion is {JSON}, not {request.content_type}")
        body = await body_of(request, REQUEST_BYTES_MAX, self._body_within_s)
        completion = _valid(Completion, lambda: Completion.model_validate_json(body, strict=True))
        answer = await self._bridge.complete(completion)
        self._meters.completed(answer)
        return _json(answer)

    async def openapi(self, request: web.Request) -> web.Response:
        """GET /openapi.json."""
        return web.json_response(self._document)

    async def healthz(self, request: web.Request) -> web.Response:
        """GET /healthz."""
        return web.Response(text="ok")

    async def readyz(self, request: web.Request) -> web.Response:
        """GET /readyz."""
        reasons = await self._reach()
        if reasons:
            return problem(503, "not_ready", "; ".join(reasons), retry_after_s=1)
        return web.Response(text="ok")

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics."""
        return web.Response(body=generate_latest(self._meters.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _count(self, request: web.Request, operation: Operation) -> None:
        key, now_s = f"{operation.name} {request.remote}", self._clock.monotonic_s()
        wait_s = self._limit.wait_s(key, now_s)
        if wait_s:
            raise Limited(f"too many requests to {operation.path} from {request.remote}", wait_s)
        self._limit.spend(key, 1, now_s)


def _query(request: web.Request, model: type[M], several: str) -> M:
    """The query of a request; one of its names may be given several times. Raises Malformed."""
    asked = {name: request.query.getall(name) for name in request.query}
    repeated = [name for name, values in asked.items() if name != several and len(values) > 1]
    if repeated:
        raise Malformed(f"{', '.join(sorted(repeated))} is given twice")
    flat = {name: values if name == several else values[0] for name, values in asked.items()}
    return _valid(model, lambda: model.model_validate(flat))


def _valid(model: type[M], make: Callable[[], M]) -> M:
    try:
        return make()
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or model.__name__}: {e['msg']}" for e in error.errors()[:5])
        raise Malformed(wrong) from None


def _json(answer: BaseModel) -> web.Response:
    return web.Response(text=answer.model_dump_json(), content_type=JSON)
