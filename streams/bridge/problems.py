"""Problems: every error as application/problem+json (RFC 9457)."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

from aiohttp import web

from schemas import EventRefused, NornError, TemporaryError
from streams.bridge.admission import TooManyGaps
from streams.bridge.bodies import HungUp, TooSlow, UnknownCoding
from streams.bridge.models import Problem
from streams.bridge.wire import Malformed, TooLarge
from streams.harmless import harmless
from streams.http_guard import Handler

CONTENT_TYPE = "application/problem+json"
# When a server that is away may be back.
RETRY_AFTER_S = 1

_log = logging.getLogger(__name__)
_STATUS: dict[type[NornError], int] = {
    Malformed: 400,
    EventRefused: 400,
    TooLarge: 413,
    TooManyGaps: 409,
    TemporaryError: 503,
}


class Limited(TemporaryError):
    """More than the limits let in."""

    reason = "limited"

    def __init__(self, detail: str, wait_s: float) -> None:
        super().__init__(detail)
        self.wait_s = wait_s


class NotFound(NornError):
    """No such decision is in effect."""

    reason = "no_such_decision"


class WrongContentType(NornError):
    """A body of a kind that is not taken."""

    reason = "wrong_content_type"


_STATUS |= {Limited: 429, NotFound: 404, WrongContentType: 415, UnknownCoding: 415, TooSlow: 408, HungUp: 400}


def problem(status: int, reason: str, detail: str, *, retry_after_s: float = 0, **more: Any) -> web.Response:
    """An answer that says what went wrong."""
    if retry_after_s:
        more["retry_after_s"] = round(retry_after_s, 3)
    # It may quote what was sent: half an emoji could not be encoded, and who reads it sits at a screen.
    said = Problem(title=HTTPStatus(status).phrase, status=status, detail=harmless(detail), reason=reason, **more)
    headers = {"Retry-After": str(math.ceil(retry_after_s))} if retry_after_s else None
    return web.Response(status=status, text=said.model_dump_json(), content_type=CONTENT_TYPE, headers=headers)


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        answer = problem(error.status, error.reason.lower().replace(" ", "_"), error.text or error.reason)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except HungUp as error:
        _log.warning("%s %s: %s", request.method, harmless(request.path), error)
        return _of(error)
    except NornError as error:
        return _of(error)
    except Exception:
        _log.exception("%s %s failed", request.method, harmless(request.path))
        return problem(500, "error", "the bridge failed; its log says why. Nothing was acknowledged: try again")


def _of(error: NornError) -> web.Response:
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    if isinstance(error, Limited):
        return problem(status, error.reason, str(error), retry_after_s=error.wait_s)
    if isinstance(error, TooManyGaps):
        return problem(status, error.reason, str(error), expected=error.expected)
    return problem(status, error.reason, str(error), retry_after_s=RETRY_AFTER_S if status == 503 else 0)
