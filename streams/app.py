"""The composition root: everything a worker is made of, put together once, by hand."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faust
from prometheus_client import CollectorRegistry

from schemas import WorkerStarted, WorkerStopped
from streams.addresses import Servers
from streams.clock import Clock
from streams.config import Settings
from streams.database import Database, Waiting
from streams.metrics import Metrics
from streams.polls import Batch, Claims
from streams.positions import LIVES_FORGOTTEN_MAX, Positions
from streams.processors.commit import Commit
from streams.sdk import Producer, SpillInUse
from streams.transport import BatchSchema, Transport
from streams.web import attach

log = logging.getLogger(__name__)

VERSION = version("norn")

# A poll takes at most this many events: two or three transactions a second at full speed, 60 MB of records in memory.
POLL_EVENTS_MAX = 60_000
# What one fetch brings of one partition, so that a poll under backlog fills from a partition or two.
FETCH_BYTES_MAX = 8 << 20
# Waiting happens in the broker: a buffer of one batch lets the next be decoded while this one is stored.
BUFFER_BATCHES_MAX = 1
# A killed worker holds its partitions for this long; shorter, and a pause of the machine would count as a death.
SESSION_TIMEOUT_S = 6.0
HEARTBEAT_S = 1.0
REQUEST_TIMEOUT_S = 30.0
# A member that joined while the broker was still loading its topics was given no partitions, and hears of them with the
# next look at the metadata. Five minutes, which is aiokafka's own, would be a stall.
METADATA_EVERY_S = 5.0
# After being fenced, the rebalance that explains it should have come within a session and a heartbeat.
REGAIN_PAUSE_S = SESSION_TIMEOUT_S + 2 * HEARTBEAT_S

# Lives end by the day; what is kept of them for an hour more does not matter.
FORGET_EVERY_S = 3_600.0

# More processes of one role than any machine has cores; past this something starts workers without end.
WORKERS_PER_HOME_MAX = 256


class NornApp(faust.App):
    """A Faust app whose transport brings batches and whose positions are in Postgres."""

    claims: Claims
    shell: Shell

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    #: Whether the log is told when this worker starts and stops.
    announce = False
    #: Whether one worker of the group has all partitions, and the others stand by.
    alone = False

    async def on_started(self) -> None:
        """Tell the log."""
        await super().on_started()
        if self.announce:
            self.shell.tell(WorkerStarted(role=self.shell.name, worker=self.shell.worker, version=VERSION))

    async def on_shutdown(self) -> None:
        """When all that the app runs has stopped: tell the log, then close what it was given."""
        await super().on_shutdown()
        if self.announce:
            self.shell.tell(WorkerStopped(role=self.shell.name, worker=self.shell.worker, reason="stopped"))
        await self.shell.close()


class Shell:
    """What every role is given: servers, clock, positions, metrics; and the producer, for those that ask for it."""

    def __init__(self, settings: Settings, servers: Servers, app: NornApp, name: str, group: str, role: Role) -> None:
        self.settings = settings
        self.servers = servers
        self.app = app
        self.name = name
        self.clock = Clock()
        self.waiting = Waiting()
        self.database = Database(servers.postgres, self.waiting, role.prepare)
        self.positions = Positions(group, self.database, self.clock.now_ms, name)
        self.metrics = Metrics(name, CollectorRegistry(auto_describe=True))
        self.publisher: Producer | None = None

    @property
    def worker(self) -> str:
        """This process among the workers: host and process id."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def tell(self, fact: WorkerStarted | WorkerStopped) -> None:
        """Write what happened to this worker to the log."""
        self.producer().publish(fact, subject=self.worker)

    def producer(self) -> Producer:
        """This process's producer, opened when first asked for."""
        if self.publisher is None:
            self.publisher = self.open_producer()
        return self.publisher

    def open_producer(self, prepare: Callable[[Path], None] = lambda spill: None) -> Producer:
        """A producer on the first spill folder that no other worker of the group holds.

        What a worker that died had spilled is sent by the next that takes its place, unless `prepare` sees to the
        folder first. Raises SpillInUse when more workers than any machine has room for run on the home.
        """
        for place in range(WORKERS_PER_HOME_MAX):
            spill = self.settings.home / "spill" / f"{self.positions.group}-{place}"
            try:
                prepare(spill)
                return Producer(self.servers.kafka, region=self.settings.region, spill=spill, origin=self.name)
            except SpillInUse:
                continue
        raise SpillInUse(
            f"{WORKERS_PER_HOME_MAX} workers of {self.positions.group} run on {self.settings.home} already"
        )

    def commit(self) -> Commit:
        """The unit of work of this worker's processor."""
        return Commit(self.positions, self.database, self.metrics, self.regain)

    async def keep_forgetting(self) -> None:
        """Drop the dots of producers' lives that ended long ago, now and then, for as long as the worker runs."""
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            while await self.positions.forget_lives() >= LIVES_FORGOTTEN_MAX:
                pass

    async def regain(self, claim_number: int) -> None:
        """Wait for the rebalance that explains being fenced; claim anew when none came."""
        await asyncio.sleep(REGAIN_PAUSE_S)
        if claim_number == self.positions.claim_number:
            await self.app.consumer.perform_seek()

    async def close(self) -> None:
        """Close connections and the producer, which first hands over what it still holds."""
        if self.publisher is not None:
            await asyncio.to_thread(self.publisher.close)
        await self.database.close()


