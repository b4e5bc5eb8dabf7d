"""What every HTTP server of ours is careful of."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streams.http_guard import add_headers, is_loopback, refuse_other_hosts


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_this_machine_knows_itself(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "evil.example", "127.1"])
def test_nobody_else_is_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(("listens_at", "status"), [("127.0.0.1", 421), ("0.0.0.0", 200)])
async def test_a_server_of_this_machine_answers_to_its_names_only(listens_at: str, status: int) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application(middlewares=refuse_other_hosts(listens_at, "answers to localhost"))
    app.on_response_prepare.append(add_headers({"Cache-Control": "no-store"}))
    app.router.add_get("/", page)
    async with TestClient(TestServer(app)) as client:
        wrong = (
            "evil.example",
            "a:b:c",
            "localhost:x",
            "localhost@evil.example",
            "\u202e",
            "xn--",
            "[",
            "[::1",
            ".",
            "",
        )
        for host, expected in (*((one, status) for one in wrong), ("LocalHost:1", 200), ("[::1]:1", 200)):
            answer = await client.get("/", headers={"Host": host})
            assert (answer.status, answer.headers["Cache-Control"]) == (expected, "no-store")
