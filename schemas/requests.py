"""Requests: what a game server's request for a decision must be like, whatever its agent.

What only the agent's own declaration tells (which actions it has, which context it reads) is checked by the bridge, and
by the decide role, which answers a request that comes to nothing with a rejection.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from schemas.errors import EventRefused
from schemas.gen.norn.v1.decisions_pb2 import DecisionRequested
from schemas.topics import TIERS

#: Which ids a game server may give its decisions, and name when it completes them.
DECISION_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
#: As much as content may have: beside it a fact of 10 KB has room for the other fields, the longest that they may be.
CONTEXT_BYTES_MAX = 8_000
#: An action is one of a few names; a longer one would not fit an effect beside its content.
ACTION_BYTES_MAX = 200
#: What may be at stake, from the least to the most.
IMPACTS = ("low", "medium", "high", "critical")

_AGENT_BYTES_MAX = 100
_SHOWN_CHARACTERS_MAX = 40
_DECISION_ID = re.compile(DECISION_ID_PATTERN)


def check_decision_request(request: DecisionRequested) -> None:
    """Raises EventRefused for a request that no agent could answer, or whose answer nobody could be told.

    The request is whole: its id, agent, tier and actions are filled in.
    """
    if not _DECISION_ID.fullmatch(request.decision_id):
        _refuse("decision_id", "1 to 128 letters, digits, '.', '_', ':' and '-'", request.decision_id)
    if not request.agent or len(request.agent.encode()) > _AGENT_BYTES_MAX or not request.agent.isprintable():
        _refuse("agent", f"the name of an agent, of at most {_AGENT_BYTES_MAX} bytes", request.agent)
    if request.tier not in TIERS:
        _refuse("tier", f"one of {', '.join(TIERS)}", request.tier)
    if request.impact and request.impact not in IMPACTS:
        _refuse("impact", f"one of {', '.join(IMPACTS)}, or left out", request.impact)
    if not request.legal_actions:
        raise EventRefused("decision_requested.legal_actions is empty: name the actions to choose from")
    for action in request.legal_actions:
        if not action or len(action.encode()) > ACTION_BYTES_MAX:
            _refuse("legal_actions", f"a list of names of 1 to {ACTION_BYTES_MAX} bytes", action)
    _check_context(request.context)


def _check_context(context: str) -> None:
    if len(context.encode()) > CONTEXT_BYTES_MAX:
        raise EventRefused(
            f"decision_requested.context has {len(context.encode())} bytes: at most {CONTEXT_BYTES_MAX};"
            " tell what matters"
        )
    try:
        read = json.loads(context or "{}", parse_constant=_no_number)
        # Half an emoji can be written in JSON, and nowhere else.
        json.dumps(read, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise EventRefused(f"decision_requested.context is no JSON: {error}") from None
    if not isinstance(read, dict):
        _refuse("context", 'a JSON object as text, "{...}"', context)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _refuse(field: str, wanted: str, value: str) -> NoReturn:
    shown = value[:_SHOWN_CHARACTERS_MAX]
    raise EventRefused(f"decision_requested.{field} is {wanted}, not {shown!r}{'...' if shown != value else ''}")