#: A role's processor: reads the stream of batches until it ends.
Run = Callable[[AsyncIterator[Batch]], Awaitable[None]]
#: Work that needs no stream.
Run0 = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Role:
    """What a kind of worker reads, and how its processor is made."""

    topics: tuple[str, ...]
    build: Callable[[Shell], Run]
    #: What runs beside the processor, for as long as the worker does.
    beside: Callable[[Shell], Run0] | None = None
    #: One worker at a time has all partitions; the others stand by.
    alone: bool = False
    #: What one poll takes at most.
    poll_events_max: int = POLL_EVENTS_MAX
    #: Prepares the connection that writes.
    prepare: Callable[[Any], Awaitable[None]] | None = None


def create_app(
    settings: Settings,
    servers: Servers,
    name: str,
    role: Role,
    *,
    group: str | None = None,
    web_port: int | None = None,
    announce: bool = False,
) -> NornApp:
    """A worker's app: Faust around one processor.

    group: the consumer group, norn-NAME unless given.  web_port: of its web view, which it has none of without.
    announce: tell the log when the worker starts and stops.
    """
    group = group or f"norn-{name}"
    app = _faust_app(settings, servers, group, web_port, role.poll_events_max)
    app.shell = shell = Shell(settings, servers, app, name, group, role)
    app.claims = shell.positions
    app.announce = announce
    app.alone = role.alone
    run = role.build(shell)

    async def process(stream: Any) -> None:
        try:
            await run(stream)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # A worker that cannot go on must not look alive: it stops, and whoever started it starts it again.
            log.exception("%s cannot go on", name)
            await app.crash(error)

    app.task(shell.keep_forgetting)
    app.agent(app.topic(*role.topics, schema=BatchSchema()), name=name)(process)
    if role.beside is not None:
        app.task(role.beside(shell))
    if web_port is not None:
        attach(app)
    return app


def _faust_app(settings: Settings, servers: Servers, group: str, web_port: int | None, poll_events_max: int) -> NornApp:
    folder = settings.home / "faust" / group
    folder.mkdir(parents=True, exist_ok=True)
    return NornApp(
        group,
        broker=[f"kafka://{server}" for server in servers.kafka.split(",")],
        store="memory://",
        datadir=str(folder),
        autodiscover=False,
        web_enabled=web_port is not None,
        web_host=settings.web_host,
        web_port=settings.web_port if web_port is None else web_port,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        # Every position comes from Postgres: one that the log no longer holds is a loss, and never a place to begin.
        consumer_auto_offset_reset="none",
        consumer_max_fetch_size=FETCH_BYTES_MAX,
        broker_max_poll_records=poll_events_max,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_request_timeout=REQUEST_TIMEOUT_S,
        consumer_metadata_max_age_ms=round(METADATA_EVERY_S * 1000),
        stream_buffer_maxsize=BUFFER_BATCHES_MAX,
        stream_wait_empty=False,
    )
