"""The web view, served by a running fold worker and read in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
import psutil
import pytest
from google.protobuf.message import Message
from prometheus_client.parser import text_string_to_metric_families

from projections.postgres import migrate
from schemas import (
    TOPICS,
    CostSampled,
    DecisionEffective,
    DecisionProposed,
    DecisionRejected,
    DecisionRequested,
    PlayerLevelled,
    PlayerScored,
)
from streams.admin import create_topics
from streams.app import NornApp, create_app
from streams.config import Settings
from streams.embedded import Servers
from streams.roles import fold_role
from streams.web import attach
from tests.browser import Page, opened
from tests.log import Life, create_topic, write
from tests.proxy import Proxy, proxy
from tests.sdk import free_port
from tests.waiting import eventually_async

# A worker joins its group in seconds; a machine that other tests share takes longer.
SOON_S = 45.0


@dataclass
class World:
    """One topic, one database behind a proxy, and where a worker would serve its page."""

    servers: Servers
    postgres: str
    way: Proxy
    topic: str
    group: str
    home: Path
    port: int
    life: Life

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def app(self, *, stuck_after_s: float = 60.0) -> NornApp:
        """A fold worker's app with the web view attached."""
        settings = Settings(home=self.home, web_port=self.port)
        app = create_app(settings, self.servers, "fold", fold_role(topics=(self.topic,)), group=self.group)
        app.conf.web_enabled = True
        attach(app, stuck_after_s=stuck_after_s)
        return app

    def record(self, fact: Message, subject: str) -> tuple[int, bytes]:
        partition, event = self.life.event(fact, subject)
        return partition, event.SerializeToString()

    def write(self, *records: tuple[int, bytes]) -> None:
        write(self.servers.kafka, self.topic, records)

    async def execute(self, statement: str, *arguments: Any) -> None:
        connection = await asyncpg.connect(self.postgres)
        await connection.execute(statement, *arguments)
        await connection.close()


