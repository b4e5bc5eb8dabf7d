"""The bridge's numbers are the spec's: whoever changes one of them meets its row here."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from streams import database
from streams.bridge.client import dead_letters, service
from streams.bridge.client.actions import ActionPoller
from streams.bridge.client.client import BridgeClient
from streams.bridge.client.ring import Ring
from streams.bridge.client.service import Service
from streams.bridge.routes import COMPLETE, DISPATCH, PENDING, REQUEST_BYTES_MAX
from streams.bridge.server import MINUTE_S, SECOND_S
from streams.bridge.wire import BATCH_EVENTS_MAX
from streams.config import Settings
from streams.sdk.envelope import FACT_BYTES_MAX


def left_out(made: Any, parameter: str) -> Any:
    """What a parameter is when nobody gives it."""
    return inspect.signature(made).parameters[parameter].default


def setting(name: str) -> Any:
    return Settings.model_fields[name].default


@pytest.mark.parametrize(
    ("row", "what", "found", "expected"),
    [
        ("A-31", "the ring", left_out(BridgeClient, "events_max"), 1000),
        ("A-31", "a ring made without a client", left_out(Ring, "events_max"), 1000),
        ("A-31", "a batch is whole", BATCH_EVENTS_MAX, 50),
        ("A-31", "a batch waits", left_out(BridgeClient, "flush_s"), 1.0),
        ("A-31", "events go to", (DISPATCH.method, DISPATCH.path), ("POST", "/api/v1/events/dispatch")),
        ("A-32", "actions are asked for each", left_out(ActionPoller, "poll_s"), 1.0),
        ("A-32", "actions come from", PENDING.path, "/api/v1/actions/pending"),
        ("A-33", "results go to", (COMPLETE.method, COMPLETE.path), ("POST", "/api/v1/actions/complete")),
        ("A-34", "the dead-letter file", left_out(BridgeClient, "dead_letters"), Path("log/ai_bridge_dlq.log")),
        ("A-34", "the dead-letter file that is replayed", dead_letters.PATH, Path("log/ai_bridge_dlq.log")),
        ("C-10", "failures in a row", left_out(Service, "failures_max"), 5),
        ("C-10", "how long the breaker is open", left_out(Service, "open_s"), 60.0),
        ("C-39", "requests in a window", (setting("bridge_requests_per_minute"), MINUTE_S), (100, 60.0)),
        ("C-40", "a player's events", (setting("bridge_player_actions_per_second"), SECOND_S), (10, 1.0)),
        ("C-43", "a fact, and another body", (FACT_BYTES_MAX, REQUEST_BYTES_MAX), (10 * 1024, 10 * 1024)),
        ("C-44", "connections to Postgres", (database.POOL_CONNECTIONS_MAX, database.POOL_TIMEOUT_S), (20 + 10, 30)),
        ("C-45", "connections to the bridge", service.CONNECTIONS, 10),
        ("C-45", "repeats after", left_out(BridgeClient, "backoff_s"), (1.0, 2.0, 4.0)),
    ],
)
def test_a_number_of_the_specs(row: str, what: str, found: Any, expected: Any) -> None:
    assert found == expected, f"{row}: {what}"
