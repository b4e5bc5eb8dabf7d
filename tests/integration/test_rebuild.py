"""The recipe for rebuilding a store, run as docs/operations.md has it: afterwards all counts agree again."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka import Producer as Client

from schemas import TOPICS, PlayerMoved, PlayerSaid
from streams.counting import Counting
from streams.embedded import Servers
from streams.preparing import prepare
from streams.reconcile import reconcile
from streams.roster import members
from streams.sdk import Producer
from tests.commands import finished
from tests.integration.test_sdk_outage import Broker
from tests.waiting import eventually, eventually_async

ROOT = Path(__file__).parents[2]
#: The role that fills each store.
ROLES = {"postgres": "fold", "clickhouse": "history"}
EVENTS = 300
CAUGHT_UP_WITHIN_S = 90.0


def recipe(store: str) -> list[list[str]]:
    """The commands of docs/operations.md that rebuild a store."""
    section = (ROOT / "docs" / "operations.md").read_text().partition("## Rebuilding a store")[2].partition("\n## ")[0]
    (found,) = [block for block in re.findall(r"```sh\n(.*?)```", section, re.S) if f"rebuild {store}" in block]
    return [shlex.split(line) for line in found.splitlines()]


def norn(words: list[str]) -> list[str]:
    assert words[0] == "norn"
    return [sys.executable, "-m", "streams.cli", *words[1:]]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[str]:
    """A broker of the test's own: a log that nobody else writes to, and whose groups nobody else is in."""
    home = tmp_path / "broker"
    home.mkdir()
    broker = Broker(home)
    broker.start()
    yield broker.address
    broker.stop()


@contextmanager
def kept(command: list[str], environment: Mapping[str, str], home: Path) -> Iterator[None]:
    """`norn run` for the length of a block, with its workers up."""
    with subprocess.Popen(command, env=dict(environment)) as keeper:
        try:
            eventually(lambda: members(home))
            yield
        finally:
            keeper.send_signal(signal.SIGTERM)
            keeper.wait(60)


def write(kafka: str, home: Path) -> None:
    """Events of some players, and among them records that are none."""
    with Producer(kafka, spill=home / "spill") as producer:
        for n in range(EVENTS):
            producer.publish(PlayerSaid(text=f"hello {n}"), subject=f"hero-{n % 7}")
            producer.publish(PlayerMoved(x=n, y=n), subject=f"hero-{n % 5}")
        assert producer.flush(60) == 0
    rubbish = Client({"bootstrap.servers": kafka})
    for n in range(5):
        rubbish.produce(next(iter(TOPICS)), b"\xff rubbish %d" % n, partition=0)
    assert rubbish.flush(60) == 0


async def state(postgres: str, store: str, servers: Servers) -> object:
    """What readers see of a store."""
    if store == "clickhouse":
        from streams.clickhouse import connect

        return connect(servers.clickhouse).query("select count() from events").result_rows
    connection = await asyncpg.connect(postgres)
    try:
        return [tuple(row) for row in await connection.fetch("select * from players order by 1")]
    finally:
        await connection.close()


@pytest.mark.parametrize("store", list(ROLES))
async def test_a_store_rebuilt_by_the_recipe_reconciles(
    store: str, log: str, postgres: str, clickhouse: str, tmp_path: Path
) -> None:
    servers = Servers(log, postgres, clickhouse)
    await prepare(servers)
    home = tmp_path / "home"
    environment = {
        **os.environ,
        "NORN_HOME": str(home),
        "NORN_KAFKA": log,
        "NORN_POSTGRES": postgres,
        "NORN_CLICKHOUSE": clickhouse,
        "NORN_WEB_PORT": "0",
    }
    write(log, tmp_path)
    counting = Counting(servers)

    async def agrees() -> bool:
        if not await counting.settled(1.0):
            return False
        verdict = reconcile((await counting.counts()).partitions)
        assert verdict.differences == ()
        return verdict.dead_letters > 0

    with kept(norn(["norn", "run", "--workers", "fold=1,history=1"]), environment, home):
        await eventually_async(agrees, CAUGHT_UP_WITHIN_S)
        other = await state(postgres, store, servers)
        refused = finished([*norn(["norn", "rebuild", store, "--yes"])], 60, environment)
        assert refused.returncode == 3
        assert "stop them first" in refused.stderr

    rebuild, run = recipe(store)
    done = finished(norn(rebuild), 60, environment)
    assert done.returncode == 0, done.stderr
    assert await state(postgres, store, servers) != other

    beside = next(role for role in ROLES.values() if role != ROLES[store])
    with (
        kept(norn(run), environment, home),
        # The other store takes up what the rebuild tells of, dead letters found again.
        kept(norn(["norn", "run", "--workers", f"{beside}=1"]), environment, home),
    ):
        await eventually_async(agrees, CAUGHT_UP_WITHIN_S)
        if store == "postgres":
            assert await state(postgres, store, servers) == other
        reconciled = finished(norn(["norn", "reconcile"]), 60, environment)
        assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