@pytest.fixture
async def world(
    servers: Servers, postgres: str, fresh_name: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[World]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    topic = fresh_name("web")
    create_topic(servers.kafka, topic)
    # The worker tells the log of dead letters.
    create_topics(servers.kafka, [TOPICS["dead.letters.v1"]])
    address = urlsplit(postgres)
    with proxy(address.hostname or "", address.port or 5432) as way:
        account = address.netloc.rpartition("@")[0]
        through = urlunsplit(address._replace(netloc=f"{account}@127.0.0.1:{way.port}"))
        mine = replace(servers, postgres=through)
        yield World(mine, postgres, way, topic, fresh_name("group"), tmp_path, free_port(), Life())


@asynccontextmanager
async def running(app: NornApp) -> AsyncIterator[None]:
    app.finalize()
    await app.start()
    try:
        yield
    finally:
        await app.stop()


async def get(url: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.text()


async def shows(page: Page, *sights: tuple[str, str]) -> None:
    """Wait until each selector's text holds what it should."""

    async def there() -> bool:
        for selector, wanted in sights:
            found = await page.text(selector)
            assert wanted in found, f"{selector} shows {found!r}, not {wanted!r}"
        return True

    await eventually_async(there, SOON_S, "the page shows what it should")


FORGED = '{"line":"Odin is a fool."}'


def a_little_of_everything(world: World) -> list[tuple[int, bytes]]:
    """Two scores, a repeat, a hole, a decision with its cost, a forged proposal, and a record that is no event."""
    freya = world.record(PlayerScored(points=1200, reason="quest"), "Freya")
    missing = world.record(PlayerScored(points=7), "Freya")
    asked = DecisionRequested(decision_id="d1", agent="chronicler", tier="gold", context="{}")
    proposed = DecisionProposed(
        decision_id="d1", agent="chronicler", action="write", content='{"line": "Freya went down & out.\\u2066"}',
        engine="llamacpp", model="SmolLM2", route="full",
    )  # fmt: skip
    effective = DecisionEffective(
        decision_id="d1", agent="chronicler", action="write", content=proposed.content, route="full", rule="proposed"
    )
    forged = DecisionProposed(decision_id="d2", agent="chronicler", action="burn", content=FORGED)
    refused = DecisionRejected(decision_id="d2", agent="chronicler", reason="illegal_action: it may not burn")
    cost = CostSampled(source="ai_inference", model="SmolLM2", prompt_tokens=90, completion_tokens=10)
    cost.cost_usd_micros = 1_500_042
    known = [
        freya,
        freya,
        world.record(PlayerLevelled(level=3), "Freya"),
        world.record(PlayerScored(points=900), "<b>Odin\u202e</b>\x1b"),
        world.record(asked, "Freya"),
        world.record(proposed, "Freya"),
        world.record(effective, "Freya"),
        world.record(forged, "Freya"),
        world.record(refused, "Freya"),
        world.record(cost, "chronicler"),
        (0, b"\xff not an event"),
    ]
    assert missing not in known
    return known


#: What a page shows of it when it has all been folded.
EVERYTHING = (
    ('[data-value="events"]', "9"),
    ('[data-value="duplicates"]', "1"),
    ('[data-value="holes"]', "1"),
    ('[data-value="dead_letters"]', "1"),
    ('[data-value="spent_usd_micros"]', "$1.500042"),
    ('[data-rows="lists.leaderboard"] tbody tr:nth-child(1)', "1,200"),
    ('[data-rows="lists.leaderboard"] tbody tr:nth-child(2)', r"<b>Odin<U+202E></b>\x1b"),
    ('[data-rows="lists.decisions"] tbody', "Freya went down & out.<U+2066>"),
    ('[data-rows="lists.decisions"] tbody', "illegal_action: it may not burn"),
    ('[data-rows="lists.costs"] tbody', "SmolLM2"),
    ('[data-rows="lists.dead_letters"] tbody', "undecodable"),
)


async def test_an_empty_world_is_healthy_and_says_how_to_start_a_game(world: World) -> None:
    async with running(world.app()), opened(world.url) as page:
        await shows(page, (".notes", "start a game"), (".verdict", "OK"), ("#health", "Nothing waits"))
        assert await page.text("h1") == "Norn"
        assert await page.texts(".empty:not([hidden])") == [
            "No player has scored yet.",
            "Nothing has been spent yet.",
            "No decision has been made yet.",
            "None: every record could be used.",
        ]
        # The heartbeat goes on while all is quiet.
        await eventually_async(lambda: heartbeat(page), SOON_S)
        assert page.complaints == []


async def heartbeat(page: Page) -> bool:
    said = await page.text('[data-value="heartbeat_s"]')
    assert said[:1].isdigit(), f"no heartbeat yet but {said!r}"
    return float(said) < 5


async def test_the_page_shows_what_was_folded_and_follows_it_in_place(world: World) -> None:
    async with running(world.app()), opened(world.url) as page:
        await page.evaluate("window.loadedOnce = true")
        world.write(*a_little_of_everything(world))
        await shows(page, *EVERYTHING, ('[data-rows="groups"] tbody', world.group))
        world.write(world.record(PlayerScored(points=5000), "Thor"))
        await shows(
            page, ('[data-rows="lists.leaderboard"] tbody tr:nth-child(1)', "Thor"), ('[data-value="events"]', "10")
        )
        assert await page.evaluate("window.loadedOnce")
        assert "Odin is a fool" not in await page.text("body")
        latency = await page.text('[data-value="p50_ms"]')
        assert float(latency.replace(",", "")) > 0
        rows = await page.texts('[data-rows="partitions"] tbody tr')
        assert len(rows) == 4
        assert all(world.topic in row for row in rows)
        assert page.complaints == []


async def test_the_page_is_the_same_without_scripts(world: World) -> None:
    lists = ("lists.leaderboard", "lists.decisions", "lists.costs", "lists.dead_letters", "partitions")
    same = [*(f'[data-rows="{rows}"] tbody' for rows in lists), "thead", ".empty", '[data-kind="usd"]']
    world.write(*a_little_of_everything(world))
    async with running(world.app()):
        async with opened(world.url) as page:
            rest = [(f'[data-rows="partitions"] tbody tr:nth-child({row})', "0.0\t0.0") for row in range(1, 5)]
            await shows(page, *EVERYTHING, *rest)
            with_scripts = [await page.texts(selector) for selector in same]
        async with opened(world.url, scripts=False) as page:
            await shows(page, (".verdict", "OK"))
            assert [await page.texts(selector) for selector in same] == with_scripts
            assert page.complaints == []


async def test_while_postgres_is_away_the_page_says_so_and_shows_what_it_last_knew(world: World) -> None:
    world.write(*a_little_of_everything(world))
    async with running(world.app()), opened(world.url) as page:
        await shows(page, (".verdict", "OK"), ('[data-rows="lists.leaderboard"] tbody', "Freya"))
        assert (await get(f"{world.url}/readyz"))[0] == 200
        world.way.cut()
        await shows(page, (".verdict", "WAITING"), ("#health", "Waits for Postgres"), (".notes", "was read"))
        assert "Freya" in await page.text('[data-rows="lists.leaderboard"] tbody')
        status, why = await get(f"{world.url}/readyz")
        assert (status, "waits for Postgres" in why) == (503, True)
        assert (await get(f"{world.url}/healthz"))[0] == 200
        world.way.mend()
        await shows(page, (".verdict", "OK"))
        assert await page.text(".notes") == ""


async def test_a_group_that_has_work_and_does_none_is_red(world: World) -> None:
    claimed = (
        "insert into positions (group_name, topic, partition, next_offset, epoch) values ('norn-gone', $1, 0, 0, 1)"
    )
    await world.execute(claimed, world.topic)
    async with running(world.app(stuck_after_s=2)), opened(world.url) as page:
        await shows(page, (".verdict", "OK"))
        world.write(*(world.record(PlayerScored(points=1), f"hero-{player}") for player in range(20)))
        await shows(page, (".verdict", "STUCK"), ("#health", "norn-gone is stuck"), ('[data-state="stuck"]', "stuck"))
        assert await page.evaluate("document.getElementById('health').dataset.health") == "stuck"

        async def quiet_beside_it() -> bool:
            found = await page.texts('[data-rows="groups"] tbody tr')
            states = {row.split("\t")[0]: row.split("\t")[1] for row in found}
            return states == {"norn-gone": "stuck", world.group: "quiet"}

        await eventually_async(quiet_beside_it, SOON_S)


async def test_a_page_whose_worker_has_gone_does_not_look_alive(world: World) -> None:
    async with opened("about:blank") as page:
        async with running(world.app()):
            await page.call("Page.navigate", url=world.url)
            await shows(page, (".verdict", "OK"))
            assert await page.text("#silent") == ""
        await shows(page, ("#silent", "This worker does not answer"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
async def test_the_page_fits_and_can_be_read(world: World, width: int, dark: bool, tmp_path: Path) -> None:
    world.write(*a_little_of_everything(world))
    async with running(world.app()), opened(world.url, width=width, dark=dark) as page:
        await shows(page, (".verdict", "OK"), ('[data-rows="lists.decisions"] tbody', "Freya"))
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        for selector in ("body", ".verdict", ".hint", "thead th", "tbody td", "header p", "a"):
            contrast = await page.evaluate(f"({CONTRAST})({selector!r})")
            # WCAG 2.2, level AA, for text of ordinary size.
            assert contrast >= 4.5, f"{selector} has a contrast of {contrast:.1f}"
        await page.picture(tmp_path / f"{width}-{dark}.png")


CONTRAST = """(selector) => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => [red, green, blue]
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const element = document.querySelector(selector);
  const behind = (from) => {
    const colour = channels(getComputedStyle(from).backgroundColor);
    return colour.length === 4 && colour[3] === 0 && from.parentElement ? behind(from.parentElement) : colour;
  };
  const lights = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))];
  return (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
}"""


async def test_machines_read_the_same_figures(world: World) -> None:
    world.write(*a_little_of_everything(world))
    async with running(world.app()), aiohttp.ClientSession(world.url) as session:

        async def status() -> dict[str, Any]:
            async with session.get("/api/status") as answer:
                found: dict[str, Any] = await answer.json()
                return found

        async def folded() -> bool:
            said = await status()
            assert said["health"] == "ok", said["why"]
            figures = tuple(said[name] for name in ("events", "lag_s", "dead_letters", "holes"))

            return figures == (9, 0, 1, 1)

        await eventually_async(folded, SOON_S)
        said = await status()
        assert (said["role"], said["group"], said["health"], said["waiting"]) == ("fold", world.group, "ok", {})
        assert sum(part["end_offset"] for part in said["partitions"]) == 11
        done, refused = sorted(said["lists"]["decisions"], key=lambda one: one["status"])
        assert (done["status"], done["rule"], done["content"]) == (
            "effective", "proposed", r'{"line": "Freya went down & out.\u2066"}',
        )  # fmt: skip
        assert (refused["status"], refused["action"], refused["content"]) == ("rejected", None, None)
        assert refused["reason"].startswith("illegal_action")
        families = {
            family.name: family for family in text_string_to_metric_families((await get(f"{world.url}/metrics"))[1])
        }
        assert families["norn_events"].samples[0].value == 9
        assert {sample.labels["group"] for sample in families["norn_lag_seconds"].samples} == {world.group}
        assert sum(sample.value for sample in families["norn_holes"].samples) == 1
        assert "process_resident_memory_bytes" in families


async def test_the_page_is_for_this_machine_and_for_reading_only(world: World) -> None:
    async with running(world.app()), aiohttp.ClientSession(world.url) as session:
        listening = [each.laddr.ip for each in psutil.Process().net_connections("tcp") if each.laddr.port == world.port]
        assert set(listening) == {"127.0.0.1"}
        async with session.get("/?<script>alert(1)</script>") as answer:
            assert answer.status == 200
            assert "alert(1)" not in await answer.text()
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/", "/api/status"):
            async with session.post(path) as answer:
                assert answer.status == 405
        # A page elsewhere that has pointed its own name at this machine.
        assert (await get(world.url, Host="rebound.example"))[0] == 421
        assert (await get(f"{world.url}/router"))[0] == 404


async def test_a_worker_started_with_a_port_serves_its_page(world: World) -> None:
    settings = Settings(home=world.home)
    role = fold_role(topics=(world.topic,))
    async with running(create_app(settings, world.servers, "fold", role, group=world.group, web_port=world.port)):
        status, page = await get(world.url)
        assert (status, "<h1>Norn</h1>" in page) == (200, True)
